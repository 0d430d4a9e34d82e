package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
	"github.com/lakegate/sts/internal/emulator"
	emulated "github.com/lakegate/sts/internal/emulator/idp"
)

const (
	acme   = "00000000-1111-2222-3333-444444444444"
	globex = "11111111-2222-3333-4444-555555555555"
	evil   = "22222222-3333-4444-5555-666666666666"
	ada    = "aaaaaaaa-0000-4000-8000-000000000001"
	group1 = "bbbbbbbb-0000-4000-8000-000000000001"
	group2 = "bbbbbbbb-0000-4000-8000-000000000002"
)

// entra is an emulated Entra ID and how it is configured for two tenants.
func entra(t *testing.T, c *clock) (*emulated.Entra, identity.Provider) {
	t.Helper()
	e, err := emulated.NewEntra(emulated.Config{Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	url, err := e.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e, identity.Provider{
		Name: "entra", Issuer: url + "/{tenantid}/v2.0", OtherIssuer: url + "/{tenantid}/", Tenants: []string{acme, globex},
		Audiences: []string{audience}, TokenTypes: []exchange.TokenType{exchange.TypeAccessToken},
		SubjectClaims: map[exchange.TokenType]string{exchange.TypeAccessToken: "oid"}, PartyClaims: []string{"azp", "client_id", "appid"},
	}
}

func user(tenant string) emulated.EntraUser {
	return emulated.EntraUser{Tenant: tenant, ID: ada, Login: "ada@acme.example", Groups: []string{group1}, Client: "app", Audience: audience}
}

func verifyAccess(pool *identity.Pool, token string) (*exchange.Identity, error) {
	return pool.Verify(context.Background(), exchange.Presented{Token: exchange.Secret(token), Type: exchange.TypeAccessToken}, exchange.UseSubject)
}

// A person of a tenant is one identity under both versions, and another one's in another tenant.
func TestEntraTenants(t *testing.T) {
	c := newClock()
	e, provider := entra(t, c)
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{provider}})
	claim := func(tenant string, v2 bool, name string, value any) emulated.Token {
		token := e.AccessToken(user(tenant), v2)
		token.Claims[name] = value
		return token
	}
	bare := e.IDToken(user(acme), true)
	bare.Claims["nonce"], bare.Claims["aud"] = nil, audience // an application that is its own API
	for _, test := range []struct {
		name       string
		token      emulated.Token
		wantIssuer string // "" where it is refused
		reason     exchange.Reason
	}{
		{"version 2", e.AccessToken(user(acme), true), e.IssuerOf(acme, true), ""},
		{"version 1", e.AccessToken(user(acme), false), e.IssuerOf(acme, true), ""},
		{"another tenant", e.AccessToken(user(globex), true), e.IssuerOf(globex, true), ""},
		{"another tenant, version 1", e.AccessToken(user(globex), false), e.IssuerOf(globex, true), ""},
		{"a tenant that isn't listed", e.AccessToken(user(evil), true), "", exchange.ReasonIssuerUnknown},
		{"and says that it is another", claim(evil, true, "tid", acme), "", exchange.ReasonIssuerUnknown},
		{"tid of a listed tenant, iss of another", claim(acme, true, "tid", globex), "", exchange.ReasonSubjectTokenInvalid},
		{"no tid", claim(acme, true, "tid", nil), "", exchange.ReasonSubjectTokenInvalid},
		{"tid of another type", claim(acme, true, "tid", []string{acme}), "", exchange.ReasonSubjectTokenInvalid},
		{"the placeholder itself", claim(acme, true, "iss", e.IssuerOf("{tenantid}", true)), "", exchange.ReasonIssuerUnknown},
		{"another version's end", claim(acme, true, "iss", e.IssuerOf(acme, true)+"/"), "", exchange.ReasonIssuerUnknown},
		{"no oid", claim(acme, true, "oid", nil), "", exchange.ReasonSubjectTokenInvalid},
		{"an ID token without nonce", bare, "", exchange.ReasonSubjectTokenInvalid},
		{"an ID token", e.IDToken(user(acme), true), "", exchange.ReasonSubjectTokenInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := verifyAccess(pool, e.MustMint(test.token))
			switch {
			case test.wantIssuer == "":
				wantReason(t, test.name, err, test.reason)
			case err != nil:
				t.Error(err)
			case got.Issuer != test.wantIssuer || got.Subject != ada || got.Party != "app":
				t.Errorf("it is %s of %s through %s", got.Subject, got.Issuer, got.Party)
			}
		})
	}
}

// Keys say in their own member issuer whose tokens they sign, and sign no others.
func TestKeysOfOneTenant(t *testing.T) {
	c := newClock()
	e, provider := entra(t, c)
	for _, test := range []struct {
		of   string // whose keys are configured
		want exchange.Reason
	}{
		{"common", ""}, {acme, ""}, {globex, exchange.ReasonSubjectTokenInvalid},
	} {
		provider.JWKSURI = e.URL() + "/" + test.of + "/discovery/v2.0/keys"
		pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{provider}})
		for _, v2 := range []bool{true, false} {
			_, err := verifyAccess(pool, e.MustMint(e.AccessToken(user(acme), v2)))
			wantReason(t, test.of, err, test.want)
		}
	}
}

// The common document may call its issuer {tenantid}, since that is what is configured; a tenant's own may not.
func TestTenantDiscovery(t *testing.T) {
	c := newClock()
	e, provider := entra(t, c)
	provider.Issuer, provider.OtherIssuer, provider.Tenants = e.IssuerOf(acme, true), e.IssuerOf(acme, false), []string{acme}
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{provider}})
	if _, err := verifyAccess(pool, e.MustMint(e.AccessToken(user(acme), false))); err != nil {
		t.Error(err)
	}
	e.AddFault(emulator.Fault{Route: "GET /{tenant}/v2.0/.well-known/openid-configuration", Set: map[string]json.RawMessage{"issuer": json.RawMessage(`"` + e.IssuerOf("{tenantid}", true) + `"`)}})
	pool = newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{provider}})
	_, err := verifyAccess(pool, e.MustMint(e.AccessToken(user(acme), true)))
	wantReason(t, "a tenant's document that calls itself everybody's", err, exchange.ReasonProviderUnavailable)
}

func TestTenantFaults(t *testing.T) {
	good := identity.Provider{
		Name: "entra", Issuer: "https://login.example/{tenantid}/v2.0", Tenants: []string{acme}, Audiences: []string{audience},
		TokenTypes: []exchange.TokenType{exchange.TypeAccessToken},
	}
	for name, change := range map[string]func(p *identity.Provider){
		"no tenants":           func(p *identity.Provider) { p.Tenants = nil },
		"a tenant by its name": func(p *identity.Provider) { p.Tenants = []string{"acme.example"} },
		"several, and no placeholder": func(p *identity.Provider) {
			p.Tenants, p.Issuer = []string{acme, globex}, "https://login.example/"+acme+"/v2.0"
		},
		"another tenant's issuer": func(p *identity.Provider) { p.Issuer = "https://login.example/" + globex + "/v2.0" },
		"nobody to ask":           func(p *identity.Provider) { p.ResolveOverage = true },
		"roles nowhere":           func(p *identity.Provider) { p.RolesClaim = "a..b" },
	} {
		p := good
		change(&p)
		if _, err := identity.New(identity.Config{Providers: []identity.Provider{p}}); err == nil {
			t.Errorf("%s: no fault", name)
		}
	}
	if _, err := identity.New(identity.Config{Providers: []identity.Provider{good}}); err != nil {
		t.Error(err)
	}
}

// source is a GroupSource that says what it is told to.
type source struct {
	names []string
	until time.Time
	err   error
	asked atomic.Int32
	last  atomic.Pointer[identity.Member]
}

func (s *source) Groups(_ context.Context, who identity.Member) ([]string, time.Time, error) {
	s.asked.Add(1)
	s.last.Store(&who)
	return s.names, s.until, s.err
}

func TestResolvedGroups(t *testing.T) {
	c := newClock()
	e, provider := entra(t, c)
	provider.ResolveOverage, provider.RolesClaim = true, "roles"
	s := &source{names: []string{group1, group2}, until: c.Now().Add(2 * time.Minute)}
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{provider}, Groups: s})
	over := user(acme)
	over.Overage, over.Roles = true, []string{"Analyst"}
	token := e.MustMint(e.AccessToken(over, true))
	for range 2 {
		got, err := verifyAccess(pool, token)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(exchange.Groups{Known: true, Names: []string{"Analyst", group1, group2}}, got.Groups); diff != "" {
			t.Error(diff)
		}
	}
	if n, who := s.asked.Load(), *s.last.Load(); n != 1 || who != (identity.Member{Provider: "entra", Tenant: acme, Object: ada}) {
		t.Errorf("asked %d times, last for %+v", n, who)
	}

	// What was resolved is asked for anew when it is old, whatever is left of the token.
	c.move(2 * time.Minute)
	s.names, s.until = []string{group2}, c.Now().Add(2*time.Minute)
	if got, err := verifyAccess(pool, token); err != nil || len(got.Groups.Names) != 2 {
		t.Errorf("a group that he has left: %v, %v", got, err)
	}
	c.move(2 * time.Minute)
	s.err = exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonProviderUnavailable, "down")
	_, err := verifyAccess(pool, token)
	wantReason(t, "an outage", err, exchange.ReasonProviderUnavailable)

	// Nobody is asked for a token that isn't verified, or doesn't need it.
	before := s.asked.Load()
	forged, expired, foreign := e.AccessToken(over, true), e.AccessToken(over, true), e.AccessToken(over, true)
	forged.Forged, expired.Lifetime = true, -time.Second
	foreign.Claims["aud"] = "api://other"
	odd := e.AccessToken(over, true)
	odd.Claims["oid"] = "../users/" + ada
	roles := e.AccessToken(over, true)
	roles.Claims["_claim_names"] = map[string]any{"roles": "src1"}
	for _, recipe := range []emulated.Token{forged, expired, foreign, odd, roles, e.AccessToken(user(acme), true)} {
		_, _ = verifyAccess(pool, e.MustMint(recipe))
	}
	if n := s.asked.Load() - before; n != 0 {
		t.Errorf("asked %d times", n)
	}
}

// Roles count as groups where the configuration says so, and are complete where the groups are too many.
func TestRoles(t *testing.T) {
	c := newClock()
	e, provider := entra(t, c)
	both, only := provider, provider
	both.RolesClaim, only.GroupsClaim = "roles", "roles"
	with := func(groups, roles []string, over bool) string {
		u := user(acme)
		u.Groups, u.Roles, u.Overage = groups, roles, over
		return e.MustMint(e.AccessToken(u, true))
	}
	known := func(names ...string) exchange.Groups { return exchange.Groups{Known: true, Names: names} }
	for _, test := range []struct {
		name     string
		provider identity.Provider
		token    string
		want     exchange.Groups
	}{
		{"groups alone", provider, with([]string{group1}, []string{"Analyst"}, false), known(group1)},
		{"both", both, with([]string{group1}, []string{"Analyst"}, false), known("Analyst", group1)},
		{"both, no roles", both, with([]string{group1}, nil, false), known(group1)},
		{"both, no groups claim", both, with(nil, []string{"Analyst"}, false), exchange.Groups{}},
		{"both, too many", both, with(nil, []string{"Analyst"}, true), exchange.Groups{Overage: true}},
		{"roles alone", only, with([]string{group1}, []string{"Analyst"}, false), known("Analyst")},
		{"roles alone, too many groups", only, with(nil, []string{"Analyst"}, true), known("Analyst")},
		{"roles alone, none", only, with([]string{group1}, nil, false), exchange.Groups{}},
	} {
		pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{test.provider}})
		got, err := verifyAccess(pool, test.token)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if diff := cmp.Diff(test.want, got.Groups); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{both}})
	odd := e.AccessToken(user(acme), true)
	odd.Claims["roles"] = "Analyst"
	_, err := verifyAccess(pool, e.MustMint(odd))
	var refused *exchange.Error
	if !errors.As(err, &refused) || refused.Reason != exchange.ReasonGroupsMalformed {
		t.Errorf("a text of roles: %v", err)
	}
}
