package admission

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
)

// RevocationsConfig is what Revocations are made of. Ledger and Log are needed.
type RevocationsConfig struct {
	Ledger exchange.Ledger
	Log    *slog.Logger
	// MaxPerClient bounds how many tokens that have not expired yet a client may have given up. [1,000]
	MaxPerClient int
	// Wait bounds how long an end waits for those that are being written: a ledger that hangs must not gather a queue, in
	// which looks would stand too. [3 s]
	Wait time.Duration

	// Now is the clock. [time.Now]
	Now func() time.Time
	// Metrics gets sts_revocations; nil is none.
	Metrics prometheus.Registerer
}

// Revocations are what was ended before its time. The ledger has them; each replica knows those of its last look. Run
// them.
//
// So far only clients end things, each its own claim on a token. What is ended for everybody will stand under keys of its
// own: a replica that doesn't know a kind yet must not drop it by writing this list anew.
type Revocations struct {
	ledger exchange.Ledger
	log    *slog.Logger
	most   int
	wait   time.Duration
	now    func() time.Time

	// claims are in force here. Nil while there are none, so that asking costs one load.
	claims atomic.Pointer[claims]
	fault  atomic.Pointer[error]

	// turn is held by whoever reads or writes the ledger's list, so that an older list never replaces a newer one here.
	turn    chan struct{}
	version uint64 // of the list that is in force; 0 for none, and where it isn't known
}

var _ exchange.Revocations = (*Revocations)(nil)

// NewRevocations reads what is in force. Without its ledger it fails.
func NewRevocations(ctx context.Context, c RevocationsConfig) (*Revocations, error) {
	if c.Ledger == nil || c.Log == nil {
		return nil, errors.New("admission.RevocationsConfig.Ledger and Log are needed")
	}
	if c.MaxPerClient == 0 {
		c.MaxPerClient = 1000
	}
	if c.Wait == 0 {
		c.Wait = 3 * time.Second
	}
	if c.MaxPerClient < 0 || c.Wait < 0 {
		return nil, errors.New("admission.RevocationsConfig.MaxPerClient and Wait can't be negative")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	r := &Revocations{ledger: c.Ledger, log: c.Log, most: c.MaxPerClient, wait: c.Wait, now: c.Now, turn: make(chan struct{}, 1)}
	if c.Metrics != nil {
		if err := c.Metrics.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sts_revocations", Help: "What was ended before its time and has not expired yet, by kind: claim is a client's on a token.",
			ConstLabels: prometheus.Labels{"kind": "claim"},
		}, func() float64 { return float64(r.claims.Load().count(r.now())) })); err != nil {
			return nil, fmt.Errorf("registering the metric of revocations: %w", err)
		}
	}
	if err := r.Look(ctx); err != nil {
		return nil, fmt.Errorf("reading what is revoked: %w", err)
	}
	return r, nil
}

// Ended implements exchange.Revocations.
func (r *Revocations) Ended(client string, token [sha256.Size]byte) bool {
	c := r.claims.Load()
	return c != nil && c.ended(client, token)
}

// Run looks into the ledger once a second until ctx ends. What is known stays in force while it can't be read.
func (r *Revocations) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		wasWell := r.Health() == nil
		switch err := r.Look(ctx); {
		case ctx.Err() != nil:
			return
		case err != nil && wasWell:
			r.log.ErrorContext(ctx, "revocations can't be looked up; those that are known stay in force", "error", err)
		case err == nil && !wasWell:
			r.log.InfoContext(ctx, "revocations are looked up again")
		}
	}
}

// Health is why the last look failed, nil if it did not.
func (r *Revocations) Health() error {
	if fault := r.fault.Load(); fault != nil {
		return *fault
	}
	return nil
}
