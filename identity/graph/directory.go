package graph

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/lakegate/sts/identity"
	"github.com/lakegate/sts/internal/outbound"
)

const (
	// maxCalls bounds the calls under way, maxFlights who is asked about, and maxWaiting who waits for that: each holds a
	// place among the requests under way, which are there for the tokens of all providers.
	maxCalls   = 8
	maxFlights = 256
	maxWaiting = 256
	// maxPause bounds how long Graph may bid us wait.
	maxPause = time.Minute
	// groupBytes is what one id takes, and memberBytes somebody without any.
	groupBytes  = 56
	memberBytes = 256
)

// directory is what is known of one provider's people.
type directory struct {
	Settings
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics
	client  *http.Client
	maxWait time.Duration
	maxAge  time.Duration
	// flightTime bounds a flight: a turn among the calls, and two calls.
	flightTime time.Duration

	known *otter.Cache[identity.Member, *answer]
	turns chan struct{} // one for each call under way

	mu       sync.Mutex
	flights  map[identity.Member]*flight
	tenants  map[string]*tenant
	pause    time.Time // before this, Graph doesn't want to be asked
	waiting  int       // callers
	failures int       // in a row
}

// answer is what Graph said, and until when it is used.
type answer struct {
	names []string
	until time.Time
}

// flight is one person's question, shared by all who wait for it and ended by none of them.
type flight struct {
	done chan struct{}
	got  *answer
	err  error
}

func newDirectory(c Config, m *metrics, s Settings) (*directory, error) {
	d := &directory{
		Settings: s, now: c.Now, log: c.Log.With("provider", s.Provider), metrics: m,
		maxWait: c.MaxWait, maxAge: c.MaxAge, flightTime: 3 * c.CallTimeout,
		turns: make(chan struct{}, maxCalls), flights: map[identity.Member]*flight{}, tenants: map[string]*tenant{},
		client: newClient(c.CallTimeout, c.RootCAs),
	}
	var err error
	d.known, err = otter.New(&otter.Options[identity.Member, *answer]{
		MaximumWeight: c.CacheBytes,
		Weigher: func(_ identity.Member, a *answer) uint32 {
			return uint32(min(memberBytes+groupBytes*len(a.names), math.MaxUint32)) // maxGroups bounds it
		},
	})
	return d, err
}

func newClient(timeout time.Duration, roots *x509.CertPool) *http.Client {
	return outbound.New(outbound.Config{Timeout: timeout, MaxBytes: maxAnswer, MaxConnsPerHost: maxCalls, RootCAs: roots})
}

// groups are those that are known, or those that a flight finds.
func (d *directory) groups(ctx context.Context, who identity.Member) ([]string, time.Time, error) {
	now := d.now()
	if a, ok := d.known.GetIfPresent(who); ok && d.fresh(a, now) {
		d.metrics.hits.WithLabelValues(d.Provider).Inc()
		return a.names, a.until, nil
	}
	f, err := d.join(who, now)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer d.leave()
	timer := time.NewTimer(d.maxWait)
	defer timer.Stop()
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, time.Time{}, ctx.Err()
	case <-timer.C:
		return nil, time.Time{}, unavailable(errors.New("it is slow to answer"), time.Second)
	}
	if f.err != nil {
		return nil, time.Time{}, unavailable(f.err, d.retryIn(d.now()))
	}
	return f.got.names, f.got.until, nil
}

// fresh reports whether an answer may be used. One of the future is none: the clock was set back.
func (d *directory) fresh(a *answer, now time.Time) bool {
	rest := a.until.Sub(now)
	return rest > 0 && rest <= d.maxAge
}

// leave is what a caller does who has waited.
func (d *directory) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting--
}

// join gives the person's flight, which is started if there is none; its caller is to leave.
func (d *directory) join(who identity.Member, now time.Time) (*flight, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting >= maxWaiting {
		return nil, unavailable(errors.New("too many wait for it already"), time.Second)
	}
	if f := d.flights[who]; f != nil {
		d.waiting++
		return f, nil
	}
	if rest := d.pause.Sub(now); rest > 0 && rest <= maxPause {
		return nil, unavailable(errors.New("it has asked for less calls"), rest)
	}
	if len(d.flights) >= maxFlights {
		return nil, unavailable(errors.New("too many are asked about already"), time.Second)
	}
	f := &flight{done: make(chan struct{})}
	d.flights[who] = f
	d.waiting++
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), d.flightTime)
		defer cancel()
		f.got, f.err = d.find(ctx, who)
		d.land(who, f)
	}()
	return f, nil
}

// find waits for its turn and asks.
func (d *directory) find(ctx context.Context, who identity.Member) (*answer, error) {
	select {
	case d.turns <- struct{}{}:
		defer func() { <-d.turns }()
	case <-ctx.Done():
		return nil, errors.New("the calls before it are slow")
	}
	asked := d.now()
	token, err := d.token(ctx, who.Tenant)
	if err != nil {
		return nil, err
	}
	names, err := d.members(ctx, who, token)
	if err != nil {
		return nil, err
	}
	return &answer{names: names, until: asked.Add(d.maxAge)}, nil
}

// land ends a flight. Only an answer is kept.
func (d *directory) land(who identity.Member, f *flight) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.flights, who)
	if f.err == nil {
		d.known.Set(who, f.got)
		d.failures = 0
	} else if d.failures++; d.failures&(d.failures-1) == 0 { // the 1st, 2nd, 4th, 8th, … in a row
		d.log.Warn("groups that a token leaves out can't be asked for at Microsoft Graph", "error", f.err, "failures", d.failures)
	}
	close(f.done)
}

func (d *directory) retryIn(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return min(max(d.pause.Sub(now), time.Second), maxPause)
}
