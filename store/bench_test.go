package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/store"
)

// A token of the size that Databricks gives, found in memory: one hash, one look, one opening.
func BenchmarkHit(b *testing.B) {
	for _, entries := range []int{1, 10_000} {
		b.Run(fmt.Sprint(entries), func(b *testing.B) {
			w := newWorld(b, func(c *store.TokensConfig) { c.Now = time.Now })
			w.minter.Will(func(_ context.Context, token exchange.Token) (exchange.Token, error) { return longer(token, 1000), nil })
			grants := make([]exchange.Grant, entries)
			for i := range grants {
				grants[i] = grant()
				grants[i].Isolation = fmt.Sprint(i)
				w.get(b, grants[i], 24*time.Hour)
			}
			notAfter, i := time.Now().Add(24*time.Hour), 0
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Obtain(b.Context(), grants[i%entries], time.Hour, notAfter); err != nil {
					b.Fatal(err)
				}
				i++
			}
			if n := w.minter.Count(); n != entries {
				b.Fatalf("%d mints", n)
			}
		})
	}
}
