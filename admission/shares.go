package admission

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxSharers bounds each of the two generations of a table, whatever comes in: some 20 MiB in all for a table.
const maxSharers = 32 << 10

// sharer is one who has a limit of his own with a client: a subject, or an actor.
type sharer struct{ client, issuer, subject string }

// shares are the token buckets of one kind of sharers. A bucket is the one instant at which it will be full again, so that
// a full one is nothing to remember. Two generations bound them without a list or a sweep: when the young one has lasted
// for as long as the slowest bucket takes to fill, it becomes the old one, and whatever was old is full and forgotten.
//
// When the young one is crowded out before that, what was old is forgotten all the same, and those buckets are full again
// before their time: a limit degrades, and refuses nobody for the crowd of others. It takes 32,768 sharers whom policy has
// granted something to bring that about.
type shares struct {
	forgotten prometheus.Counter // buckets that were crowded out before they were full

	mu         sync.Mutex
	young, old map[sharer]time.Time
	since      time.Time     // when young began
	slowest    time.Duration // that a bucket of these takes to fill
}

// take takes a token from a bucket that holds a second's worth, one at least, or says how long it is until there will be
// one. It follows the clock wherever it is set: no bucket is emptier than empty.
func (s *shares) take(who sharer, perSecond float64, now time.Time) (wait time.Duration) {
	if perSecond <= 0 {
		return 0
	}
	each := time.Duration(float64(time.Second) / perSecond)
	fill := each * time.Duration(max(1, math.Ceil(perSecond)))

	s.mu.Lock()
	defer s.mu.Unlock()
	full, there := s.young[who]
	if !there {
		full, there = s.old[who]
	}
	switch latest := now.Add(fill); {
	case !there || full.Before(now):
		full = now
	case full.After(latest):
		// The clock was set back, or the limit was raised. It fills from here on.
		full = latest
		s.put(who, full, fill, now)
	}
	if full = full.Add(each); full.Sub(now) > fill {
		return max(time.Millisecond, full.Sub(now)-fill)
	}
	s.put(who, full, fill, now)
	return 0
}

func (s *shares) put(who sharer, full time.Time, fill time.Duration, now time.Time) {
	s.slowest = max(s.slowest, fill)
	_, known := s.young[who]
	switch aged := over(s.since, s.slowest, now); {
	case s.young == nil || aged || !known && len(s.young) >= maxSharers:
		if !aged {
			s.forgotten.Add(float64(len(s.old)))
		}
		s.old, s.young, s.since = s.young, make(map[sharer]time.Time), now
	}
	delete(s.old, who)
	s.young[who] = full
}
