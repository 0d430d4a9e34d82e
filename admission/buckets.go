package admission

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/lakegate/sts/exchange"
)

// bucket is a token bucket; nil lets everything through.
type bucket struct {
	limiter *rate.Limiter
	// perSecond and burst are as they were registered, to notice a reload.
	perSecond float64
	burst     int
}

func newBucket(perSecond float64, burst int) *bucket {
	if perSecond == 0 {
		return nil
	}
	size := burst
	if size == 0 {
		// A bucket that can't hold one request would never let any through.
		size = max(1, int(math.Ceil(perSecond)))
	}
	return &bucket{limiter: rate.NewLimiter(rate.Limit(perSecond), size), perSecond: perSecond, burst: burst}
}

// take takes a token, or says how long it is until there will be one.
func (b *bucket) take(now time.Time) (wait time.Duration) {
	if b == nil || b.limiter.AllowN(now, 1) {
		return 0
	}
	missing := 1 - b.limiter.TokensAt(now)
	return max(time.Millisecond, time.Duration(missing/b.perSecond*float64(time.Second)))
}

// buckets are the clients', by id. Ids come from the configuration, so there are only ever a few.
type buckets struct{ byClient sync.Map }

func (b *buckets) take(c *exchange.Client, now time.Time) (wait time.Duration) {
	if c.Rate <= 0 {
		return 0
	}
	known, ok := b.byClient.Load(c.ID)
	if !ok {
		known, _ = b.byClient.LoadOrStore(c.ID, newBucket(c.Rate, c.Burst))
	}
	mine := known.(*bucket)
	if mine.perSecond != c.Rate || mine.burst != c.Burst {
		// Registered anew with another limit: its bucket starts full.
		fresh := newBucket(c.Rate, c.Burst)
		b.byClient.Store(c.ID, fresh)
		mine = fresh
	}
	return mine.take(now)
}
