package clients_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator/idp"
	"github.com/lakegate/sts/server/clients"
)

// TestAssertionAttacks tries every attack on a registry that accepts its twin: none gets in, and each is refused for what it is.
func TestAssertionAttacks(t *testing.T) {
	keys, err := idp.New(idp.Config{Now: func() time.Time { return now }, URL: "http://127.0.0.1:1", Issuers: []idp.IssuerConfig{{Name: "etl", Audience: "x"}, {Name: "other", Audience: "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	attacks, err := keys.AssertionAttacks(idp.AssertionAttackConfig{
		Issuer: "etl", Other: "other", Client: "etl", OtherClient: "nightly", Audience: issuer, Canary: "http://127.0.0.1:1",
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(attacks) < 400 {
		t.Fatalf("%d attacks; the corpus has shrunk", len(attacks))
	}
	published := func(name string) []byte {
		text, err := json.Marshal(keys.Issuer(name).JWKS())
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	registry, marks := assertions(t, signing("etl", published("etl")), signing("nightly", published("other")))
	for _, a := range attacks {
		present := func(text string) (*exchange.Client, error) {
			return registry.Authenticate(t.Context(), clients.Credentials{Assertion: exchange.Secret(text), AssertionType: a.Type})
		}
		clear(marks.seen) // several attacks have the same twin, or twins of the same jti
		if _, err := present(a.Twin); err != nil {
			t.Errorf("%s: the twin is refused: %v", a.Name, err)
		}
		c, err := present(a.Token)
		if err == nil {
			t.Errorf("%s: got in as %s", a.Name, c.ID)
			continue
		}
		if e := exchange.AsError(err); e.Code != exchange.CodeInvalidClient || !strings.Contains(e.Message, a.Cause) {
			t.Errorf("%s: %s %q, want it refused because it %q", a.Name, e.Code, e.Message, a.Cause)
		}
	}
}
