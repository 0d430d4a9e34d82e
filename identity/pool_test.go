package identity_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
)

func TestHits(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	pool := newPool(t, c, p.provider())
	claims := both2(goodClaims(c), set("nbf", c.Now().Unix()-60))
	claims["iat"] = c.Now().Unix() - 60
	token := exchange.Secret(sign(t, p.key, goodHeader(), claims))
	get := func(declared exchange.TokenType, use exchange.Use) (*exchange.Identity, error) {
		return pool.Verify(t.Context(), exchange.Presented{Token: token, Type: declared}, use)
	}
	first, err := get(exchange.TypeJWT, exchange.UseSubject)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := get(exchange.TypeJWT, exchange.UseSubject); err != nil || again != first {
		t.Errorf("the second look made another identity: %v", err)
	}
	for name, other := range map[string]func() (*exchange.Identity, error){
		"another type": func() (*exchange.Identity, error) { return get(exchange.TypeAccessToken, exchange.UseSubject) },
		"another use":  func() (*exchange.Identity, error) { return get(exchange.TypeJWT, exchange.UseActor) },
	} {
		if got, err := other(); err != nil || got == first {
			t.Errorf("%s found the identity of the first: %v", name, err)
		}
	}
	// What the clock may have changed is looked at on each hit.
	for _, step := range []struct {
		name  string
		after time.Duration
		want  exchange.Reason
	}{
		{"last second", 1799 * time.Second, ""},
		{"expired", time.Second, exchange.ReasonSubjectTokenExpired},
		{"set back before nbf", -time.Hour, exchange.ReasonSubjectTokenNotYetValid},
		{"good again", 31 * time.Minute, ""},
	} {
		c.move(step.after)
		_, err := get(exchange.TypeJWT, exchange.UseSubject)
		wantReason(t, step.name, err, step.want)
	}
}

func TestHitsGrowOld(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	provider := p.provider()
	provider.MaxTokenAge = 10 * time.Minute
	pool := newPool(t, c, provider)
	token := p.good(t)
	for _, step := range []struct {
		after time.Duration
		want  exchange.Reason
	}{{0, ""}, {10 * time.Minute, ""}, {time.Second, exchange.ReasonSubjectTokenExpired}} {
		c.move(step.after)
		_, err := verify(t, pool, token)
		wantReason(t, "after "+step.after.String(), err, step.want)
	}
}

// A text that differs in one character is another token, whatever was verified before.
func TestHitsAreExact(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	pool := newPool(t, c, p.provider())
	token := p.good(t)
	if _, err := verify(t, pool, token); err != nil {
		t.Fatal(err)
	}
	for i := range token {
		swapped := byte('A')
		if token[i] == 'A' {
			swapped = 'B'
		}
		if _, err := verify(t, pool, token[:i]+string(swapped)+token[i+1:]); err == nil {
			t.Errorf("accepted with another character %d", i)
		}
	}
}

func TestReload(t *testing.T) {
	c := newClock()
	p, second := newIDP(t, c), newIDP(t, c)
	pool := newPool(t, c, p.provider())
	token := p.good(t)
	first, err := verify(t, pool, token)
	if err != nil {
		t.Fatal(err)
	}
	prepare := func(providers ...identity.Provider) *identity.Prepared {
		t.Helper()
		prepared, err := pool.Prepare(providers)
		if err != nil {
			t.Fatal(err)
		}
		return prepared
	}
	narrowed := p.provider()
	narrowed.Audiences = []string{"other"}
	prepared := prepare(narrowed)
	_, err = verify(t, pool, token)
	wantReason(t, "prepared, not in force", err, "")

	prepare(p.provider()).Commit()
	if again, err := verify(t, pool, token); err != nil || again != first {
		t.Errorf("a reload that changed nothing forgot what was verified: %v", err)
	}
	prepared.Commit()
	_, err = verify(t, pool, token)
	wantReason(t, "verified by the configuration before", err, exchange.ReasonSubjectTokenInvalid)

	added := second.provider()
	added.Name, added.Issuer = "entra", "https://other.example"
	prepare(p.provider(), added).Commit()
	again, err := verify(t, pool, token)
	wantReason(t, "back again", err, "")
	if again == first {
		t.Error("an entry of another configuration was found")
	}
	prepare(added, p.provider()).Commit()
	if same, err := verify(t, pool, token); err != nil || same != again {
		t.Errorf("another order is another configuration: %v", err)
	}
	if n := p.fetched(); n != 1 {
		t.Errorf("%d fetches; the keys of a provider that stays are kept", n)
	}
	prepare(added).Commit()
	_, err = verify(t, pool, token)
	wantReason(t, "removed", err, exchange.ReasonIssuerUnknown)
}

func TestNewNamesEveryFault(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	for _, test := range []struct {
		change func(*identity.Provider)
		want   []string
	}{
		{func(p *identity.Provider) { p.Name = "" }, []string{"no name"}},
		{func(p *identity.Provider) { *p = identity.Provider{Name: "okta"} }, []string{"okta", "issuer", "audiences", "token_types"}},
		{func(p *identity.Provider) { p.Issuer = "" }, []string{"issuer"}},
		{func(p *identity.Provider) { p.Issuer, p.JWKSURI = "http://idp.example", "" }, []string{"issuer", "https", "jwks_uri"}},
		{func(p *identity.Provider) { p.Issuer, p.JWKSURI = "https://idp.example/?a=b", "" }, []string{"query"}},
		{func(p *identity.Provider) { p.Issuer, p.JWKSURI = "accounts.google.com", "" }, []string{"absolute https URL"}},
		{func(p *identity.Provider) { p.JWKSURI = "http://idp.example/keys" }, []string{"jwks_uri", "loopback"}},
		{func(p *identity.Provider) { p.JWKSURI = "https://user:hush@idp.example/keys" }, []string{"jwks_uri"}},
		{func(p *identity.Provider) { p.JWKSFile = "keys.json" }, []string{"both"}},
		{func(p *identity.Provider) { p.Algorithms = []string{"HS256"} }, []string{"HS256", "RS256"}},
		{func(p *identity.Provider) { p.Algorithms = []string{"none"} }, []string{"none"}},
		{func(p *identity.Provider) { p.Audiences = []string{""} }, []string{"audiences"}},
		{func(p *identity.Provider) { p.TokenTypes = []exchange.TokenType{"saml2"} }, []string{"saml2"}},
		{func(p *identity.Provider) { p.SubjectClaims = map[exchange.TokenType]string{"saml2": "x"} }, []string{"subject_claim"}},
		{func(p *identity.Provider) { p.GroupsClaim = "a..b" }, []string{"groups_claim"}},
		{func(p *identity.Provider) { p.ClockSkew = time.Hour }, []string{"clock_skew"}},
		{func(p *identity.Provider) { p.ClockSkew = -1 }, []string{"clock_skew"}},
		{func(p *identity.Provider) { p.MaxTokenAge = -1 }, []string{"max_token_age"}},
	} {
		provider := p.provider()
		test.change(&provider)
		_, err := identity.New(identity.Config{Now: c.Now, Providers: []identity.Provider{provider}})
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v does not say %q", err, want)
			}
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("the error holds a password: %v", err)
		}
	}
	twin := p.provider()
	twin.Name = "twin"
	_, err := identity.New(identity.Config{Providers: []identity.Provider{p.provider(), twin, p.provider()}})
	for _, want := range []string{"okta and twin have the same issuer", "okta is there twice"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestMetrics(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	p.skew = -7 * time.Second
	registry := prometheus.NewPedanticRegistry()
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{p.provider()}, Metrics: registry})
	for _, token := range []string{p.good(t), "garbage", sign(t, p.key, goodHeader(), both2(goodClaims(c), drop("exp")))} {
		_, _ = verify(t, pool, token)
		_, _ = verify(t, pool, token)
	}
	c.move(5 * time.Second)
	for name, want := range map[string]float64{
		"sts_identity_verifications_total okta ok":                       2,
		"sts_identity_verifications_total okta subject_token_invalid":    2,
		"sts_identity_verifications_total unknown subject_token_invalid": 2,
		"sts_identity_cache_hits_total":                                  1,
		"sts_identity_cache_misses_total":                                5,
		"sts_jwks_fetches_total okta ok":                                 1,
		"sts_jwks_keys okta":                                             2,
		"sts_jwks_age_seconds okta":                                      5,
		"sts_identity_clock_skew_seconds okta date":                      -7,
		"sts_identity_clock_skew_seconds okta iat":                       0,
	} {
		if got, there := gather(t, registry)[name]; !there || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	prepared, err := pool.Prepare(nil)
	if err != nil {
		t.Fatal(err)
	}
	prepared.Commit()
	for name := range gather(t, registry) {
		if strings.Contains(name, "okta") {
			t.Errorf("%s is still there without its provider", name)
		}
	}
	if _, err := identity.New(identity.Config{Metrics: registry}); err == nil {
		t.Error("registered twice")
	}
}

func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return values
}
