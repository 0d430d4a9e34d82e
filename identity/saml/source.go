package saml

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lakegate/sts/internal/outbound"
)

const (
	// askInterval is how often assertions that no known key signed may make us fetch, per provider: anybody can make such.
	askInterval = 10 * time.Second
	// firstRetry and lastRetry are the waits after one failed fetch and after many.
	firstRetry = time.Second
	lastRetry  = time.Minute
	// fileInterval is how often a file is looked at.
	fileInterval = time.Second
)

// source holds the metadata of one provider and knows where it comes from.
type source struct {
	origin   origin
	now      func() time.Time
	random   func() float64
	log      *slog.Logger
	metrics  *metrics
	interval time.Duration
	maxWait  time.Duration
	client   *http.Client

	current atomic.Pointer[dated]
	// maxStale is how long metadata is trusted if no other can be fetched: a time.Duration, which a reload may change.
	maxStale atomic.Int64

	mu       sync.Mutex
	flight   *flight   // the fetch under way
	due      time.Time // when the next is, if nobody asks before
	asked    time.Time // when an assertion last made us fetch
	failures int       // in a row
	lastErr  error

	read fs.FileInfo // the file that was read last; of the flight alone
}

// dated is metadata, and when it was fetched.
type dated struct {
	*metadata
	at time.Time
}

// flight is one fetch, shared by all who wait for it and ended by none of them.
type flight struct {
	done chan struct{}
	err  error
}

func newSource(c Config, m *metrics, o origin) *source {
	return &source{
		origin: o, now: c.Now, random: c.Random, log: c.Log.With("provider", o.provider), metrics: m,
		interval: c.RefreshInterval, maxWait: c.MaxWait,
		client: outbound.New(outbound.Config{Timeout: c.FetchTimeout, MaxBytes: maxMetadataBytes, MaxConnsPerHost: 2, RootCAs: c.RootCAs}),
	}
}

// keys are those that an assertion may be verified by; none where the metadata is too old to be believed.
func (s *source) keys(now time.Time) []*key {
	if d := s.current.Load(); d != nil && now.Sub(d.at) <= time.Duration(s.maxStale.Load()) {
		return d.good(now)
	}
	return nil
}

// unavailable is that metadata can't be had: the provider's trouble and not the assertion's.
type unavailable struct {
	cause error
	retry time.Duration
}

func (u *unavailable) Error() string { return u.cause.Error() }
func (u *unavailable) Unwrap() error { return u.cause }

// ask is what an assertion does that no key of ours signed: it waits for a fetch, if one is under way or may be started.
// Nil means that the keys are as fresh as we may make them.
func (s *source) ask(ctx context.Context, now time.Time) error {
	f, err := s.askFlight(now)
	if f != nil {
		err = s.wait(ctx, f)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && len(s.keys(now)) > 0:
		return nil
	case err == nil:
		err = s.trouble(now)
	}
	return &unavailable{cause: err, retry: s.retryIn(now)}
}

// askFlight gives the flight to wait for, or neither flight nor error where the metadata is fresh, or why there is none.
func (s *source) askFlight(now time.Time) (*flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.flight != nil:
		return s.flight, nil
	case within(s.asked.Add(askInterval), now, askInterval) && (s.current.Load() != nil || within(s.due, now, lastRetry)):
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

var errSlow = errors.New("its server of metadata is slow to answer")

func (s *source) wait(ctx context.Context, f *flight) error {
	timer := time.NewTimer(s.maxWait)
	defer timer.Stop()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return errSlow
	}
}

func (s *source) retryIn(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return firstRetry
	}
	return min(max(s.due.Sub(now), firstRetry), askInterval)
}

// refreshIfDue starts a fetch whose time has come.
func (s *source) refreshIfDue(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == nil && !within(s.due, now, s.interval+lastRetry) {
		s.start(now)
	}
}

// start starts a flight of its own context; s.mu is held.
func (s *source) start(now time.Time) *flight {
	f := &flight{done: make(chan struct{})}
	s.flight, s.due = f, now.Add(s.interval)
	go func() {
		f.err = s.renew(context.Background())
		s.land(f)
	}()
	return f
}

// land ends a flight and says when the next is due.
func (s *source) land(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.flight, s.lastErr = nil, f.err
	switch {
	case f.err != nil:
		s.due = now.Add(s.backoff())
		if s.failures++; s.failures&(s.failures-1) == 0 { // the 1st, 2nd, 4th, 8th, … in a row
			s.log.Warn("the metadata of an identity provider can't be had", "error", f.err, "failures", s.failures)
		}
	case s.origin.file != "":
		s.due, s.failures = now.Add(fileInterval), 0
	default:
		s.due, s.failures = now.Add(s.interval-time.Duration(s.random()*float64(s.interval)/5)), 0
	}
	close(f.done)
}

func (s *source) backoff() time.Duration {
	if s.origin.file != "" {
		return fileInterval
	}
	return min(firstRetry<<min(s.failures, 6), lastRetry)
}

// renew fetches the metadata and puts it in place. Foreign bytes that make a parser panic are this provider's trouble alone.
func (s *source) renew(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	found, err := s.load(ctx)
	before := s.current.Load()
	if errors.Is(err, errUnchanged) {
		if before != nil {
			s.current.Store(&dated{before.metadata, s.now()})
		}
		return nil
	}
	s.metrics.fetched(s.origin.provider, err)
	if err != nil {
		return err
	}
	s.current.Store(&dated{found, s.now()})
	if before == nil || len(before.keys) != len(found.keys) {
		s.log.Info("an identity provider's metadata has changed", "certificates", len(found.keys), "skipped", len(found.skipped))
		for _, fault := range found.skipped {
			s.log.Warn("a certificate of an identity provider is not used", "error", fault)
		}
	}
	return nil
}

// trouble says why there are no keys.
func (s *source) trouble(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.current.Load()
	switch {
	case s.lastErr != nil:
		return s.lastErr
	case d == nil:
		return errors.New("not fetched yet")
	case now.Sub(d.at) > time.Duration(s.maxStale.Load()):
		return fmt.Errorf("not fetched anew for %s", time.Duration(s.maxStale.Load()))
	case !d.until.IsZero() && !now.Before(d.until):
		return errors.New("the metadata is past its validUntil")
	}
	return errors.New("none of the metadata's certificates for signing is valid today; have the identity provider publish a new one")
}
