package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lakegate/sts/exchange"
)

// maxMarks bounds how many marks are kept: about 100 MB where all of them are alive.
const maxMarks = 1 << 20

// The causes of a refused claim.
var (
	errMarksYoung = errors.New("it may have been used before the marks were started; use a new one")
	errMarksFull  = errors.New("there are too many marks; the oldest are dropped within minutes")
	errMarksGone  = errors.New("its time has passed, or the clock was set back: its mark may be gone")
)

// OnceConfig is what a MemoryOnce is made of.
type OnceConfig struct {
	// Span is how long before its until a key can have been used at the earliest. Needed.
	Span time.Duration
	// MaxMarks bounds how many there are; 0 means 1,048,576. Beyond, claims are refused: a mark is never dropped early.
	MaxMarks int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// MemoryOnce marks what was used in this process, which must be the only replica. It is born when it is made.
//
// Marks are kept in two halves. A half is written for twice a Span, which is longer than any mark of it lives; when it
// ends, all of the half before it has died, so that it is dropped as a whole and nothing ever searches for dead marks.
type MemoryOnce struct {
	span time.Duration
	most int
	now  func() time.Time

	mu     sync.Mutex
	birth  time.Time
	latest time.Time // that the clock has ever shown here
	began  time.Time // of the half that is written
	halves [2]map[mark]int64
}

var _ exchange.Once = (*MemoryOnce)(nil)

// mark is the start of a key's hash: keys are as long as callers like, and half of SHA-256 is enough to tell them apart.
type mark [16]byte

// NewMemoryOnce makes a MemoryOnce.
func NewMemoryOnce(c OnceConfig) (*MemoryOnce, error) {
	if c.Span <= 0 {
		return nil, fmt.Errorf("store.OnceConfig.Span is %s; it must be longer than nothing", c.Span)
	}
	if c.MaxMarks == 0 {
		c.MaxMarks = maxMarks
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	birth := c.Now()
	return &MemoryOnce{
		span: c.Span, most: c.MaxMarks, now: c.Now,
		birth: birth, latest: birth, began: birth, halves: [2]map[mark]int64{{}, {}},
	}, nil
}

// Claim implements exchange.Once.
func (o *MemoryOnce) Claim(_ context.Context, key string, until time.Time) (fresh bool, err error) {
	sum := sha256.Sum256([]byte(key))
	m := mark(sum[:len(mark{})])

	o.mu.Lock()
	defer o.mu.Unlock()
	o.look()
	switch {
	case until.Add(-o.span).Before(o.birth):
		return false, errMarksYoung
	case !until.After(o.latest):
		return false, errMarksGone
	case until.Sub(o.latest) > 2*o.span:
		return false, fmt.Errorf("a mark until %s would outlive its half: more than twice the span of %s", until.UTC().Format(time.RFC3339), o.span)
	}
	for _, half := range o.halves {
		if end, there := half[m]; there && end > o.latest.UnixNano() {
			return false, nil
		}
	}
	if len(o.halves[0])+len(o.halves[1]) >= o.most {
		return false, errMarksFull
	}
	o.halves[0][m] = until.UnixNano()
	return true, nil
}

// look reads the clock, and drops the half that has died. The clock never goes back here: what is dropped stays refused,
// whatever the machine's clock is set to afterwards.
func (o *MemoryOnce) look() {
	if now := o.now(); now.After(o.latest) {
		o.latest = now
	}
	switch age := o.latest.Sub(o.began); {
	case age >= 4*o.span:
		o.halves = [2]map[mark]int64{{}, {}}
	case age >= 2*o.span:
		o.halves = [2]map[mark]int64{{}, o.halves[0]}
	default:
		return
	}
	o.began = o.latest
}
