package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lakegate/sts/internal/jwt"
	"github.com/lakegate/sts/internal/outbound"
)

const (
	// askInterval is how often tokens with unknown keys may make us fetch, per provider: anybody can make such tokens.
	askInterval = 10 * time.Second
	// firstRetry and lastRetry are the waits after one failed fetch and after many.
	firstRetry = time.Second
	lastRetry  = time.Minute
	// maxWaiting is how many callers wait for the keys of one provider. Each holds a place among the requests under way,
	// which are there for the tokens of all providers.
	maxWaiting = 256
	// fileInterval is how often a key file is looked at.
	fileInterval = time.Second
)

// keySource holds the keys of one provider and knows where they come from.
type keySource struct {
	origin   origin
	now      func() time.Time
	random   func() float64
	log      *slog.Logger
	metrics  *metrics
	interval time.Duration
	maxWait  time.Duration

	newClient func(roots *x509.CertPool) *http.Client
	// client is what the provider is asked with: see reach. Nil before the first request to one with a CA of its own.
	client atomic.Pointer[http.Client]

	set atomic.Pointer[keySet]
	// maxStale is how long a set is trusted if no other can be fetched: a time.Duration. A reload may change it, just when
	// the provider is down and there is no other way to go on.
	maxStale atomic.Int64
	skew     *skew // the provider's

	mu       sync.Mutex
	flight   *flight   // the fetch under way
	waiting  int       // for it
	due      time.Time // when the next is, if nobody asks before
	asked    time.Time // when a token with an unknown key last made us fetch
	failures int       // in a row
	lastErr  error

	place place // of the flight alone
}

// flight is one fetch, shared by all who wait for it and ended by none of them.
type flight struct {
	done chan struct{}
	err  error
	// slow is closed when it has taken longer than anybody waits: who comes later doesn't begin to wait anew.
	slow chan struct{}
}

func newKeySource(c Config, m *metrics, o origin) *keySource {
	s := &keySource{
		origin: o, now: c.Now, random: c.Random, log: c.Log.With("provider", o.provider), metrics: m,
		interval: c.RefreshInterval, maxWait: c.MaxWait,
		newClient: func(roots *x509.CertPool) *http.Client {
			return outbound.New(outbound.Config{
				Timeout: c.FetchTimeout, MaxBytes: jwt.MaxKeySetBytes, MaxConnsPerHost: 2, RootCAs: roots,
			})
		},
	}
	if o.caFile == "" {
		s.client.Store(s.newClient(c.RootCAs))
	}
	return s
}

// parse reads a key set of the kind that this provider has.
func (s *keySource) parse(text []byte) ([]jwt.Key, []jwt.Skipped, error) {
	if s.origin.bundle {
		return jwt.ParseBundle(text)
	}
	return jwt.ParseKeySet(text)
}

// trusted gives the keys, nil where there are none or they are too old to be believed.
func (s *keySource) trusted(now time.Time) *keySet {
	if set := s.set.Load(); set != nil && now.Sub(set.at) <= time.Duration(s.maxStale.Load()) {
		return set
	}
	return nil
}

// unavailable is that keys can't be had: the provider's trouble and not the token's.
type unavailable struct {
	cause error
	retry time.Duration
}

func (u *unavailable) Error() string { return u.cause.Error() }
func (u *unavailable) Unwrap() error { return u.cause }

// ask is what a token does whose key isn't among ours: it waits for a fetch, if one is under way or may be started. Nil
// means that the keys are as fresh as we may make them.
func (s *keySource) ask(ctx context.Context, now time.Time) error {
	f, err := s.askFlight(now)
	if f != nil {
		err = s.wait(ctx, f)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errKeySetTooLarge):
		return nil // an answer, if a useless one: no key of it is ours
	case err == nil && s.trusted(now) != nil:
		return nil
	case err == nil:
		err = s.trouble()
	}
	return &unavailable{cause: err, retry: s.retryIn(now)}
}

// askFlight gives the flight to wait for, or neither flight nor error where the keys are fresh, or why there is none.
func (s *keySource) askFlight(now time.Time) (*flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.flight != nil:
		return s.flight, nil
	case within(s.asked.Add(askInterval), now, askInterval) && (s.trusted(now) != nil || within(s.due, now, lastRetry)):
		return nil, s.lastErr // nil unless the last fetch failed
	}
	s.asked = now
	return s.start(now), nil
}

// within reports whether end is ahead, by no more than limit: a clock that was set back must not make us wait for it.
func within(end, now time.Time, limit time.Duration) bool {
	rest := end.Sub(now)
	return rest > 0 && rest <= limit
}

var (
	errSlow    = errors.New("its key server is slow to answer")
	errCrowded = errors.New("its key server is slow to answer, and too many requests wait for it already")
)

func (s *keySource) wait(ctx context.Context, f *flight) error {
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

// queue counts who waits, and reports whether there is room for one more.
func (s *keySource) queue(change int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if change > 0 && s.waiting >= maxWaiting {
		return false
	}
	s.waiting += change
	return true
}

func (s *keySource) retryIn(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return firstRetry
	}
	return min(max(s.due.Sub(now), firstRetry), askInterval)
}

// refreshIfDue starts a fetch whose time has come.
func (s *keySource) refreshIfDue(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == nil && !within(s.due, now, s.interval+lastRetry) {
		s.start(now)
	}
}

// fetch starts a fetch, or joins the one under way.
func (s *keySource) fetch(now time.Time) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight
	}
	return s.start(now)
}

// start starts a flight of its own context; s.mu is held.
func (s *keySource) start(now time.Time) *flight {
	f := &flight{done: make(chan struct{}), slow: make(chan struct{})}
	s.flight, s.due = f, now.Add(s.interval)
	timer := time.AfterFunc(s.maxWait, func() { close(f.slow) })
	go func() {
		f.err = s.renew(context.Background())
		timer.Stop()
		s.land(f)
	}()
	return f
}

// land ends a flight and says when the next is due.
func (s *keySource) land(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.flight, s.lastErr = nil, f.err
	switch {
	case f.err != nil:
		s.due = now.Add(s.backoff())
		if s.failures++; s.failures&(s.failures-1) == 0 { // the 1st, 2nd, 4th, 8th, … in a row
			s.log.Warn("the keys of an identity provider can't be fetched", "error", f.err, "failures", s.failures)
		}
	case s.origin.file != "":
		s.due, s.failures = now.Add(fileInterval), 0
	default:
		s.due, s.failures = now.Add(s.interval-time.Duration(s.random()*float64(s.interval)/5)), 0
	}
	close(f.done)
}

func (s *keySource) backoff() time.Duration {
	if s.origin.file != "" {
		return fileInterval
	}
	return min(firstRetry<<min(s.failures, 6), lastRetry)
}

// renew fetches the keys and puts them in place. Foreign bytes that make a parser panic are this provider's trouble
// alone.
func (s *keySource) renew(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	text, err := s.load(ctx)
	if errors.Is(err, errUnchanged) {
		s.keep()
		return nil
	}
	var fetched []jwt.Key
	var skipped []jwt.Skipped
	if err == nil {
		fetched, skipped, err = s.parse(text)
	}
	s.metrics.fetched(s.origin.provider, err)
	if err != nil {
		return err
	}
	s.replace(fetched, skipped)
	return nil
}

// keep trusts the keys anew.
func (s *keySource) keep() {
	if set := s.set.Load(); set != nil {
		s.put(set.keys, set.skipped)
	}
}

func (s *keySource) put(keys []*key, skipped []jwt.Skipped) {
	s.set.Store(&keySet{keys: keys, skipped: skipped, at: s.now()})
}

// trouble says why there are no keys.
func (s *keySource) trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.lastErr != nil:
		return s.lastErr
	case s.set.Load() == nil:
		return errors.New("not fetched yet")
	case len(s.set.Load().keys) == 0:
		return errors.New("it publishes none that can be used")
	}
	return fmt.Errorf("not fetched anew for %s", time.Duration(s.maxStale.Load()))
}
