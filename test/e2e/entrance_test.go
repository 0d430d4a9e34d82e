package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// request is a token request in words that every entrance can speak.
type request struct {
	// Params are the parameters; a nil value list leaves one out.
	Params url.Values
	// Client authenticates by the method it is registered for; "" sends no credential.
	Client string
	// Secret overrides the client's own.
	Secret string
	// Header is added, for what an entrance's transport carries.
	Header http.Header
	// Raw, where it is there, replaces the whole HTTP request: for rows about framing, which only one entrance has.
	Raw func(w *world) *http.Request
}

// answer is what came back, in the same words.
type answer struct {
	Status int         // HTTP's; gRPC's is translated
	Header http.Header // nil for gRPC
	// Code and RetryAfter are gRPC's.
	Code       codes.Code    `json:"-"`
	RetryAfter time.Duration `json:"-"`
	Body       []byte

	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int    `json:"expires_in"`
	Scope           string `json:"scope"`
	Details         []any  `json:"authorization_details"`
	RefreshToken    string `json:"refresh_token"`

	Error       string `json:"error"`
	Description string `json:"error_description"`
	Reason      string `json:"reason"`
	DecisionID  string `json:"decision_id"`
}

// entrance is a door of the service.
type entrance struct {
	name string
	ask  func(w *world, r request) answer
}

// entrances are all doors through which a token request can go.
var entrances = []entrance{{name: "form", ask: askForm}, {name: "grpc", ask: askGRPC}, {name: "json", ask: askJSON}}

// b0 is the baseline request of the conformance rows: alice, of data-eng, asks through kong for workspace prod.
func b0(w *world) request {
	return request{
		Client: "kong",
		Params: url.Values{
			"grant_type":         {exchange.GrantTypeTokenExchange},
			"subject_token":      {w.Token(nil)},
			"subject_token_type": {string(exchange.TypeJWT)},
			"audience":           {"prod"},
		},
	}
}

// Token is a token of okta for alice, of data-eng, with more claims laid over.
func (w *world) Token(claims map[string]any) string {
	return w.MintToken(idp.Token{Claims: claims})
}

// MintToken is a token by a recipe, for alice of data-eng where that doesn't say otherwise.
func (w *world) MintToken(recipe idp.Token) string {
	w.t.Helper()
	claims := map[string]any{"groups": []string{"data-eng"}, "azp": "gateway-web"}
	for name, value := range recipe.Claims {
		claims[name] = value
	}
	recipe.Claims = claims
	token, err := w.idp.Mint(recipe)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// Ask sends the baseline request with a change through the form.
func (w *world) Ask(change ...func(*request)) answer {
	w.t.Helper()
	r := b0(w)
	for _, f := range change {
		f(&r)
	}
	return askForm(w, r)
}

// with sets parameters of a request: name, value, name, value; "" leaves one out.
func with(pairs ...string) func(*request) {
	return func(r *request) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] == "" {
				r.Params.Del(pairs[i])
			} else {
				r.Params.Set(pairs[i], pairs[i+1])
			}
		}
	}
}

// as makes another client ask.
func as(client string) func(*request) { return func(r *request) { r.Client = client } }

// askForm sends POST /oauth2/token.
func askForm(w *world, r request) answer {
	w.t.Helper()
	if r.Raw != nil {
		return w.Do(r.Raw(w))
	}
	form := url.Values{}
	for name, values := range r.Params {
		form[name] = values
	}
	secret := r.Secret
	if secret == "" {
		secret = w.secrets[r.Client]
	}
	var basic string
	switch {
	case r.Client == "":
	case r.Client == "poster":
		form.Set("client_id", r.Client)
		form.Set("client_secret", secret)
	default:
		basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(r.Client)+":"+url.QueryEscape(secret)))
	}
	req := w.FormRequest(form.Encode())
	for name, values := range r.Header {
		req.Header[name] = values
	}
	if basic != "" {
		req.Header.Set("Authorization", basic)
	}
	return w.Do(req)
}

// FormRequest is a POST of body to the token endpoint, without credentials.
func (w *world) FormRequest(body string) *http.Request {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+w.sts.http+"/oauth2/token", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

// basicAuth is the Authorization header of a client of this world.
func (w *world) basicAuth(client string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(client)+":"+url.QueryEscape(w.secrets[client])))
}

// Do sends an HTTP request and reads the answer, JSON or not.
func (w *world) Do(req *http.Request) answer {
	w.t.Helper()
	a, err := w.try(req)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) try(req *http.Request) (answer, error) {
	resp, err := w.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	var a answer
	_ = json.Unmarshal(body, &a) // what isn't JSON leaves the fields empty, and the rows look at them
	a.Status, a.Header, a.Body = resp.StatusCode, resp.Header, body
	if a.Status >= http.StatusBadRequest && !strings.HasPrefix(req.URL.String(), w.dbx.URL()) {
		w.said.addError(a)
	}
	return a, nil
}

// Invoke calls a model with a token that the service answered, and returns the HTTP status.
func (w *world) Invoke(endpoint, token string) int {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.dbx.URL()+"/serving-endpoints/"+endpoint+"/invocations", strings.NewReader(`{"inputs":[1]}`))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	return w.Do(req).Status
}

// mustGrant fails the test unless a is a token that lives about want.
func mustGrant(t *testing.T, a answer, want time.Duration) {
	t.Helper()
	seconds := int(want / time.Second)
	if a.Status != http.StatusOK || a.AccessToken == "" || a.ExpiresIn > seconds || a.ExpiresIn < seconds-20 {
		t.Fatalf("status %d, expires_in %d, want a token of %d s: %s", a.Status, a.ExpiresIn, seconds, a.Body)
	}
}

// mustRefuse fails the test unless a is this refusal.
func mustRefuse(t *testing.T, a answer, status int, code string, reason exchange.Reason) {
	t.Helper()
	if a.Status != status || a.Error != code || a.Reason != string(reason) || a.AccessToken != "" {
		t.Fatalf("got %d %s (%s), want %d %s (%s): %s", a.Status, a.Error, a.Reason, status, code, reason, a.Body)
	}
}
