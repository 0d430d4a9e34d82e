package identity_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
)

const (
	audience = "api://lakegate"
	issuer   = "https://idp.example"
)

// clock is a clock that only tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, _ := rsa.GenerateKey(rand.Reader, 2048)
	return key
})

// idp is a provider that publishes what it is told to.
type idp struct {
	url   string
	key   *ecdsa.PrivateKey // published as k1 at first
	clock *clock

	mu        sync.Mutex
	keySet    string
	documents string           // the discovery document, "" for a good one
	handle    http.HandlerFunc // in place of the key set
	skew      time.Duration    // of its Date
	fetches   int              // of the key set
}

func newIDP(t testing.TB, c *clock) *idp {
	t.Helper()
	p := &idp{key: newECKey(t), clock: c}
	p.publish(jwk(t, "k1", p.key.Public()), jwk(t, "r1", rsaKey().Public()))
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *idp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	keySet, document, handle := p.keySet, p.documents, p.handle
	w.Header().Set("Date", p.clock.Now().Add(p.skew).UTC().Format(http.TimeFormat))
	if r.URL.Path == "/keys" {
		p.fetches++
	}
	p.mu.Unlock()
	switch {
	case r.URL.Path == "/keys" && handle != nil:
		handle(w, r)
	case r.URL.Path == "/keys":
		_, _ = io.WriteString(w, keySet)
	case r.URL.Path == "/.well-known/openid-configuration" && document != "":
		_, _ = io.WriteString(w, document)
	case r.URL.Path == "/.well-known/openid-configuration":
		_, _ = io.WriteString(w, `{"issuer":"`+p.url+`","jwks_uri":"`+p.url+`/keys"}`)
	default:
		http.NotFound(w, r)
	}
}

func (p *idp) do(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *idp) publish(keys ...string) {
	text := `{"keys":[`
	for i, key := range keys {
		if i > 0 {
			text += ","
		}
		text += key
	}
	p.do(func() { p.keySet = text + "]}" })
}

func (p *idp) fetched() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetches
}

// breakDown has the key server answer 503, and mend undoes it.
func (p *idp) breakDown() {
	p.do(func() {
		p.handle = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	})
}

func (p *idp) mend() { p.do(func() { p.handle = nil }) }

func jwk(t testing.TB, kid string, key crypto.PublicKey) string {
	t.Helper()
	text, err := jose.JSONWebKey{Key: key, KeyID: kid, Use: "sig"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// provider is one whose keys p publishes.
func (p *idp) provider() identity.Provider {
	return identity.Provider{
		Name: "okta", Issuer: issuer, JWKSURI: p.url + "/keys", Audiences: []string{audience, "other"},
		TokenTypes: []exchange.TokenType{exchange.TypeAccessToken, exchange.TypeIDToken, exchange.TypeJWT},
		ClockSkew:  30 * time.Second,
	}
}

// newPool makes a pool of providers that runs on c.
func newPool(t testing.TB, c *clock, providers ...identity.Provider) *identity.Pool {
	t.Helper()
	return newPoolOf(t, identity.Config{Now: c.Now, Providers: providers})
}

func newPoolOf(t testing.TB, config identity.Config) *identity.Pool {
	t.Helper()
	config.Log = slog.New(slog.DiscardHandler)
	pool, err := identity.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

type object map[string]any

// claims of a good token: alice, for half an hour.
func goodClaims(c *clock) object {
	now := c.Now().Unix()
	return object{
		"iss": issuer, "sub": "alice", "aud": audience, "iat": now, "exp": now + 1800, "jti": "j1",
		"azp": "gateway-web", "groups": []string{"ml", "data", "ml"},
	}
}

func goodHeader() object { return object{"alg": "ES256", "kid": "k1", "typ": "JWT"} }

// sign makes a token of anything.
func sign(t testing.TB, key crypto.Signer, header, claims any) string {
	t.Helper()
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	c, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return signText(t, key, string(h), string(c))
}

// signText signs by ES256 or RS256, as the key has it.
func signText(t testing.TB, key crypto.Signer, header, claims string) string {
	t.Helper()
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	h := crypto.SHA256.New()
	h.Write([]byte(input))
	var signature []byte
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
		if err != nil {
			t.Fatal(err)
		}
		signature = slices.Concat(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32)))
	case *rsa.PrivateKey:
		var err error
		if signature, err = rsa.SignPKCS1v15(nil, key, crypto.SHA256, h.Sum(nil)); err != nil {
			t.Fatal(err)
		}
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func (p *idp) good(t testing.TB) string {
	t.Helper()
	return sign(t, p.key, goodHeader(), goodClaims(p.clock))
}

func verify(t testing.TB, pool *identity.Pool, token string) (*exchange.Identity, error) {
	t.Helper()
	return pool.Verify(t.Context(), exchange.Presented{Token: exchange.Secret(token), Type: exchange.TypeJWT}, exchange.UseSubject)
}

// reasonOf is the reason of an error, "" of none, and "foreign" of one that isn't ours.
func reasonOf(err error) exchange.Reason {
	var e *exchange.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Reason
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "caller"
	}
	return "foreign"
}

func wantReason(t testing.TB, what string, err error, want exchange.Reason) {
	t.Helper()
	if got := reasonOf(err); got != want {
		t.Errorf("%s: %q (%v), want %q", what, got, err, want)
	}
}
