package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/lakegate/sts/identity/internal/refresh"
	"github.com/lakegate/sts/internal/jwt"
	"github.com/lakegate/sts/internal/outbound"
)

// keySource holds the keys of one provider and knows where they come from.
type keySource struct {
	origin  origin
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics
	flights *refresh.Source // when they are fetched, and who waits for it

	newClient func(roots *x509.CertPool) *http.Client
	// client is what the provider is asked with: see reach. Nil before the first request to one with a CA of its own.
	client atomic.Pointer[http.Client]

	set atomic.Pointer[keySet]
	// maxStale is how long a set is trusted if no other can be fetched: a time.Duration. A reload may change it, just when
	// the provider is down and there is no other way to go on.
	maxStale atomic.Int64
	skew     *skew // the provider's

	place place // of the flight alone
}

func newKeySource(c Config, m *metrics, o origin) *keySource {
	s := &keySource{
		origin: o, now: c.Now, log: c.Log.With("provider", o.provider), metrics: m,
		newClient: func(roots *x509.CertPool) *http.Client {
			return outbound.New(outbound.Config{
				Timeout: c.FetchTimeout, MaxBytes: jwt.MaxKeySetBytes, MaxConnsPerHost: 2, RootCAs: roots,
			})
		},
	}
	s.flights = &refresh.Source{Config: refresh.Config{
		Now: c.Now, Random: c.Random, Log: s.log, What: "the keys", Interval: c.RefreshInterval, MaxWait: c.MaxWait, File: o.file != "",
		Fetch: s.renew, Has: func(now time.Time) bool { return s.trusted(now) != nil },
	}}
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

// ask is what a token does whose key isn't among ours: it waits for a fetch, if one is under way or may be started. Nil
// means that the keys are as fresh as we may make them.
func (s *keySource) ask(ctx context.Context, now time.Time) error {
	err := s.flights.Ask(ctx, now)
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
	return &refresh.Unavailable{Cause: err, Retry: s.flights.RetryIn(now)}
}

// renew fetches the keys and puts them in place.
func (s *keySource) renew(ctx context.Context) error {
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
	err, set := s.flights.Err(), s.set.Load()
	switch {
	case err != nil:
		return err
	case set == nil:
		return errors.New("not fetched yet")
	case len(set.keys) == 0:
		return errors.New("it publishes none that can be used")
	}
	return fmt.Errorf("not fetched anew for %s", time.Duration(s.maxStale.Load()))
}
