package databricks_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lakegate/sts/internal/emulator/databricks"
	"github.com/lakegate/sts/internal/emulator/idp"
)

const (
	appID   = "6f1c2b9e-0f0e-4c56-9d58-3c1b0b1c7a11"
	otherID = "0d7c4b1a-6e0b-4b8e-9f57-2f3e1d4c5b6a"
	secret  = "dose0123456789abcdef"

	federation = "urn:ietf:params:oauth:grant-type:token-exchange"
	dataPlane  = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	typeJWT    = "urn:ietf:params:oauth:token-type:jwt"
	typeAccess = "urn:ietf:params:oauth:token-type:access_token"
	churn      = `[{"type":"workspace_permission","object_type":"serving-endpoints","object_path":"/serving-endpoints/churn-id","actions":["query_inference_endpoint"]}]`
)

// place is a workspace, and an issuer that its principals trust. Both share a clock.
type place struct {
	*databricks.Server
	t      *testing.T
	issuer *idp.Server
	ahead  atomic.Int64
}

func (p *place) move(d time.Duration) { p.ahead.Add(int64(d)) }

// key signs the tokens of every workspace here.
var key = sync.OnceValue(func() *rsa.PrivateKey {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return private
})

// newPlace: appID may query churn, otherID nothing; both trust the issuer and have the secret.
func newPlace(t *testing.T, switches databricks.Switches) *place {
	t.Helper()
	p := &place{t: t}
	begin := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return begin.Add(time.Duration(p.ahead.Load())) }
	var err error
	p.issuer, err = idp.New(idp.Config{Now: clock, Issuers: []idp.IssuerConfig{
		{Name: "sts", Audience: databricks.DefaultAccountID, Algorithms: []string{"ES256"}},
		{Name: "stranger", Audience: databricks.DefaultAccountID, Algorithms: []string{"ES256"}},
	}})
	if err == nil {
		_, err = p.issuer.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.issuer.Close)
	trust := []databricks.FederationPolicy{{Issuer: p.issuer.Issuer("sts").URL()}}
	p.Server, err = databricks.New(databricks.Config{
		Now: clock, Switches: switches, Key: key(),
		Principals: []databricks.Principal{
			{ApplicationID: appID, Secrets: []string{"older", secret}, Policies: trust, Query: []string{"churn"}},
			{ApplicationID: otherID, Secrets: []string{secret}, Policies: trust},
		},
		Endpoints: []databricks.Endpoint{{Name: "churn", ID: "churn-id"}, {Name: "fraud"}},
	})
	if err == nil {
		_, err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// assertion makes a good assertion for appID, changed by the recipe.
func (p *place) assertion(recipe idp.Token) string {
	p.t.Helper()
	claims := map[string]any{"sub": appID}
	for name, value := range recipe.Claims {
		claims[name] = value
	}
	recipe.Claims = claims
	if recipe.Lifetime == 0 {
		recipe.Lifetime = 10 * time.Minute
	}
	return p.issuer.MustMint(recipe)
}

type answer struct {
	status int
	header http.Header
	body   map[string]any
	text   string
}

func (a answer) token() string {
	token, _ := a.body["access_token"].(string)
	return token
}

// call sends a form to the token endpoint; edit may change the request.
func (p *place) call(form url.Values, edit func(*http.Request)) answer {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodPost, p.URL()+"/oidc/v1/token", strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if edit != nil {
		edit(req)
	}
	return p.do(req)
}

func (p *place) do(req *http.Request) answer {
	p.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, text: string(text)}
	_ = json.Unmarshal(text, &a.body)
	return a
}

// exchange trades an assertion; pairs are further form fields, an empty value removing one.
func (p *place) exchange(assertion string, pairs ...string) answer {
	p.t.Helper()
	return p.call(with(url.Values{
		"grant_type": {federation}, "client_id": {appID}, "scope": {"all-apis"},
		"subject_token": {assertion}, "subject_token_type": {typeJWT},
	}, pairs), nil)
}

// bySecret uses client_credentials as appID.
func (p *place) bySecret(pairs ...string) answer {
	p.t.Helper()
	return p.call(with(url.Values{"grant_type": {"client_credentials"}, "scope": {"all-apis"}}, pairs), basic(appID, secret))
}

func basic(id, secret string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
}

func with(form url.Values, pairs []string) url.Values {
	for pair := range slices.Chunk(pairs, 2) {
		if name, value := pair[0], pair[len(pair)-1]; value == "" {
			form.Del(name)
		} else {
			form.Set(name, value)
		}
	}
	return form
}

// invoke queries an endpoint.
func (p *place) invoke(endpoint, token string) answer {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodPost, p.URL()+"/serving-endpoints/"+endpoint+"/invocations", strings.NewReader(`{"inputs":[1]}`))
	if err != nil {
		p.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return p.do(req)
}

// cause is why the last call was refused, "" if it was not.
func (p *place) cause() string {
	calls := p.Calls()
	cause, _ := calls[len(calls)-1].Notes["cause"].(string)
	return cause
}
