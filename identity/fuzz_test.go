package identity_test

import (
	"strings"
	"testing"

	"github.com/lakegate/sts/exchange"
)

// FuzzVerify: whatever is presented, only what the key signed is accepted, and of that only what is good.
func FuzzVerify(f *testing.F) {
	c := newClock()
	p := newIDP(f, c)
	pool := newPool(f, c, p.provider())
	good := p.good(f)
	bad := sign(f, p.key, goodHeader(), both2(goodClaims(c), set("aud", "another")))
	forged := sign(f, newECKey(f), goodHeader(), goodClaims(c))
	signed := good[:strings.LastIndexByte(good, '.')]
	for _, seed := range []string{good, bad, forged, signed + ".", "", "..", "a.b.c", good + ".AA.AA"} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, text string, actor bool) {
		use := exchange.UseSubject
		if actor {
			use = exchange.UseActor
		}
		got, err := pool.Verify(t.Context(), exchange.Presented{Token: exchange.Secret(text), Type: exchange.TypeJWT}, use)
		if err != nil {
			if e := exchange.AsError(err); e.Code != exchange.CodeInvalidRequest {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if !strings.HasPrefix(text, signed+".") || got.Subject != "alice" {
			t.Errorf("%q is accepted as %s", text, got.Subject)
		}
	})
}
