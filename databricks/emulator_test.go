package databricks_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lakegate/sts/databricks"
	"github.com/lakegate/sts/exchange"
	emulated "github.com/lakegate/sts/internal/emulator/databricks"
)

// realSigner signs in fact.
type realSigner struct{ signer jose.Signer }

func newRealSigner(t *testing.T) (realSigner, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk := jose.JSONWebKey{Key: key, KeyID: "k1", Algorithm: string(jose.ES256), Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jwk}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	return realSigner{signer}, string(set)
}

func (s realSigner) Sign(_ context.Context, claims []byte, _ time.Time) (exchange.Secret, error) {
	signed, err := s.signer.Sign(claims)
	if err != nil {
		return "", err
	}
	text, err := signed.CompactSerialize()
	return exchange.Secret(text), err
}

// Every behaviour of Databricks that nobody is sure of leads to a token that is what it was asked to be, or to none.
func TestEveryKindOfDatabricks(t *testing.T) {
	const federation, secret = exchange.MethodFederation, exchange.MethodClientSecret
	const ok, rejected, invalid = exchange.Reason(""), exchange.ReasonUpstreamRejected, exchange.ReasonUpstreamInvalid
	tests := []struct {
		name     string
		method   exchange.Method
		details  exchange.Details
		switches emulated.Switches
		want     exchange.Reason
	}{
		{"as reported", federation, nil, emulated.Switches{}, ok},
		{"capped", federation, nil, emulated.Switches{FederationLifetime: emulated.LifetimeCapped}, ok},
		{"an hour whatever was asked", federation, nil, emulated.Switches{FederationLifetime: emulated.LifetimeHour}, invalid},
		{"no issued_token_type", federation, nil, emulated.Switches{OmitIssuedTokenType: true}, ok},
		{"an assertion is good for once", federation, nil, emulated.Switches{AssertionOnce: true}, ok},
		{"details ignored", federation, details(), emulated.Switches{}, invalid},
		{"details refused", federation, details(), emulated.Switches{FederationDetails: emulated.DetailsRefused}, rejected},
		{"details honoured", federation, details(), emulated.Switches{FederationDetails: emulated.DetailsHonoured}, ok},
		{"details honoured and not shown", federation, details(), emulated.Switches{FederationDetails: emulated.DetailsHonoured, OmitDetails: true}, invalid},
		{"secret", secret, nil, emulated.Switches{}, ok},
		{"secret, details", secret, details(), emulated.Switches{}, ok},
		{"secret, details not shown", secret, details(), emulated.Switches{OmitDetails: true}, invalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			signer, keys := newRealSigner(t)
			w, err := emulated.New(emulated.Config{
				AccountID: accountID, Switches: test.switches, Now: func() time.Time { return now },
				Principals: []emulated.Principal{{
					ApplicationID: applicationID, Secrets: []string{clientSecret}, Query: []string{"models"},
					Policies: []emulated.FederationPolicy{{Issuer: settings().Federation.Issuer, JWKSJSON: keys}},
				}},
				Endpoints: []emulated.Endpoint{{Name: "models", ID: "1"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.Close)
			m, _ := newMinter(t, func(c *databricks.Config) { c.Signer = signer })
			g := grant(w.URL(), test.method)
			g.Details = test.details
			token, err := mint(m, g)
			if test.want != ok {
				if err == nil || exchange.AsError(err).Reason != test.want {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if end, bounded := token.TrueExpiry, test.method == federation; bounded && !end.Equal(until) || !bounded && end.Before(now.Add(59*time.Minute)) {
				t.Errorf("ends %s", end)
			}
		})
	}
}
