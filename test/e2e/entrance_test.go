package e2e_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
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
	Status int         // HTTP's; gRPC's and that of a batch's member are translated
	Header http.Header // nil for gRPC and members of a batch
	// Code is gRPC's alone.
	Code codes.Code `json:"-"`
	// RetryAfter is when to ask again, 0 where nothing is said of it.
	RetryAfter time.Duration `json:"-"`
	Body       []byte

	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int    `json:"expires_in"`
	Scope           string `json:"scope"`
	Details         []any  `json:"authorization_details"`
	RefreshToken    string `json:"refresh_token"`
	Delegation      struct {
		Actors int `json:"actors"`
	} `json:"delegation"`

	Error       string `json:"error"`
	Description string `json:"error_description"`
	Reason      string `json:"reason"`
	DecisionID  string `json:"decision_id"`
}

// entrance is a way to ask the service for a token.
type entrance struct {
	name string
	// recorded is how records name it.
	recorded string
	ask      func(w *world, r request) answer
}

// entrances are all ways: a batch is one, too, and what it holds must fare as if it had been asked alone. The first three
// are those for one request.
var entrances = []entrance{
	{"form", "form", askForm}, {"grpc", "grpc", askGRPC}, {"json", "json", askJSON},
	{"grpc batch", "grpc", askGRPCBatch}, {"json batch", "json", askJSONBatch},
}

// singles are the entrances without batches: for what is expensive, or is a member of no batch.
var singles = entrances[:3]

// formOnly and others are the entrances that a row has, where not all have it.
var (
	formOnly  = []string{"form"}
	jsonAlone = []string{"json"}
)

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

// Ask sends the baseline request with a change, through this world's entrance: the form, unless it was made by [world.Through].
// What is answered is held against what other entrances answer, in tests that run through each.
func (w *world) Ask(change ...func(*request)) answer {
	w.t.Helper()
	a := w.Probe(change...)
	if w.hear != nil {
		w.hear(a)
	}
	return a
}

// Probe is Ask for what comes as often as it happens to, or beside others: it is held against nothing.
func (w *world) Probe(change ...func(*request)) answer {
	w.t.Helper()
	r := b0(w)
	for _, f := range change {
		f(&r)
	}
	return w.door.ask(w, r)
}

// Within is the same world, whose callers leave when ctx ends; they are answered nothing.
func (w *world) Within(ctx context.Context) *world {
	within := *w
	within.ctx = ctx
	return &within
}

func (w *world) context() context.Context {
	if w.ctx != nil {
		return w.ctx
	}
	return w.t.Context()
}

// Through is the same world, asked through an entrance.
func (w *world) Through(e entrance) *world {
	through := *w
	through.door = e
	return &through
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
	form := maps.Clone(r.Params)
	if r.Client == "poster" {
		form.Set("client_id", r.Client)
		form.Set("client_secret", cmp.Or(r.Secret, w.secrets[r.Client]))
		r.Client = ""
	}
	return w.Do(w.headed(w.FormRequest(form.Encode()), r))
}

// headed gives an HTTP request what r has beside its parameters.
func (w *world) headed(req *http.Request, r request) *http.Request {
	for name, values := range r.Header {
		req.Header[name] = values
	}
	if basic := w.basic(r); basic != "" {
		req.Header.Set("Authorization", basic)
	}
	return req
}

// basic is the Authorization of a request, "" for one without.
func (w *world) basic(r request) string {
	if r.Client == "" {
		return ""
	}
	return basicAuth(r.Client, cmp.Or(r.Secret, w.secrets[r.Client]))
}

func basicAuth(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// FormRequest is a POST of body to the token endpoint, without credentials.
func (w *world) FormRequest(body string) *http.Request {
	w.t.Helper()
	return w.post("/oauth2/token", "application/x-www-form-urlencoded", body)
}

// JSONRequest is a POST of a body to the API, without credentials.
func (w *world) JSONRequest(path, body string) *http.Request {
	w.t.Helper()
	return w.post(path, "application/json", body)
}

func (w *world) post(path, mediaType, body string) *http.Request {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.context(), http.MethodPost, w.scheme+"://"+w.sts.http+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaType)
	return req
}

// basicAuth is the Authorization header of a client of this world.
func (w *world) basicAuth(client string) string { return basicAuth(client, w.secrets[client]) }

// Do sends an HTTP request and reads the answer, JSON or not.
func (w *world) Do(req *http.Request) answer {
	w.t.Helper()
	a, err := w.try(req)
	if err != nil && w.context().Err() == nil {
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
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		a.RetryAfter = time.Duration(seconds) * time.Second
	}
	switch {
	case strings.HasPrefix(req.URL.String(), w.dbx.URL()):
	case a.Status >= http.StatusBadRequest:
		w.said.addError(a)
	default:
		w.said.addError(answer{Status: a.Status, Header: a.Header})
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
