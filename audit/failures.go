package audit

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/lakegate/sts/exchange"
)

// maxSummaries bounds the summaries that wait to be written. Failures of further sources share one that says
// "overflow", so that whoever varies his address fills neither memory nor disk.
const maxSummaries = 1024

// failures sums up what failed before its client was known, per source and second.
type failures struct {
	mu       sync.Mutex
	open     map[failureKey]*summary
	overflow *summary
}

type failureKey struct {
	source string
	second int64
}

type summary struct {
	id          string
	source      string
	overflow    bool
	count       int64
	reasons     map[exchange.Reason]int64
	entrances   []string // sorted
	first, last time.Time
}

// count adds f to its summary, which newID names if it is the first.
func (f *failures) count(failure *exchange.Failure, now time.Time, newID func() string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.find(failureKey{failure.Source.Blame(), now.Unix()})
	if s.id == "" {
		s.id, s.first = newID(), now
	}
	s.last = now
	s.count++
	reason := exchange.ReasonInternal
	if failure.Err != nil {
		reason = failure.Err.Reason
	}
	s.reasons[reason]++
	if i, found := slices.BinarySearch(s.entrances, failure.Entrance); !found {
		s.entrances = slices.Insert(s.entrances, i, failure.Entrance)
	}
	return s.id
}

func (f *failures) find(k failureKey) *summary {
	if s := f.open[k]; s != nil {
		return s
	}
	if len(f.open) >= maxSummaries {
		if f.overflow == nil {
			f.overflow = &summary{overflow: true, reasons: make(map[exchange.Reason]int64)}
		}
		return f.overflow
	}
	s := &summary{source: k.source, reasons: make(map[exchange.Reason]int64)}
	if f.open == nil {
		f.open = make(map[failureKey]*summary)
	}
	f.open[k] = s
	return s
}

// due takes out the summaries of seconds before now, oldest first; all of them if now is zero.
func (f *failures) due(now time.Time) []*summary {
	f.mu.Lock()
	defer f.mu.Unlock()
	var due []*summary
	for k, s := range f.open {
		if now.IsZero() || k.second != now.Unix() {
			due = append(due, s)
			delete(f.open, k)
		}
	}
	if o := f.overflow; o != nil && (now.IsZero() || o.first.Unix() != now.Unix()) {
		due = append(due, o)
		f.overflow = nil
	}
	slices.SortFunc(due, func(a, b *summary) int {
		return cmp.Or(a.first.Compare(b.first), cmp.Compare(a.id, b.id))
	})
	return due
}

// keep puts back what could not be written. What finds no room any more joins the overflow: its own id is lost, its
// count is not.
func (f *failures) keep(back []*summary) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range back {
		k := failureKey{s.source, s.first.Unix()}
		if _, taken := f.open[k]; !s.overflow && !taken && len(f.open) < maxSummaries {
			if f.open == nil {
				f.open = make(map[failureKey]*summary)
			}
			f.open[k] = s
			continue
		}
		if f.overflow == nil {
			s.overflow, s.source = true, ""
			f.overflow = s
			continue
		}
		f.overflow.merge(s)
	}
}

func (s *summary) merge(other *summary) {
	s.count += other.count
	for reason, n := range other.reasons {
		s.reasons[reason] += n
	}
	for _, entrance := range other.entrances {
		if i, found := slices.BinarySearch(s.entrances, entrance); !found {
			s.entrances = slices.Insert(s.entrances, i, entrance)
		}
	}
	if other.first.Before(s.first) {
		s.first = other.first
	}
	if other.last.After(s.last) {
		s.last = other.last
	}
}
