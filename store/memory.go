package store

import (
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/lakegate/sts/exchange"
)

// entry is a sealed token, and beside it its end, so that what can't fit need not be opened. The end is only a hint:
// what counts is sealed.
type entry struct {
	expiry time.Time
	box    []byte
}

// memory is the first tier. Its own timer only makes room: whether an entry is alive is asked of our clock, at each hit.
type memory struct {
	cache *otter.Cache[key, entry]
	now   func() time.Time
}

// entryOverhead is about what an entry costs beside its bytes, measured over 100,000 entries.
const entryOverhead = 300

func newMemory(maxEntries, maxBytes int, now func() time.Time) (*memory, error) {
	// The cache knows one bound. An entry weighs its bytes, or its share of them if it is lighter: both bounds hold.
	share := max(1, maxBytes/maxEntries)
	cache, err := otter.New(&otter.Options[key, entry]{
		MaximumWeight: uint64(maxBytes), //nolint:gosec // checked positive
		Weigher: func(_ key, e entry) uint32 {
			return uint32(max(share, len(e.box)+entryOverhead)) //nolint:gosec // a token is bounded where it is read
		},
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[key, entry]) time.Duration {
			return e.Value.expiry.Sub(now()) - margin
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("making the token cache: %w", err)
	}
	return &memory{cache: cache, now: now}, nil
}

func (m *memory) get(k key) (entry, bool) { return m.cache.GetIfPresent(k) }

// put keeps an entry that will be of use for a whole second at least. Less is never kept: some caches read a life of
// nothing as "for ever".
func (m *memory) put(k key, e entry) {
	if exchange.Rest(e.expiry, m.now()) > margin {
		m.cache.Set(k, e)
	}
}

// drop removes what did not open.
func (m *memory) drop(k key) { m.cache.Invalidate(k) }

func (m *memory) entries() int { return m.cache.EstimatedSize() }

func (m *memory) close() { m.cache.StopAllGoroutines() }
