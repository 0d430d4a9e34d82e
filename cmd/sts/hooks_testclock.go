//go:build testclock

package main

import (
	"context"
	"fmt"
	"os"

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

// diskSpace is plenty, whatever this machine has, unless a file beside that of $STS_CLOCK_FILE, FILE.disk, says how many bytes
// of how many are free.
func diskSpace() func(string) (free, size uint64, err error) {
	return func(string) (free, size uint64, err error) {
		text, err := os.ReadFile(os.Getenv("STS_CLOCK_FILE") + ".disk") //nolint:gosec // only in programs under test
		if err != nil {
			return 1 << 40, 1 << 40, nil
		}
		_, err = fmt.Sscan(string(text), &free, &size)
		return free, size, err
	}
}
