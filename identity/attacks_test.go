package identity_test

import (
	"encoding/base64"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
	"github.com/lakegate/sts/internal/emulator"
	emulated "github.com/lakegate/sts/internal/emulator/idp"
)

// newAttacks makes the corpus of attacks, and a pool for them.
func newAttacks(t testing.TB, canary string) (*identity.Pool, []emulator.Attack) {
	t.Helper()
	c := newClock()
	server, err := emulated.New(emulated.Config{Now: c.Now, Issuers: []emulated.IssuerConfig{{Name: "okta", Audience: audience}, {Name: "entra", Audience: audience}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	attacks, err := server.Attacks(emulated.AttackConfig{Issuer: "okta", Other: "entra", Canary: canary, Claims: map[string]any{"groups": []string{"ml"}}, Leeway: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var providers []identity.Provider
	for _, issuer := range server.Issuers() {
		providers = append(providers, identity.Provider{
			Name: issuer.Name(), Issuer: issuer.URL(), Audiences: []string{audience}, Algorithms: emulated.AttackAlgorithms(),
			TokenTypes: []exchange.TokenType{exchange.TypeAccessToken, exchange.TypeIDToken, exchange.TypeJWT}, ClockSkew: 30 * time.Second,
		})
	}
	return newPool(t, c, providers...), attacks
}

// newCanary is a server that nobody may call, and how often somebody has.
func newCanary(t testing.TB) (url string, calls *atomic.Int64) {
	t.Helper()
	calls = &atomic.Int64{}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			calls.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, calls
}

// TestAttacks tries every attack on a verifier that accepts its twin: none is accepted, as the subject or as the actor, by
// whatever has been verified before, and each is refused for what it is.
func TestAttacks(t *testing.T) {
	canary, calls := newCanary(t)
	pool, attacks := newAttacks(t, canary)
	if len(attacks) < 700 {
		t.Fatalf("%d attacks; the corpus has shrunk", len(attacks))
	}
	for _, use := range []exchange.Use{exchange.UseSubject, exchange.UseActor} {
		for _, a := range attacks {
			present := func(token string) (*exchange.Identity, error) {
				return pool.Verify(t.Context(), exchange.Presented{Token: exchange.Secret(token), Type: exchange.TokenType(a.Type)}, use)
			}
			if a.Token == a.Twin {
				t.Fatalf("%s: the attack is its twin", a.Name)
			}
			if _, err := present(a.Twin); err != nil {
				t.Errorf("%s: the twin is refused: %v", a.Name, err)
				continue
			}
			id, err := present(a.Token)
			if err == nil {
				t.Errorf("%s: accepted as %q", a.Name, id.Subject)
				continue
			}
			e := exchange.AsError(err)
			if e.Code != exchange.CodeInvalidRequest || !strings.Contains(e.Message, a.Cause) {
				t.Errorf("%s: %s %q, want it refused because it %q", a.Name, e.Code, e.Message, a.Cause)
			}
			if bound := strings.Contains(a.Cause, "(cnf)"); bound != (e.Reason == exchange.ReasonSenderConstrained) { // F27
				t.Errorf("%s: reason %s", a.Name, e.Reason)
			}
			if strings.ContainsFunc(e.Message, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
				t.Errorf("%s: the message %q can't be sent", a.Name, e.Message)
			}
		}
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("the canary has seen %d connections", n)
	}
}

// TestAttackNames holds that each attack is one of its own: a list in which one stands twice is shorter than it looks.
func TestAttackNames(t *testing.T) {
	_, attacks := newAttacks(t, "http://127.0.0.1:1")
	seen := map[string]string{}
	for _, a := range attacks {
		if other, there := seen[a.Type+" "+a.Token]; there {
			t.Errorf("%s is %s", a.Name, other)
		}
		seen[a.Type+" "+a.Token] = a.Name
		if seen["name "+a.Name] != "" {
			t.Errorf("two attacks are called %s", a.Name)
		}
		seen["name "+a.Name] = a.Name
	}
}

// TestMalleableSignature: with (r, s) also (r, n-s) is right, whoever makes it. Both are accepted, since both say the same, and
// a token that is accepted once is so by its jti, whatever its bytes.
func TestMalleableSignature(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	provider := p.provider()
	token := p.good(t)
	end := strings.LastIndexByte(token, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(token[end:])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(p.key.Params().N, s).FillBytes(signature[32:])
	other := token[:end] + base64.RawURLEncoding.EncodeToString(signature)

	pool := newPool(t, c, provider)
	for _, text := range []string{token, other} {
		if id, err := verify(t, pool, text); err != nil || id.Subject != "alice" {
			t.Errorf("%v, %v", id, err)
		}
	}
	provider.SingleUse = true
	pool = newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{provider}, Once: newMarks()})
	_, err = verify(t, pool, token)
	wantReason(t, "the first", err, "")
	_, err = verify(t, pool, other)
	wantReason(t, "its other half", err, exchange.ReasonSubjectTokenReplayed)
}
