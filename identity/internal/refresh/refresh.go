// Package refresh decides when a provider's keys, or its metadata, are fetched: every few minutes, and sooner where a token
// asks for one that isn't there. One flight fetches for all who wait, and none of them ends it. Whatever tokens do, it bounds
// how often a provider is asked, and how many wait for it, for how long.
package refresh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// AskInterval is how often tokens with unknown keys may make us fetch, per provider: anybody can make such tokens.
	AskInterval = 10 * time.Second
	// FirstRetry is the wait after one failed fetch.
	FirstRetry = time.Second
	// LastRetry is the wait after many.
	LastRetry = time.Minute
	// maxWaiting is how many callers wait for one provider. Each holds a place among the requests under way, which are
	// there for the tokens of all providers.
	maxWaiting = 256
	// fileInterval is how often a file is looked at.
	fileInterval = time.Second
)

var (
	errSlow    = errors.New("its server is slow to answer")
	errCrowded = errors.New("its server is slow to answer, and too many requests wait for it already")
)

// Unavailable is that a provider can't be asked now, or has nothing to go on with: its trouble and not the token's.
type Unavailable struct {
	Cause error
	Retry time.Duration // after which it is worth to ask again
}

// Error is the cause's.
func (u *Unavailable) Error() string { return u.Cause.Error() }

// Unwrap gives the cause.
func (u *Unavailable) Unwrap() error { return u.Cause }

// Config is what a Source is made of. All but File is needed.
type Config struct {
	Now    func() time.Time
	Random func() float64 // in [0, 1)
	// Log hears of failures, which are of What: "the keys".
	Log  *slog.Logger
	What string

	Interval time.Duration // between fetches
	MaxWait  time.Duration // how long a fetch is waited for
	File     bool          // what is fetched is a file, which is looked at each second

	// Fetch fetches, and keeps what it got. There is one at a time.
	Fetch func(ctx context.Context) error
	// Has reports whether there is something to go on with until the next fetch.
	Has func(now time.Time) bool
}

// Source is what is fetched of one provider.
type Source struct {
	Config

	mu       sync.Mutex
	flight   *Flight   // the fetch under way
	waiting  int       // for it
	due      time.Time // when the next is, if nobody asks before
	asked    time.Time // when a token last made us fetch
	failures int       // in a row
	err      error     // of the last
}

// Flight is one fetch, shared by all who wait for it and ended by none of them.
type Flight struct {
	done chan struct{}
	err  error
	// slow is closed when it has taken longer than anybody waits: who comes later doesn't begin to wait anew.
	slow chan struct{}
}

// Wait waits for its end, however long that takes while ctx lasts.
func (f *Flight) Wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return errSlow
	}
}

// Ask is what a token does whose key isn't among those that are known: it waits for a fetch, if one is under way or may be
// started. Nil means that what there is is as fresh as we may make it.
func (s *Source) Ask(ctx context.Context, now time.Time) error {
	f, err := s.join(now)
	if f == nil {
		return err
	}
	if !s.queue(1) {
		return errCrowded
	}
	defer s.queue(-1)
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	case <-f.slow:
		return errSlow
	}
}

// join gives the flight to wait for, or neither flight nor error where there is nothing fresher, or why there is none.
func (s *Source) join(now time.Time) (*Flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.flight != nil:
		return s.flight, nil
	case Within(s.asked.Add(AskInterval), now, AskInterval) && (s.Has(now) || Within(s.due, now, LastRetry)):
		return nil, s.err // nil unless the last fetch failed
	}
	s.asked = now
	return s.start(now), nil
}

// Within reports whether end is ahead, by no more than limit: a clock that was set back must not make us wait for it.
func Within(end, now time.Time, limit time.Duration) bool {
	rest := end.Sub(now)
	return rest > 0 && rest <= limit
}

// queue counts who waits, and reports whether there is room for one more.
func (s *Source) queue(change int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if change > 0 && s.waiting >= maxWaiting {
		return false
	}
	s.waiting += change
	return true
}

// Waiting is how many callers wait.
func (s *Source) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting
}

// RetryIn is after how long it is worth to ask again.
func (s *Source) RetryIn(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return FirstRetry
	}
	return min(max(s.due.Sub(now), FirstRetry), AskInterval)
}

// Err is why the last fetch failed; nil if it didn't, or if there was none.
func (s *Source) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// IfDue starts a fetch whose time has come.
func (s *Source) IfDue(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == nil && !Within(s.due, now, s.Interval+LastRetry) {
		s.start(now)
	}
}

// Start starts a fetch, or joins the one under way.
func (s *Source) Start(now time.Time) *Flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight
	}
	return s.start(now)
}

// UnderWay is the fetch under way, or nil.
func (s *Source) UnderWay() *Flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flight
}

// start starts a flight of its own context; s.mu is held.
func (s *Source) start(now time.Time) *Flight {
	f := &Flight{done: make(chan struct{}), slow: make(chan struct{})}
	s.flight, s.due = f, now.Add(s.Interval)
	timer := time.AfterFunc(s.MaxWait, func() { close(f.slow) })
	go func() {
		f.err = s.fetch()
		timer.Stop()
		s.land(f)
	}()
	return f
}

// fetch keeps foreign bytes that make a parser panic the trouble of this provider alone.
func (s *Source) fetch() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return s.Fetch(context.Background())
}

// land ends a flight and says when the next is due.
func (s *Source) land(f *Flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	s.flight, s.err = nil, f.err
	switch {
	case f.err != nil:
		s.due = now.Add(s.backoff())
		if s.failures++; s.failures&(s.failures-1) == 0 { // the 1st, 2nd, 4th, 8th, … in a row
			s.Log.Warn(s.What+" of an identity provider can't be fetched", "error", f.err, "failures", s.failures)
		}
	case s.File:
		s.due, s.failures = now.Add(fileInterval), 0
	default:
		s.due, s.failures = now.Add(s.Interval-time.Duration(s.Random()*float64(s.Interval)/5)), 0
	}
	close(f.done)
}

func (s *Source) backoff() time.Duration {
	if s.File {
		return fileInterval
	}
	return min(FirstRetry<<min(s.failures, 6), LastRetry)
}
