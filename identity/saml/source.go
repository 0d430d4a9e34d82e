package saml

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/lakegate/sts/identity/internal/clocks"
	"github.com/lakegate/sts/identity/internal/refresh"
	"github.com/lakegate/sts/internal/outbound"
)

// source holds the metadata of one provider and knows where it comes from.
type source struct {
	origin  origin
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics
	flights *refresh.Source // when it is fetched, and who waits for it
	client  *http.Client
	clock   clocks.Reading // of the server of the metadata

	current atomic.Pointer[dated]
	// maxStale is how long metadata is trusted if no other can be fetched: a time.Duration, which a reload may change.
	maxStale atomic.Int64

	read fs.FileInfo // the file that was read last; of the flight alone
}

// dated is metadata, and when it was fetched.
type dated struct {
	*metadata
	at time.Time
}

func newSource(c Config, m *metrics, o origin) *source {
	s := &source{
		origin: o, now: c.Now, log: c.Log.With("provider", o.provider), metrics: m,
		client: outbound.New(outbound.Config{Timeout: c.FetchTimeout, MaxBytes: maxMetadataBytes, MaxConnsPerHost: 2, RootCAs: c.RootCAs}),
	}
	s.flights = &refresh.Source{Config: refresh.Config{
		Now: c.Now, Random: c.Random, Log: s.log, What: "the metadata", Interval: c.RefreshInterval, MaxWait: c.MaxWait, File: o.file != "",
		Fetch: s.renew, Has: func(time.Time) bool { return s.current.Load() != nil },
	}}
	return s
}

// keys are those that an assertion may be verified by; none where the metadata is too old to be believed.
func (s *source) keys(now time.Time) []*key {
	if d := s.current.Load(); d != nil && now.Sub(d.at) <= time.Duration(s.maxStale.Load()) {
		return d.good(now)
	}
	return nil
}

// ask is what an assertion does that no key of ours signed: it waits for a fetch, if one is under way or may be started.
// Nil means that the keys are as fresh as we may make them.
func (s *source) ask(ctx context.Context, now time.Time) error {
	err := s.flights.Ask(ctx, now)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && len(s.keys(now)) > 0:
		return nil
	case err == nil:
		err = s.trouble(now)
	}
	return &refresh.Unavailable{Cause: err, Retry: s.flights.RetryIn(now)}
}

// renew fetches the metadata and puts it in place.
func (s *source) renew(ctx context.Context) error {
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
	err, d := s.flights.Err(), s.current.Load()
	switch {
	case err != nil:
		return err
	case d == nil:
		return errors.New("not fetched yet")
	case now.Sub(d.at) > time.Duration(s.maxStale.Load()):
		return fmt.Errorf("not fetched anew for %s", time.Duration(s.maxStale.Load()))
	case !d.until.IsZero() && !now.Before(d.until):
		return errors.New("the metadata is past its validUntil")
	}
	return errors.New("none of the metadata's certificates for signing is valid today; have the identity provider publish a new one")
}
