package graph

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
)

// Config is what a Resolver is made of. Its zero value is a good one without providers.
type Config struct {
	Providers []Settings

	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log hears of calls that fail. Default slog.Default().
	Log *slog.Logger
	// Metrics is where the metrics of metrics.go are registered. Default nowhere.
	Metrics prometheus.Registerer

	// RootCAs are who may vouch for the servers. Default the system's.
	RootCAs *x509.CertPool
	// CallTimeout bounds one call. Default 5 s.
	CallTimeout time.Duration
	// MaxWait bounds how long a caller waits for an answer; the calls go on without him. Default 3 s.
	MaxWait time.Duration
	// MaxAge is how long an answer is used, counted from when it was asked for. It is also how long somebody who was taken
	// out of a group is still taken to be in it. Default 2 min.
	MaxAge time.Duration
	// CacheBytes bounds what is known, for each provider. Default 32 MiB, estimated: about 4,000 people of 200 groups.
	CacheBytes uint64
}

// Settings say how the groups of one provider's people are asked for.
type Settings struct {
	// Provider is its name.
	Provider string
	// ClientID is our own app registration, which may read memberships. Its credential is ClientSecret, or else a token that
	// the registration trusts, in AssertionFile; whoever writes that file replaces it before the token expires.
	ClientID      string
	ClientSecret  exchange.Secret
	AssertionFile string
	// Endpoint is Graph's, and Authority that of the token endpoints, both without a path: https, or http on the loopback.
	Endpoint, Authority string
}

// The defaults of a provider, of the public cloud.
const (
	DefaultEndpoint  = "https://graph.microsoft.com"
	DefaultAuthority = "https://login.microsoftonline.com"
)

// Resolver asks for all providers that want it.
type Resolver struct {
	config  Config
	current atomic.Pointer[map[string]*directory] // by provider
	metrics *metrics
}

var _ identity.GroupSource = (*Resolver)(nil)

// New makes a Resolver. It calls nobody before it is asked.
func New(c Config) (*Resolver, error) {
	c = c.withDefaults()
	r := &Resolver{config: c}
	var err error
	if r.metrics, err = newMetrics(c.Metrics); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	r.current.Store(&map[string]*directory{})
	commit, err := r.Prepare(c.Providers)
	if err != nil {
		return nil, err
	}
	commit()
	return r, nil
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.CallTimeout <= 0 {
		c.CallTimeout = 5 * time.Second
	}
	if c.MaxWait <= 0 {
		c.MaxWait = 3 * time.Second
	}
	if c.MaxAge <= 0 {
		c.MaxAge = 2 * time.Minute
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = 32 << 20
	}
	return c
}

// Prepare checks a new set of providers. Nothing changes before the function that it returns is called, which can't
// fail. What is known of a provider whose settings stay is kept.
func (r *Resolver) Prepare(providers []Settings) (commit func(), err error) {
	before := *r.current.Load()
	next := make(map[string]*directory, len(providers))
	var faults []error
	for _, s := range providers {
		if fault := s.fault(); fault != nil {
			faults = append(faults, fmt.Errorf("identity provider %s: graph: %w", s.Provider, fault))
			continue
		}
		if old := before[s.Provider]; old != nil && old.Settings == s {
			next[s.Provider] = old
			continue
		}
		made, err := newDirectory(r.config, r.metrics, s)
		if err != nil {
			return nil, fmt.Errorf("making the cache of groups: %w", err)
		}
		next[s.Provider] = made
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return func() {
		r.current.Store(&next)
		for name, old := range before {
			if next[name] != old {
				old.client.CloseIdleConnections()
			}
			if next[name] == nil {
				r.metrics.forget(name)
			}
		}
	}, nil
}

func (s Settings) fault() error {
	switch {
	case s.Provider == "" || s.ClientID == "" || (s.ClientSecret == "") == (s.AssertionFile == ""):
		return errors.New("needs a provider, a client id and one credential: a secret, or the file of an assertion")
	case !isHost(s.Endpoint) || !isHost(s.Authority):
		return errors.New("endpoint and authority must be https URLs of a host alone; http is for the loopback only")
	}
	return nil
}

// isHost reports whether a text is where credentials may be sent.
func isHost(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && u.User == nil && u.Path == "" && u.RawQuery == "" && u.Fragment == "" &&
		(u.Scheme == "https" || u.Scheme == "http" && identity.IsLoopback(u))
}

// Groups implements identity.GroupSource.
func (r *Resolver) Groups(ctx context.Context, who identity.Member) ([]string, time.Time, error) {
	d := (*r.current.Load())[who.Provider]
	switch {
	case d == nil:
		return nil, time.Time{}, unavailable(errors.New("nothing is configured for this provider"), time.Second)
	case !identity.IsEntraID(who.Tenant) || !identity.IsEntraID(who.Object):
		return nil, time.Time{}, unavailable(errors.New("a tid or an oid that is no id"), time.Second)
	}
	return d.groups(ctx, who)
}

// unavailable is how a failure is answered: it is nobody's groups, and nobody's fault who asks.
func unavailable(cause error, retry time.Duration) error {
	return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonProviderUnavailable,
		"the token leaves its groups out, since they are too many, and Microsoft Graph can't tell them at the moment; ask again shortly").
		After(retry).Because(cause)
}
