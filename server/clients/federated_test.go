package clients_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
)

// verdict is an exchange.Verifier that has made up its mind, and counts.
type verdict struct {
	id    *exchange.Identity
	err   error
	asked int
	as    exchange.Use
	typ   exchange.TokenType
}

func (v *verdict) Verify(_ context.Context, p exchange.Presented, use exchange.Use) (*exchange.Identity, error) {
	v.asked++
	v.as, v.typ = use, p.Type
	return v.id, v.err
}

const (
	cluster     = "https://kubernetes.example"
	account     = "system:serviceaccount:data:etl"
	spiffeType  = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
	trustDomain = "spiffe://acme.example"
)

func federated(id, issuer, subject string) clients.Registration {
	return clients.Registration{
		Client: exchange.Client{ID: id}, Method: clients.MethodFederated, Workload: clients.Workload{Issuer: issuer, Subject: subject},
	}
}

func hour(issuer, subject string) *exchange.Identity {
	return &exchange.Identity{Issuer: issuer, Subject: subject, IssuedAt: now, Expiry: now.Add(time.Hour)}
}

func TestFederated(t *testing.T) {
	key := newSigner(t, "k", jose.ES256)
	v := &verdict{}
	registry := newRegistry(t, clients.Config{Issuer: issuer, TokenEndpoint: tokenEndpoint, Once: &marks{seen: map[string][2]time.Time{}}, Verifier: v, Now: func() time.Time { return now }})
	snapshot, err := clients.Prepare([]clients.Registration{
		federated("nightly", cluster, account), federated("agent", trustDomain, trustDomain+"/agent"),
		signing("etl", keySet(t, key)), client("kong", clients.MethodBasic, "secret"),
	})
	if err != nil {
		t.Fatal(err)
	}
	registry.Commit(snapshot)
	token := key.sign(t, "JWT", map[string]any{"iss": cluster, "sub": account, "aud": []string{issuer}})
	anonymous := key.sign(t, "JWT", map[string]any{"sub": trustDomain + "/agent", "aud": issuer})

	refused := func(reason exchange.Reason) error {
		return exchange.Refuse(exchange.CodeInvalidRequest, reason, "the client token of the provider k8s: what nobody else is told")
	}
	long := hour(cluster, account)
	long.Expiry = now.Add(24*time.Hour + time.Second)
	acted := hour(cluster, account)
	acted.Actors = []exchange.Actor{{Issuer: cluster, Subject: "system:serviceaccount:data:agent"}}
	const failed = "client authentication failed"
	for _, c := range []struct {
		name  string
		typ   string // of the assertion; default jwt-bearer
		token exchange.Secret
		id    string
		says  verdict
		want  string // a client, or a part of the refusal with a ! before it
	}{
		{"H21 a service account", "", token, "", verdict{id: hour(cluster, account)}, "nightly"},
		{"H21 with its client_id", "", token, "nightly", verdict{id: hour(cluster, account)}, "nightly"},
		{"H21 a JWT-SVID", spiffeType, anonymous, "", verdict{id: hour(trustDomain, trustDomain+"/agent")}, "agent"},
		{"H21 a JWT-SVID as any JWT", "", anonymous, "", verdict{id: hour(trustDomain, trustDomain+"/agent")}, "agent"},
		{"H21 another client_id", "", token, "agent", verdict{id: hour(cluster, account)}, "!" + failed},
		{"H21 a client_id of a secret", "", token, "kong", verdict{id: hour(cluster, account)}, "!" + failed},
		{"H21 another subject", "", token, "", verdict{id: hour(cluster, account+"2")}, "!" + failed},
		{"H21 the subject at another issuer", "", token, "", verdict{id: hour(cluster+"2", account)}, "!" + failed},
		{"H21 wrong aud", "", token, "", verdict{err: refused(exchange.ReasonClientAuthenticationFailed)}, "!issuer " + issuer + " as its only audience"},
		{"H21 a bad signature", "", token, "", verdict{err: refused(exchange.ReasonSubjectTokenInvalid)}, "!" + failed},
		{"H21 expired", "", token, "", verdict{err: refused(exchange.ReasonSubjectTokenExpired)}, "!" + failed},
		{"H21 an unknown issuer", "", token, "", verdict{err: refused(exchange.ReasonIssuerUnknown)}, "!" + failed},
		{"H21 for too long", "", token, "", verdict{id: long}, "!longer than 24h"},
		{"H21 of somebody who acts for it", "", token, "", verdict{id: acted}, "!act"},
		{"H21 another's token as a JWT-SVID", spiffeType, token, "", verdict{id: hour(cluster, account)}, "!is for JWT-SVIDs"},
		{"an assertion of another kind", "urn:x", token, "", verdict{id: hour(cluster, account)}, "!client_assertion_type must be"},
		{"the keys can't be had", "", token, "", verdict{err: exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonProviderUnavailable, "of k8s")}, "!ask again"},
	} {
		*v = c.says
		typ := c.typ
		if typ == "" {
			typ = assertionType
		}
		got, err := registry.Authenticate(t.Context(), clients.Credentials{Assertion: c.token, AssertionType: typ, ClientID: c.id})
		part, refusal := strings.CutPrefix(c.want, "!")
		var e *exchange.Error
		switch {
		case !refusal && (err != nil || got.ID != c.want):
			t.Errorf("%s: %v, %v", c.name, got, err)
		case refusal && (got != nil || !errors.As(err, &e) || !strings.Contains(e.Message, part) || strings.Contains(e.Message, "k8s")):
			t.Errorf("%s: %v, %v, want one about %q", c.name, got, err, part)
		case v.asked > 0 && (v.as != exchange.UseClient || v.typ != exchange.TypeJWT):
			t.Errorf("%s: it was verified as %s for %s", c.name, v.typ, v.as)
		}
	}

	// Who signs his own assertions still does, and a platform's token is none of those.
	*v = verdict{err: errors.New("not to be asked")}
	if got, err := registry.Authenticate(t.Context(), clients.Credentials{Assertion: key.sign(t, "", claims(nil)), AssertionType: assertionType}); err != nil || got.ID != "etl" || v.asked > 0 {
		t.Errorf("%v, %v", got, err)
	}
	for _, id := range []string{"nightly", "agent"} {
		own := key.sign(t, "", claims(map[string]any{"iss": id, "sub": id}))
		if got, err := registry.Authenticate(t.Context(), clients.Credentials{Assertion: own, AssertionType: assertionType}); err == nil {
			t.Errorf("%v authenticates by a key of another client", got)
		}
		if got, err := registry.Authenticate(t.Context(), clients.Credentials{Authorization: basic(id, "")}); err == nil {
			t.Errorf("%v authenticates without a secret", got)
		}
	}
}

// Whoever has no token of a known issuer can't tell by the work which issuers there are, or that there are none.
func TestFederatedSameWork(t *testing.T) {
	key := newSigner(t, "k", jose.ES256)
	token := key.sign(t, "JWT", map[string]any{"iss": cluster, "sub": account})
	v := &verdict{err: exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonIssuerUnknown, "x")}
	for name, registrations := range map[string][]clients.Registration{
		"an unknown issuer": {federated("nightly", cluster, account)},
		"none at all":       {client("kong", clients.MethodBasic, "secret")},
	} {
		for typ, want := range map[string]int{assertionType: 2, spiffeType: 2} {
			registry := newRegistry(t, clients.Config{Issuer: issuer, Once: &marks{}, Verifier: v, Now: func() time.Time { return now }})
			snapshot, err := clients.Prepare(registrations)
			if err != nil {
				t.Fatal(err)
			}
			registry.Commit(snapshot)
			verified := 0
			clients.CountVerifications(registry, &verified)
			_, err = registry.Authenticate(t.Context(), clients.Credentials{Assertion: token, AssertionType: typ})
			if err == nil || verified != want {
				t.Errorf("%s, %s: %d signatures were looked at, want %d (%v)", name, typ, verified, want, err)
			}
		}
	}
	// An algorithm of a provider's that clients don't sign by finds no decoy, and no panic.
	other := newSigner(t, "k", jose.ES384)
	registry := newRegistry(t, clients.Config{Issuer: issuer, Once: &marks{}, Verifier: v, Now: func() time.Time { return now }})
	snapshot, err := clients.Prepare([]clients.Registration{federated("nightly", cluster, account)})
	if err != nil {
		t.Fatal(err)
	}
	registry.Commit(snapshot)
	if _, err := registry.Authenticate(t.Context(), clients.Credentials{Assertion: other.sign(t, "", map[string]any{"iss": cluster, "sub": account}), AssertionType: assertionType}); err == nil {
		t.Error("authenticated")
	}
	// Nor do claims that are no texts, and alike.
	for _, claim := range []any{[]any{}, map[string]any{}, nil, 1} {
		if _, err := registry.Authenticate(t.Context(), clients.Credentials{Assertion: key.sign(t, "", map[string]any{"iss": claim, "sub": claim}), AssertionType: assertionType}); err == nil {
			t.Errorf("authenticated by %v", claim)
		}
	}
}

func TestPrepareFederated(t *testing.T) {
	for want, registrations := range map[string][]clients.Registration{
		"same subject":       {federated("a", cluster, account), federated("b", cluster, account)},
		"assertion_subject":  {federated("a", cluster, "")},
		"assertion_provider": {federated("a", "", account)},
	} {
		if _, err := clients.Prepare(registrations); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one about %q", err, want)
		}
	}
}
