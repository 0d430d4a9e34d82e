package store

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lakegate/sts/exchange"
)

const (
	// maxMarks bounds how many marks are kept: about 100 MB.
	maxMarks = 1 << 20
	// buriedAtOnce is how many dead marks a claim removes: more than it adds, and never so many that others wait for it.
	buriedAtOnce = 64
)

// The causes of a refused claim.
var (
	errMarksYoung = errors.New("it may have been used before the marks were started; use a new one")
	errMarksFull  = errors.New("there are too many marks; each is dropped when what it marks has ended")
	errMarksGone  = errors.New("its time has passed, or the clock was set back: its mark may be gone")
)

// OnceConfig is what a MemoryOnce is made of.
type OnceConfig struct {
	// MaxMarks bounds how many there are; 0 means 1,048,576. Beyond, claims are refused: a mark is never dropped early.
	MaxMarks int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// MemoryOnce marks what was used in this process, which must be the only replica. It is born when it is made.
type MemoryOnce struct {
	most int
	now  func() time.Time

	mu     sync.Mutex
	birth  time.Time
	latest time.Time // that the clock has ever shown here
	ends   map[mark]int64
	next   graves // the same marks, the first to end on top
}

var _ exchange.Once = (*MemoryOnce)(nil)

// mark is the start of a key's hash: keys are as long as callers like, and half of SHA-256 is enough to tell them apart.
type mark [16]byte

// NewMemoryOnce makes a MemoryOnce.
func NewMemoryOnce(c OnceConfig) (*MemoryOnce, error) {
	if c.MaxMarks < 0 {
		return nil, fmt.Errorf("store.OnceConfig.MaxMarks is %d; it can't be negative", c.MaxMarks)
	}
	if c.MaxMarks == 0 {
		c.MaxMarks = maxMarks
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	birth := c.Now()
	return &MemoryOnce{most: c.MaxMarks, now: c.Now, birth: birth, latest: birth, ends: map[mark]int64{}}, nil
}

// Claim implements exchange.Once.
func (o *MemoryOnce) Claim(_ context.Context, key string, earliest, until time.Time) (fresh bool, err error) {
	sum := sha256.Sum256([]byte(key))
	m := mark(sum[:len(mark{})])

	o.mu.Lock()
	defer o.mu.Unlock()
	// The clock never goes back here: what was dropped stays refused, whatever the machine's clock is set to afterwards.
	if now := o.now(); now.After(o.latest) {
		o.latest = now
	}
	o.bury()
	switch {
	case earliest.Before(o.birth):
		return false, errMarksYoung
	case !until.After(o.latest):
		return false, errMarksGone
	case o.ends[m] > o.latest.UnixNano():
		return false, nil
	case len(o.ends) >= o.most:
		return false, errMarksFull
	}
	o.ends[m] = until.UnixNano()
	heap.Push(&o.next, grave{until.UnixNano(), m})
	return true, nil
}

// bury drops some of the marks that have ended.
func (o *MemoryOnce) bury() {
	for range buriedAtOnce {
		if len(o.next) == 0 || o.next[0].end > o.latest.UnixNano() {
			return
		}
		dead := heap.Pop(&o.next).(grave)
		if o.ends[dead.mark] == dead.end { // else it was claimed anew
			delete(o.ends, dead.mark)
		}
	}
}

// graves are marks by their end, as a heap.
type graves []grave

type grave struct {
	end  int64 // Unix, nanoseconds
	mark mark
}

func (g graves) Len() int           { return len(g) }
func (g graves) Less(i, j int) bool { return g[i].end < g[j].end }
func (g graves) Swap(i, j int)      { g[i], g[j] = g[j], g[i] }
func (g *graves) Push(x any)        { *g = append(*g, x.(grave)) }
func (g *graves) Pop() any {
	last := len(*g) - 1
	x := (*g)[last]
	*g = (*g)[:last]
	return x
}
