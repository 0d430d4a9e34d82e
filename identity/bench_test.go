package identity_test

import (
	"crypto"
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/lakegate/sts/exchange"
)

func BenchmarkHit(b *testing.B) {
	c := newClock()
	p := newIDP(b, c)
	pool := newPool(b, c, p.provider())
	presented := exchange.Presented{Token: exchange.Secret(p.good(b)), Type: exchange.TypeJWT}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pool.Verify(b.Context(), presented, exchange.UseSubject); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMiss is a token that wasn't seen before; BenchmarkJOSE is what the bare library takes for its signature and
// its claims.
func BenchmarkMiss(b *testing.B) {
	eachAlgorithm(b, func(b *testing.B, p *idp, key crypto.Signer, header object) {
		pool := newPool(b, p.clock, p.provider())
		presented := exchange.Presented{Token: exchange.Secret(sign(b, key, header, goodClaims(p.clock))), Type: exchange.TypeJWT}
		for b.Loop() {
			if err := pool.VerifyAnew(b.Context(), presented); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkJOSE(b *testing.B) {
	eachAlgorithm(b, func(b *testing.B, p *idp, key crypto.Signer, header object) {
		token := sign(b, key, header, goodClaims(p.clock))
		for b.Loop() {
			signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
			if err != nil {
				b.Fatal(err)
			}
			payload, err := signed.Verify(key.Public())
			if err != nil {
				b.Fatal(err)
			}
			var claims map[string]any
			if err := json.Unmarshal(payload, &claims); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func eachAlgorithm(b *testing.B, run func(*testing.B, *idp, crypto.Signer, object)) {
	p := newIDP(b, newClock())
	for _, algorithm := range []struct {
		name, kid string
		key       crypto.Signer
	}{{"ES256", "k1", p.key}, {"RS256", "r1", rsaKey()}} {
		b.Run(algorithm.name, func(b *testing.B) {
			b.ReportAllocs()
			run(b, p, algorithm.key, object{"alg": algorithm.name, "kid": algorithm.kid, "typ": "JWT"})
		})
	}
}
