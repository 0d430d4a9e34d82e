package identity

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"math"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/internal/refresh"
)

// cacheKey is everything that a verification depends on beside the clock and the keys. Its fields are of fixed size, so
// no two of them can run together.
type cacheKey struct {
	sum        [sha256.Size]byte // of the whole token
	generation uint64            // of the configuration
	tokenType  uint8
	role       uint8 // what it was presented for, as far as it is judged by that
}

// entry is a verified token. Only what may have changed since is looked at when it is found.
type entry struct {
	identity *exchange.Identity
	span     span
	key      *key      // that signed it; nil of a token that its provider was asked about
	believed time.Time // until when the answer is, of a token that its provider was asked about
	provider *provider
	memory   int // bytes of the claims
	// groupsUntil is until when groups are good that the token itself doesn't carry; zero where it does.
	groupsUntil time.Time
}

// holds reports whether the verification would end the same way now.
func (e *entry) holds(now time.Time) bool {
	if !e.span.holds(now) || !(e.groupsUntil.IsZero() || now.Before(e.groupsUntil)) {
		return false
	}
	if e.key == nil {
		return refresh.Within(e.believed, now, maxAnswerAge)
	}
	return !e.key.withdrawn.Load() && e.provider.keys.trusted(now) != nil
}

// ends is when it is of no use any more.
func (e *entry) ends() time.Time {
	if e.key == nil && e.believed.Before(e.span.expiry) {
		return e.believed
	}
	return e.span.expiry
}

// cache holds verified tokens, bounded in number and size.
type cache struct {
	tokens *otter.Cache[cacheKey, *entry]
}

// An entry takes what it does by itself, its claims, and its groups.
const (
	entryBytes    = 1 << 10
	bytesPerGroup = 56
)

func newCache(c Config) (*cache, error) {
	least := max(c.CacheBytes/c.CacheEntries, 1) // no entry weighs less, so CacheBytes of them are at most CacheEntries
	tokens, err := otter.New(&otter.Options[cacheKey, *entry]{
		MaximumWeight: c.CacheBytes,
		Weigher: func(_ cacheKey, e *entry) uint32 {
			return uint32(min(max(uint64(entryBytes+e.memory+bytesPerGroup*len(e.identity.Groups.Names)), least), math.MaxUint32)) //nolint:gosec // none is negative
		},
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[cacheKey, *entry]) time.Duration {
			return max(e.Value.ends().Sub(c.Now()), 1)
		}),
		Clock:  clock{c.Now},
		Logger: cacheLog{c.Log},
	})
	if err != nil {
		return nil, err
	}
	return &cache{tokens: tokens}, nil
}

func (c *cache) get(k cacheKey) (*entry, bool) { return c.tokens.GetIfPresent(k) }

func (c *cache) set(k cacheKey, e *entry) { c.tokens.Set(k, e) }

// clean drops what has expired.
func (c *cache) clean() { c.tokens.CleanUp() }

// clock gives the cache our clock. It has no ticks: Pool.Run calls clean.
type clock struct{ now func() time.Time }

func (c clock) NowNano() int64                    { return c.now().UnixNano() }
func (clock) Tick(time.Duration) <-chan time.Time { return nil }

// cacheLog gives the cache our log.
type cacheLog struct{ log *slog.Logger }

func (l cacheLog) Warn(ctx context.Context, message string, err error) {
	l.log.WarnContext(ctx, message, "error", err)
}

func (l cacheLog) Error(ctx context.Context, message string, err error) {
	l.log.ErrorContext(ctx, message, "error", err)
}
