package store_test

import (
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/store"
)

// FuzzEntry: whatever an entry turns out to hold, even under the right seal, what is served fits, or is minted anew.
func FuzzEntry(f *testing.F) {
	end := []byte{0, 0, 0, 0, 0x6a, 0x23, 0xf1, 0x80}
	f.Add([]byte{})
	f.Add(append(end, 't'))
	f.Add(append(append(append(end, 't'), make([]byte, 32)...), 3, 'i', 'd'))
	f.Add(append(append(append(end, 's'), make([]byte, 32)...), 2, 'i', 'd', 't', 'o', 'k', 'e', 'n'))
	f.Fuzz(func(t *testing.T, plain []byte) {
		w := newWorld(t, func(c *store.TokensConfig) { c.AEAD = openingAEAD{c.AEAD, plain} })
		w.get(t, grant(), 2*time.Hour)
		notAfter := w.clock.Now().Add(2 * time.Hour)
		token, err := w.Obtain(t.Context(), grant(), time.Hour, notAfter)
		if err != nil {
			t.Fatal(err)
		}
		now := w.clock.Now()
		if rest := token.TrueExpiry.Sub(now); rest < 5*time.Minute || rest > time.Hour || token.Text == "" {
			t.Errorf("served a token of %d bytes with %v left, from %s", len(token.Text), rest, token.Cache)
		}
		if token.Cache == exchange.CacheMemory && token.Bound != exchange.BoundToken {
			t.Errorf("served a token of the bound %q for a grant by federation", token.Bound)
		}
	})
}

// openingAEAD opens everything, to the same.
type openingAEAD struct {
	tink.AEAD
	plain []byte
}

func (a openingAEAD) Decrypt([]byte, []byte) ([]byte, error) { return a.plain, nil }
