//go:build testclock

package main

import (
	"context"

	"github.com/lakegate/sts/exchange"
)

// underTest makes the verifier panic at one token text, so that a test can see what a panic leads to in the whole program.
func underTest(v exchange.Verifier) exchange.Verifier { return panicker{v} }

type panicker struct{ exchange.Verifier }

func (p panicker) Verify(ctx context.Context, presented exchange.Presented, use exchange.Use) (*exchange.Identity, error) {
	if presented.Token.Reveal() == "panic, please" {
		panic("a test asked for it")
	}
	return p.Verifier.Verify(ctx, presented, use)
}
