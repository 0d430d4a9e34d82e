package databricks_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/databricks"
	"github.com/lakegate/sts/exchange"
)

var now = time.Date(2026, 11, 24, 10, 0, 0, 500_000_000, time.UTC)

const (
	applicationID = "3f9c1c56-0000-4000-8000-00000000000a"
	accountID     = "11111111-2222-3333-4444-555555555555"
	mintID        = exchange.MintID("01936f2e-0000-7000-8000-000000000002")
	clientSecret  = "dose:CLIENT/SECRET+"
	assertionText = "eyJ.ASSERTION.c2ln"
)

// signer remembers what it was asked to sign.
type signer struct {
	mu     sync.Mutex
	claims string
	until  time.Time
	err    error
}

func (s *signer) Sign(_ context.Context, claims []byte, until time.Time) (exchange.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims, s.until = string(claims), until
	return assertionText, s.err
}

func settings() databricks.Settings {
	return databricks.Settings{
		Accounts:    map[string]databricks.Account{"aws": {ID: accountID, Host: "https://accounts.cloud.databricks.example"}, "azure": {ID: "azure-id"}},
		Federation:  databricks.Federation{Issuer: "https://keys.acme.example/sts", Audiences: map[string]string{"azure": "api://azure"}, AuthorizationDetails: true},
		Credentials: map[string]databricks.Credential{"models": {Secret: clientSecret}},
	}
}

// newMinter makes a Minter whose clock stands at now.
func newMinter(t testing.TB, tweak func(*databricks.Config)) (*databricks.Minter, *signer) {
	t.Helper()
	s := &signer{}
	c := databricks.Config{
		Settings: settings(), Signer: s, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
	}
	if tweak != nil {
		tweak(&c)
	}
	m, err := databricks.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m, s
}

// workspace is a Databricks that answers what a test wants, and remembers what it was asked.
type workspace struct {
	*httptest.Server
	request *http.Request
	form    url.Values
	calls   int
}

func serve(t testing.TB, answer http.HandlerFunc) *workspace {
	t.Helper()
	w := &workspace{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.form, err = url.ParseQuery(string(body))
		if err != nil {
			t.Error(err)
		}
		w.request, w.calls = r, w.calls+1
		answer(rw, r)
	}))
	t.Cleanup(w.Close)
	return w
}

// says answers with a status and a JSON body.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const good = `{"access_token":"opaque-token","token_type":"Bearer","expires_in":900,"scope":"model-serving sql"}`

func grant(host string, method exchange.Method) exchange.Grant {
	return exchange.Grant{
		Workspace: "prod", Principal: "models", Account: "aws", Host: host, ApplicationID: applicationID, Method: method,
		Scopes: []string{"model-serving", "sql"},
	}
}

func details() exchange.Details {
	return exchange.Details{{Type: "workspace_permission", ObjectType: "serving-endpoints", ObjectPath: "/serving-endpoints/1", Actions: []string{"query_inference_endpoint"}}}
}

// until is the end that tests ask for.
var until = now.Truncate(time.Second).Add(15 * time.Minute)

func mint(m *databricks.Minter, g exchange.Grant) (exchange.Token, error) {
	return m.Mint(context.Background(), mintID, g, until)
}

func TestFederationRequest(t *testing.T) {
	w := serve(t, says(200, good))
	m, signed := newMinter(t, nil)
	token, err := mint(m, grant(w.URL, exchange.MethodFederation))
	if err != nil {
		t.Fatal(err)
	}
	wantForm := url.Values{
		"client_id":          {applicationID},
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"scope":              {"model-serving sql"},
		"subject_token":      {assertionText},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
	}
	if diff := cmp.Diff(wantForm, w.form); diff != "" {
		t.Errorf("form: -want +got:\n%s", diff)
	}
	r := w.request
	if got := fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.ContentLength > 0, " ", r.Header.Get("Authorization") == ""); got != "POST /oidc/v1/token true true" {
		t.Error(got)
	}
	var claims map[string]any
	if err := json.Unmarshal([]byte(signed.claims), &claims); err != nil {
		t.Fatal(err)
	}
	wantClaims := map[string]any{
		"iss": "https://keys.acme.example/sts", "sub": applicationID, "aud": accountID, "jti": string(mintID),
		"iat": float64(now.Unix() - 30), "exp": float64(until.Unix()),
	}
	if diff := cmp.Diff(wantClaims, claims); diff != "" {
		t.Errorf("claims: -want +got:\n%s", diff)
	}
	if !signed.until.Equal(until) {
		t.Errorf("signed until %s", signed.until)
	}
	want := exchange.Token{
		Text: "opaque-token", Scopes: []string{"model-serving", "sql"}, TrueExpiry: until, Bound: exchange.BoundToken, Mint: mintID,
		SHA256: token.SHA256, Cache: exchange.CacheMinted,
	}
	if diff := cmp.Diff(want, token); diff != "" {
		t.Errorf("token: -want +got:\n%s", diff)
	}
	if w.calls != 1 {
		t.Errorf("%d requests for one mint", w.calls)
	}
}

func TestAudienceOfTheAccount(t *testing.T) {
	w := serve(t, says(200, good))
	m, signed := newMinter(t, nil)
	g := grant(w.URL, exchange.MethodFederation)
	g.Account = "azure"
	if _, err := mint(m, g); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(signed.claims, `"aud":"api://azure"`) {
		t.Errorf("claims %s", signed.claims)
	}
}

// With details the request is ours, without them the SDK's: they must be the same but for the details.
func TestDetailsAddOneParameter(t *testing.T) {
	w := serve(t, says(200, good))
	m, _ := newMinter(t, nil)
	if _, err := mint(m, grant(w.URL, exchange.MethodFederation)); err != nil {
		t.Fatal(err)
	}
	plain, headers := w.form, w.request.Header

	g := grant(w.URL, exchange.MethodFederation)
	g.Details = details()
	echo := strings.Replace(good, `{`, `{"authorization_details":`+details().JSON()+`,`, 1)
	w.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		w.form, w.request = r.PostForm, r
		says(200, echo)(rw, r)
	})
	token, err := mint(m, g)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(details(), token.Details); diff != "" {
		t.Error(diff)
	}
	if got := w.form.Get("authorization_details"); got != details().JSON() {
		t.Errorf("authorization_details %s", got)
	}
	w.form.Del("authorization_details")
	if diff := cmp.Diff(plain, w.form); diff != "" {
		t.Errorf("form: -SDK +ours:\n%s", diff)
	}
	w.request.Header.Del("Content-Length")
	headers.Del("Content-Length")
	if diff := cmp.Diff(headers, w.request.Header); diff != "" {
		t.Errorf("headers: -SDK +ours:\n%s", diff)
	}
}

func TestSecretRequest(t *testing.T) {
	w := serve(t, says(200, `{"access_token":"t","token_type":"bearer","expires_in":3600,"authorization_details":`+details().JSON()+`}`))
	m, _ := newMinter(t, nil)
	g := grant(w.URL, exchange.MethodClientSecret)
	g.Details = details()
	token, err := mint(m, g)
	if err != nil {
		t.Fatal(err)
	}
	wantForm := url.Values{"grant_type": {"client_credentials"}, "scope": {"model-serving sql"}, "authorization_details": {details().JSON()}}
	if diff := cmp.Diff(wantForm, w.form); diff != "" {
		t.Errorf("form: -want +got:\n%s", diff)
	}
	// RFC 6749 §2.3.1: both are form-encoded first.
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(applicationID+":"+url.QueryEscape(clientSecret)))
	if got := w.request.Header.Get("Authorization"); got != want {
		t.Errorf("Authorization %s", got)
	}
	if want := now.Truncate(time.Second).Add(time.Hour); token.Bound != exchange.BoundServed || !token.TrueExpiry.Equal(want) {
		t.Errorf("bound %s, true expiry %s", token.Bound, token.TrueExpiry)
	}
}

// What can't be minted as configured is our own fault, and leads to no request.
func TestMisconfigured(t *testing.T) {
	w := serve(t, says(200, good))
	tests := []struct {
		name  string
		tweak func(*exchange.Grant)
	}{
		{"unknown account", func(g *exchange.Grant) { g.Account = "gcp" }},
		{"no application id", func(g *exchange.Grant) { g.ApplicationID = "" }},
		{"no scopes", func(g *exchange.Grant) { g.Scopes = nil }},
		{"unknown method", func(g *exchange.Grant) { g.Method = "password" }},
		{"no secret", func(g *exchange.Grant) { g.Method, g.Principal = exchange.MethodClientSecret, "other" }},
		{"details over federation, unmeasured", func(g *exchange.Grant) { g.Details = details() }},
	}
	m, _ := newMinter(t, func(c *databricks.Config) { c.Federation.AuthorizationDetails = false })
	for _, test := range tests {
		g := grant(w.URL, exchange.MethodFederation)
		test.tweak(&g)
		if _, err := mint(m, g); exchange.AsError(err).Code != exchange.CodeInternal {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, err := m.Mint(context.Background(), mintID, grant(w.URL, exchange.MethodFederation), now); err == nil {
		t.Error("minted a token that ends now")
	}
	if w.calls != 0 {
		t.Errorf("%d requests", w.calls)
	}
}

func TestSettingsAreCheckedWhole(t *testing.T) {
	m, _ := newMinter(t, nil)
	_, err := m.Prepare(databricks.Settings{
		Accounts:    map[string]databricks.Account{"aws": {}},
		Federation:  databricks.Federation{Audiences: map[string]string{"gcp": "x"}},
		Credentials: map[string]databricks.Credential{"models": {}},
		Timeout:     -1,
	})
	for _, want := range []string{"account aws has no id", "account gcp", "no issuer", "principal models is empty", "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing from %v", want, err)
		}
	}
}

func TestReload(t *testing.T) {
	w := serve(t, says(200, good))
	m, _ := newMinter(t, nil)
	next := settings()
	next.Credentials = map[string]databricks.Credential{"models": {Secret: "second"}}
	commit, err := m.Prepare(next)
	if err != nil {
		t.Fatal(err)
	}
	passwords := []string{}
	for range 2 {
		if _, err := mint(m, grant(w.URL, exchange.MethodClientSecret)); err != nil {
			t.Fatal(err)
		}
		_, password, _ := w.request.BasicAuth()
		passwords = append(passwords, password)
		commit()
	}
	if diff := cmp.Diff([]string{url.QueryEscape(clientSecret), "second"}, passwords); diff != "" {
		t.Error(diff)
	}
	if settings().Credentials["models"].Generation() == next.Credentials["models"].Generation() {
		t.Error("two secrets have one generation")
	}
}

func TestCallerLeaves(t *testing.T) {
	entered := make(chan struct{})
	w := serve(t, func(_ http.ResponseWriter, r *http.Request) { close(entered); <-r.Context().Done() })
	m, _ := newMinter(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-entered; cancel() }()
	_, err := m.Mint(ctx, mintID, grant(w.URL, exchange.MethodFederation), until)
	if e := exchange.AsError(err); e.Code != exchange.CodeDeadline {
		t.Errorf("%v", e)
	}
}

func TestSignerFails(t *testing.T) {
	w := serve(t, says(200, good))
	m, s := newMinter(t, nil)
	s.err = exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable, "no key")
	if _, err := mint(m, grant(w.URL, exchange.MethodFederation)); exchange.AsError(err).Reason != exchange.ReasonLedgerUnavailable {
		t.Error(err)
	}
}
