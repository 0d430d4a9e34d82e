package main

import (
	"context"
	"fmt"
	"time"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/databricks"
)

// atOnce is how many callers miss the same token.
const atOnce = 1_000

// misses lets many callers ask for one grant that nobody has asked for before, of a slow Databricks.
func (b *bench) misses(ctx context.Context) error {
	s, err := b.newInstance("misses", audit.SyncMint)
	if err != nil {
		return err
	}
	if _, err := s.start(ctx); err != nil {
		return err
	}
	tokens, err := b.mint(1, subjects, "ES256")
	if err != nil {
		return err
	}
	requests := make([]request, atOnce)
	for i := range requests {
		requests[i] = b.requests(tokens)[0]
	}
	remove := b.world.databricks.AddFault(emulator.Fault{Route: databricks.TokenRoute, Delay: 300 * time.Millisecond})
	defer remove()
	before := b.world.databricks.Mints("")
	if _, err := sendAll(ctx, s.http, requests, atOnce); err != nil {
		return err
	}
	minted := b.world.databricks.Mints("") - before
	b.table.add(row{
		what: fmt.Sprintf("mints for %d misses of one key at once", atOnce), measured: fmt.Sprint(minted), budget: "1", verdict: verdict(minted == 1),
	})
	if err := s.complete(atOnce); err != nil {
		return err
	}
	s.stop()
	return nil
}
