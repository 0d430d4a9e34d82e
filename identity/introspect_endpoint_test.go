package identity_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
)

// oracle is an introspection endpoint that answers what it is told to.
type oracle struct {
	url   string
	clock *clock

	mu     sync.Mutex
	answer object           // of every token but the probe
	handle http.HandlerFunc // in place of the answer
	asked  []string         // the tokens, without probes
}

// credential has characters that form-encoding changes.
const (
	oracleClient = "lake gate"
	oracleSecret = "s3cret+/=%:é"
)

func newOracle(t testing.TB, c *clock) *oracle {
	t.Helper()
	o := &oracle{clock: c}
	o.says(nil)
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	o.url = server.URL
	return o
}

func (o *oracle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, err := url.ParseQuery(string(body))
	id, secret, basic := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	w.Header().Set("Date", o.clock.Now().UTC().Format(http.TimeFormat))
	switch {
	case r.Method != http.MethodPost, err != nil, r.URL.RawQuery != "", len(form["token"]) != 1, r.Header.Get("Accept") != "application/json",
		r.Header.Get("Content-Type") != "application/x-www-form-urlencoded":
		w.WriteHeader(http.StatusBadRequest)
		return
	case !basic, id != oracleClient, secret != oracleSecret:
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	o.mu.Lock()
	answer, handle := o.answer, o.handle
	if strings.Contains(form.Get("token"), "probe") {
		answer = object{"active": false}
	} else {
		o.asked = append(o.asked, form.Get("token"))
	}
	o.mu.Unlock()
	if handle != nil {
		handle(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	_ = json.NewEncoder(w).Encode(answer)
}

// says has it answer as of a good token, with that change.
func (o *oracle) says(change func(object)) {
	now := o.clock.Now().Unix()
	answer := object{
		"active": true, "iss": issuer, "sub": "alice", "aud": []string{audience}, "client_id": "gateway-web", "iat": now, "exp": now + 1800,
		"scope": "read write", "token_type": "Bearer", "groups": []string{"ml"}, "jti": "o1",
	}
	if change != nil {
		change(answer)
	}
	o.do(func() { o.answer, o.handle = answer, nil })
}

func (o *oracle) do(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

func (o *oracle) answers(status int, media, body string) {
	o.do(func() {
		o.handle = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	})
}

func (o *oracle) tokens() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.asked...)
}

// provider is one that o is asked for.
func (o *oracle) provider() identity.Provider {
	return identity.Provider{
		Name: "opaque", Issuer: issuer, Audiences: []string{audience}, TokenTypes: []exchange.TokenType{exchange.TypeAccessToken}, ClockSkew: 30 * time.Second,
		Introspection: &identity.Introspection{Endpoint: o.url, ClientID: oracleClient, ClientSecret: oracleSecret},
	}
}

func present(t testing.TB, pool *identity.Pool, token string) (*exchange.Identity, error) {
	t.Helper()
	return pool.Verify(t.Context(), exchange.Presented{Token: exchange.Secret(token), Type: exchange.TypeAccessToken}, exchange.UseSubject)
}
