package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
)

// A clock that is set while a mint is under way: whatever it said before, a token goes only to a caller whose time,
// counted from what it says now, the token does not outlive.
func TestClockIsSetDuringAMint(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, -time.Minute, -time.Second, time.Second, time.Minute} {
		t.Run(step.String(), func(t *testing.T) {
			w := newWorld(t)
			w.minter.Will(func(_ context.Context, token exchange.Token) (exchange.Token, error) {
				if w.minter.Count() == 1 {
					w.clock.Add(step)
				}
				return token, nil
			})
			g := lasting(10 * time.Minute)
			token, err := w.Obtain(context.Background(), g, g.Lifetime, w.clock.Now().Add(24*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			if rest := token.TrueExpiry.Sub(w.clock.Now()); rest > g.Lifetime {
				t.Errorf("the token lives for %v, and policy grants %v", rest, g.Lifetime)
			}
		})
	}
}
