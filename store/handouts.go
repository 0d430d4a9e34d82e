package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/lakegate/sts/exchange"
)

var _ exchange.Handouts = (*Handouts)(nil)

// HandoutsConfig is what Handouts are made of. AEAD and Log are needed.
type HandoutsConfig struct {
	// AEAD seals what is shared; OpenKeyset gives it.
	AEAD tink.AEAD
	Log  *slog.Logger
	// Redis is what replicas share; nil where there is one replica.
	Redis *Redis
	// MaxEntries bounds how many tokens are remembered here. [100,000]
	MaxEntries int
	// Now is the clock. [time.Now]
	Now func() time.Time
}

// Handouts remember which client has which token: those that this replica handed out in memory, and those of all replicas
// in Redis. Run them.
type Handouts struct {
	cache *otter.Cache[[sha256.Size]byte, *handedOut]
	aead  tink.AEAD
	redis *Redis // or nil
	log   *slog.Logger
	now   func() time.Time

	mu sync.Mutex
	// unshared are hand-outs that Redis doesn't know yet, because it was out of reach.
	unshared map[handout]struct{}
	most     int
}

// handedOut is a token, and the clients that have it. Nobody changes it once it is kept.
type handedOut struct {
	exchange.Handout
	clients []string
}

// handout is one token in the hands of one client.
type handout struct {
	token  [sha256.Size]byte
	client string
}

// NewHandouts makes Handouts. Close them.
func NewHandouts(c HandoutsConfig) (*Handouts, error) {
	if c.AEAD == nil || c.Log == nil {
		return nil, errors.New("store.HandoutsConfig.AEAD and Log are needed")
	}
	if c.MaxEntries == 0 {
		c.MaxEntries = 100_000
	}
	if c.MaxEntries < 0 {
		return nil, errors.New("store.HandoutsConfig.MaxEntries can't be negative")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	cache, err := otter.New(&otter.Options[[sha256.Size]byte, *handedOut]{
		MaximumSize: c.MaxEntries,
		// It only makes room: whether a token is alive is asked of our clock, by whoever finds it.
		ExpiryCalculator: otter.ExpiryCreatingFunc(func(e otter.Entry[[sha256.Size]byte, *handedOut]) time.Duration {
			return max(time.Second, e.Value.Expiry.Sub(c.Now())) // a life of nothing would be one without an end
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("making the memory of hand-outs: %w", err)
	}
	return &Handouts{cache: cache, aead: c.AEAD, redis: c.Redis, log: c.Log, now: c.Now, unshared: map[handout]struct{}{}, most: c.MaxEntries}, nil
}

// Note implements exchange.Handouts. It waits for Redis once for each token and client, and not where Redis has just
// failed.
func (h *Handouts) Note(ctx context.Context, a *exchange.Attempt) {
	client := a.Call.Client.ID
	if known, ok := h.cache.GetIfPresent(a.Token.SHA256); ok && slices.Contains(known.clients, client) {
		return
	}
	made := exchange.HandoutOf(a)
	h.cache.Compute(a.Token.SHA256, func(known *handedOut, found bool) (*handedOut, otter.ComputeOp) {
		if !found {
			return &handedOut{made, []string{client}}, otter.WriteOp
		}
		if slices.Contains(known.clients, client) {
			return known, otter.CancelOp
		}
		return &handedOut{known.Handout, append(slices.Clip(known.clients), client)}, otter.WriteOp
	})
	if h.redis == nil {
		return
	}
	one := handout{a.Token.SHA256, client}
	if h.redis.Health() != nil || h.share(context.WithoutCancel(ctx), one, &made) != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.unshared) < h.most {
			h.unshared[one] = struct{}{}
		}
	}
}

// Find implements exchange.Handouts. What this replica handed out to that client is known without asking anybody.
func (h *Handouts) Find(ctx context.Context, token [sha256.Size]byte, client string) (found *exchange.Handout, others bool, err error) {
	known, here := h.cache.GetIfPresent(token)
	if here && slices.Contains(known.clients, client) {
		return &known.Handout, false, nil
	}
	if h.redis == nil {
		return nil, here, nil
	}
	found, others, err = h.ask(ctx, handout{token, client})
	if err != nil {
		return nil, false, exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable,
			"the Redis that replicas share can't be asked, so nobody knows what others handed out; ask again shortly").After(time.Second).Because(err)
	}
	return found, found == nil && (others || here), nil
}

// Run shares what could not be shared at once, until ctx ends.
func (h *Handouts) Run(ctx context.Context) {
	if h.redis == nil {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.shareRest(ctx)
		}
	}
}

// shareRest shares what waits for it, until Redis fails.
func (h *Handouts) shareRest(ctx context.Context) {
	for ctx.Err() == nil && h.redis.Health() == nil {
		one, ok := h.oneUnshared()
		if !ok {
			return
		}
		if known, ok := h.cache.GetEntryQuietly(one.token); ok && h.share(ctx, one, &known.Value.Handout) != nil {
			return
		}
		h.mu.Lock()
		delete(h.unshared, one)
		h.mu.Unlock()
	}
}

func (h *Handouts) oneUnshared() (one handout, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for one = range h.unshared {
		return one, true
	}
	return one, false
}

// Close stops what runs in the background.
func (h *Handouts) Close() error {
	h.cache.StopAllGoroutines()
	return nil
}
