package identity_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
)

const skewMetric = "sts_identity_clock_skew_seconds okta "

// TestTokensProveThatAClockIsAhead holds what the iat of tokens tells, and what it doesn't.
func TestTokensProveThatAClockIsAhead(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	registry := prometheus.NewPedanticRegistry()
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{p.provider()}, Metrics: registry})
	present := func(key string, ahead float64) {
		signer := p.key
		if key != "its own" {
			signer = newECKey(t)
		}
		claims := goodClaims(c)
		claims["iat"] = float64(c.Now().Unix()) + ahead
		_, _ = verify(t, pool, sign(t, signer, goodHeader(), claims))
	}
	wants := func(what string, want float64, known bool) {
		t.Helper()
		if got, there := gather(t, registry)[skewMetric+"iat"]; got != want || there != known {
			t.Errorf("%s: %v (known: %v), want %v (%v)", what, got, there, want, known)
		}
	}
	present("another's", 500)
	wants("a forged token", 0, false)
	present("its own", -60)
	wants("an old token proves nothing", 0, true)
	present("its own", 12)
	wants("accepted within the leeway", 12, true)
	present("its own", 94)
	wants("refused, and yet a proof", 94, true)
	present("its own", 40)
	wants("less than what is proven", 94, true)
	c.move(6 * time.Minute)
	present("its own", 3)
	wants("the stretch before counts, too", 94, true)
	c.move(5 * time.Minute)
	present("its own", 2)
	wants("the clock was mended", 3, true)
	c.move(-time.Hour)
	wants("our own clock was set back", 0, false)
}

// TestACachedDateIsOlder holds that a cache on the way makes no clock late.
func TestACachedDateIsOlder(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	p.skew = -90 * time.Second
	keySet := p.keySet
	p.handle = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Age", "90")
		_, _ = w.Write([]byte(keySet))
	}
	registry := prometheus.NewPedanticRegistry()
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{p.provider()}, Metrics: registry})
	if _, err := verify(t, pool, p.good(t)); err != nil {
		t.Fatal(err)
	}
	if got := gather(t, registry)[skewMetric+"date"]; got != 0 {
		t.Errorf("the clock is %v s ahead, want 0", got)
	}
}

// TestWithoutADateTheTokenTells is a provider whose keys come from a file, so that nothing is known of its clock.
func TestWithoutADateTheTokenTells(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	provider := p.provider()
	provider.JWKSURI, provider.JWKSFile = "", filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(provider.JWKSFile, []byte(p.keySet), 0o600); err != nil {
		t.Fatal(err)
	}
	pool := newPool(t, c, provider)
	for claim, want := range map[string]string{
		"iat": "not valid yet: the provider's clock is at least 94 s ahead of ours, as its iat shows",
		"nbf": "not valid yet: its nbf is 94 s ahead of our clock",
	} {
		claims := goodClaims(c)
		in(claim, 94)(claims)
		_, err := verify(t, pool, sign(t, p.key, goodHeader(), claims))
		if err == nil || !strings.Contains(exchange.AsError(err).Message, want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
