package export

import (
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// patience is how long an export may fail before that is told.
	patience = 10 * time.Second
	// lateness is how old the oldest record may get, beside what the destination waits.
	lateness = time.Minute
	// mostAfter bounds what a far end may ask us to wait.
	mostAfter = 10 * time.Minute
)

// state is how an export does, and how long it waits after a failure.
type state struct {
	pauses backoff.ExponentialBackOff // of one goroutine

	mu      sync.Mutex // guards what follows
	failing time.Time  // since when; zero while it is well
	err     *Failure   // the last
	lag     uint64
	oldest  time.Time // of the oldest record that is not taken, as far as that was read
}

// failed notes a failure, tells of it where it is new, and says how long to wait.
func (s *state) failed(x *exporter, err error) time.Duration {
	f := failureOf(err)
	x.metrics.errors[f.Class].Inc()
	now := x.c.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil || s.err.Class != f.Class {
		x.log.Error("an export of the audit log fails; it is tried again, and nothing is lost meanwhile", "class", string(f.Class), "error", f)
	}
	if s.err = f; s.failing.IsZero() || now.Before(s.failing) {
		s.failing = now
	}
	if f.Class == ClassLog { // which may be of another log than those that are well
		return x.c.Retry.Least
	}
	pause := s.pauses.NextBackOff()
	if f.Class == ClassRefused {
		pause = max(pause, x.c.Retry.Refused)
	}
	return max(pause, min(f.After, mostAfter))
}

func (s *state) well(x *exporter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		x.log.Info("an export of the audit log works again")
	}
	s.err, s.failing = nil, time.Time{}
	s.pauses.Reset()
}

func (s *state) behind(lag uint64, oldest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag, s.oldest = lag, oldest
}

// health is nil where the export keeps up.
func (s *state) health(x *exporter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := x.c.Now()
	if !s.failing.IsZero() && now.Sub(s.failing) >= patience {
		return fmt.Errorf("the export %s has failed since %s (%s): %w; %d records wait", x.Name, s.failing.UTC().Format(time.RFC3339), s.err.Class, s.err, s.lag)
	}
	if !s.oldest.IsZero() && now.Sub(s.oldest) > x.Destination.Limits().Wait+lateness {
		return fmt.Errorf("the export %s is behind: %d records wait, since %s", x.Name, s.lag, s.oldest.UTC().Format(time.RFC3339))
	}
	return nil
}
