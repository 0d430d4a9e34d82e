package admission

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lakegate/sts/exchange"
)

const (
	// maxStrikes is how many invalid subject tokens a source may present through a client within a period.
	maxStrikes   = 100
	strikePeriod = time.Minute

	// maxOffenders bounds each of the two generations of the table, whatever comes in: about 8 MiB in all.
	maxOffenders = 32 << 10
	// maxSource bounds a source's name, which may be a client's word.
	maxSource = 64
)

// strikes counts invalid subject tokens by client and source. It keeps two generations: when the young one is full or
// old, it becomes the old one, and what was old is forgotten. So it is bounded without a list or a sweep.
type strikes struct {
	// offenders is how many there are in both generations. While it is 0, as on a good day, nobody takes the lock.
	offenders atomic.Int64

	mu         sync.Mutex
	young, old map[offender]*strike
	since      time.Time // when young began
}

type offender struct{ client, source string }

// strike is one offender's period, from its first invalid token on.
type strike struct {
	began time.Time
	count int
}

// wait is how long the offender is locked out, 0 where he isn't.
func (s *strikes) wait(client string, from exchange.Source, now time.Time) time.Duration {
	if s.offenders.Load() == 0 {
		return 0
	}
	who := offender{client, source(from)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if over(s.since, 2*strikePeriod, now) {
		// Every period in the table is over.
		s.young, s.old = nil, nil
		s.offenders.Store(0)
		return 0
	}
	k := s.find(who)
	if k == nil || k.count < maxStrikes || over(k.began, strikePeriod, now) {
		return 0
	}
	return k.began.Add(strikePeriod).Sub(now)
}

// add counts one invalid token.
func (s *strikes) add(client string, from exchange.Source, now time.Time) {
	who := offender{client, source(from)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil || len(s.young) >= maxOffenders || over(s.since, strikePeriod, now) {
		s.old, s.young, s.since = s.young, make(map[offender]*strike), now
	}
	k := s.find(who)
	if k == nil || over(k.began, strikePeriod, now) {
		k = &strike{began: now}
	}
	k.count++
	delete(s.old, who)
	s.young[who] = k
	s.offenders.Store(int64(len(s.young) + len(s.old)))
}

func (s *strikes) find(who offender) *strike {
	if k := s.young[who]; k != nil {
		return k
	}
	return s.old[who]
}

// over reports whether a period that began then has passed. One that begins in the future has too: the clock was set
// back, and nobody is to be locked out until it has caught up.
func over(began time.Time, period time.Duration, now time.Time) bool {
	passed := now.Sub(began)
	return passed < 0 || passed >= period
}

// source is whom failures are counted against. An IPv6 host has a /64 of addresses at its disposal, and so counts as
// one.
func source(from exchange.Source) string {
	blame := from.Blame()
	addr, err := netip.ParseAddr(blame)
	if err != nil {
		return blame[:min(len(blame), maxSource)]
	}
	if addr = addr.Unmap(); addr.Is6() {
		if net, err := addr.WithZone("").Prefix(64); err == nil {
			return net.String()
		}
	}
	return addr.String()
}
