package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lakegate/sts/exchange"
)

// LedgerWitness keeps checkpoints in the ledger: of each origin the newest, and a list of all origins that there ever
// were, by which a log that went with its host is missed.
type LedgerWitness struct {
	ledger exchange.Ledger
	keys   PublicKeys
}

var (
	_ Witness    = (*LedgerWitness)(nil)
	_ Rememberer = (*LedgerWitness)(nil)
)

// NewLedgerWitness makes a witness of a ledger. Checkpoints in it that none of keys signed are errors.
func NewLedgerWitness(ledger exchange.Ledger, keys ...PublicKey) *LedgerWitness {
	return &LedgerWitness{ledger, keys}
}

const (
	originsEntry = "audit/origins"
	originEntry  = "audit/origin/"
	ledgerTries  = 10 // others are first at most as often as there are replicas that start together
)

// Name implements Witness.
func (w *LedgerWitness) Name() string { return "ledger" }

// Keep implements Witness. What is kept only ever grows.
func (w *LedgerWitness) Keep(ctx context.Context, c Checkpoint) error {
	return retry(func() error {
		kept, version, err := w.get(ctx, c.Origin)
		switch {
		case err != nil:
			return err
		case version == 0:
			// First on the list, so that there is no checkpoint of which the list doesn't know.
			if err := w.register(ctx, c.Origin); err != nil {
				return err
			}
		case contradicts(kept, c):
			return &ContradictedError{kept}
		case kept.Size == c.Size:
			return nil
		}
		return w.ledger.Put(ctx, originEntry+c.Origin, []byte(c.Note), version, time.Time{})
	})
}

// Newest implements Rememberer.
func (w *LedgerWitness) Newest(ctx context.Context, origin string) (Checkpoint, bool, error) {
	c, version, err := w.get(ctx, origin)
	return c, version != 0 && err == nil, err
}

// All returns the newest checkpoint of every log that there ever was.
func (w *LedgerWitness) All(ctx context.Context) ([]Checkpoint, error) {
	origins, _, err := w.origins(ctx)
	if err != nil {
		return nil, err
	}
	var all []Checkpoint
	for _, origin := range origins {
		c, version, err := w.get(ctx, origin)
		if err != nil {
			return nil, err
		}
		if version != 0 {
			all = append(all, c)
		}
	}
	return all, nil
}

func (w *LedgerWitness) get(ctx context.Context, origin string) (c Checkpoint, version uint64, err error) {
	text, version, err := w.ledger.Get(ctx, originEntry+origin)
	if err != nil {
		return c, 0, fmt.Errorf("reading a checkpoint from the ledger: %w", err)
	}
	if version == 0 {
		return c, 0, nil
	}
	if c, err = w.keys.Open(text); err == nil && c.Origin != origin {
		err = errors.New("a checkpoint of another log")
	}
	if err != nil {
		return c, version, fmt.Errorf("the ledger's checkpoint of %s is %w", origin, err)
	}
	return c, version, nil
}

func (w *LedgerWitness) origins(ctx context.Context) (list []string, version uint64, err error) {
	text, version, err := w.ledger.Get(ctx, originsEntry)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the list of audit logs: %w", err)
	}
	if version == 0 {
		return nil, 0, nil
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, 0, errors.New("the ledger's list of audit logs is damaged")
	}
	return list, version, nil
}

func (w *LedgerWitness) register(ctx context.Context, origin string) error {
	return retry(func() error {
		list, version, err := w.origins(ctx)
		if err != nil || slices.Contains(list, origin) {
			return err
		}
		text, err := json.Marshal(append(list, origin))
		if err != nil {
			return err
		}
		return w.ledger.Put(ctx, originsEntry, text, version, time.Time{})
	})
}

// retry tries again where somebody else was first.
func retry(try func() error) (err error) {
	for range ledgerTries {
		if err = try(); !errors.Is(err, exchange.ErrConflict) {
			return err
		}
	}
	return err
}
