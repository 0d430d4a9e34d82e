package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/internal/refresh"
)

// Pool verifies the tokens of all configured providers.
type Pool struct {
	config   Config
	now      func() time.Time
	current  atomic.Pointer[snapshot]
	made     atomic.Uint64 // generations
	verified *cache
	metrics  *metrics
}

var _ exchange.Verifier = (*Pool)(nil)

// snapshot is one configuration. A verification uses one from its start to its end.
type snapshot struct {
	// generation is part of every cache key: what was verified by another configuration isn't found.
	generation uint64
	providers  []*provider
	byIssuer   map[string]*provider
	// introspects says that some provider is asked about its access tokens.
	introspects bool
	// byTrustDomain are those of JWT-SVIDs.
	byTrustDomain map[string]*provider
}

// provider is a Provider at work.
type provider struct {
	Provider
	groups []string // the path of GroupsClaim
	roles  []string // the path of RolesClaim; nil for none
	// tenancies are its issuers, each with what it stands for.
	tenancies map[string]tenancy
	keys      *keySource
	skew      *skew
	// introspector is what its access tokens are asked about with; nil where they are verified by its keys.
	introspector *introspector
	accepted     prometheus.Counter
}

// New makes a Pool. Its keys are fetched once Run runs, or when the first token asks for them.
func New(c Config) (*Pool, error) {
	c = c.withDefaults()
	p := &Pool{config: c, now: c.Now}
	var err error
	if p.verified, err = newCache(c); err != nil {
		return nil, fmt.Errorf("making the cache of verified tokens: %w", err)
	}
	if p.metrics, err = newMetrics(c.Metrics, p); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	p.current.Store(&snapshot{})
	prepared, err := p.Prepare(c.Providers)
	if err != nil {
		return nil, err
	}
	prepared.swap()
	return p, nil
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.FetchTimeout <= 0 {
		c.FetchTimeout = 5 * time.Second
	}
	if c.MaxWait <= 0 {
		c.MaxWait = 3 * time.Second
	}
	if c.RefreshInterval <= 0 {
		c.RefreshInterval = 5 * time.Minute
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = 96 << 20
	}
	if c.CacheEntries == 0 {
		c.CacheEntries = 100_000
	}
	return c
}

// Prepared is a configuration that was found good and is not in force yet.
type Prepared struct {
	pool *Pool
	next *snapshot
}

// Prepare checks a new set of providers. Nothing changes before Commit, so that a reload of several parts can be all or
// nothing. Its error names every fault. There is one reload at a time.
func (p *Pool) Prepare(providers []Provider) (*Prepared, error) {
	if err := p.config.checkProviders(providers); err != nil {
		return nil, err
	}
	before := p.current.Load()
	next := &snapshot{byIssuer: make(map[string]*provider, len(providers)), byTrustDomain: map[string]*provider{}}
	// By name, so that providers which come from a map are the same providers in whatever order.
	for _, settings := range slices.SortedFunc(slices.Values(providers), func(a, b Provider) int { return strings.Compare(a.Name, b.Name) }) {
		made := p.prepare(settings.withDefaults(), before)
		next.providers = append(next.providers, made)
		next.introspects = next.introspects || made.introspector != nil
		for issuer := range made.tenancies {
			next.byIssuer[issuer] = made
		}
		if made.TrustDomain != "" {
			next.byTrustDomain[made.TrustDomain] = made
		}
	}
	return &Prepared{pool: p, next: next}, nil
}

// prepare keeps the keys of a provider whose keys come from where they came from before.
func (p *Pool) prepare(settings Provider, before *snapshot) *provider {
	made := p.prepareKeys(settings, before)
	if made.introspector == nil && settings.Introspection != nil {
		made.introspector = newIntrospector(p.config, p.metrics, settings, made.skew)
	}
	return made
}

func (p *Pool) prepareKeys(settings Provider, before *snapshot) *provider {
	groups, _ := parsePath(settings.GroupsClaim) // checked
	made := &provider{Provider: settings, groups: groups, tenancies: settings.tenancies(), accepted: p.metrics.verifications.Accepted(settings.Name), skew: &skew{}}
	if settings.RolesClaim != "" {
		made.roles, _ = parsePath(settings.RolesClaim)
	}
	for _, old := range before.providers {
		if old.Name == settings.Name && old.Issuer == settings.Issuer {
			made.skew = old.skew
			if reflect.DeepEqual(old.Introspection, settings.Introspection) {
				made.introspector = old.introspector
			}
		}
		if old.keys.origin == originOf(settings) {
			made.keys = old.keys
			return made
		}
	}
	made.keys = newKeySource(p.config, p.metrics, originOf(settings))
	made.keys.skew = made.skew
	return made
}

// Commit puts the configuration in force. It can't fail. Where nothing has changed, verified tokens stay known.
func (n *Prepared) Commit() {
	n.swap()
	n.pool.refreshDue()
}

func (n *Prepared) swap() {
	before := n.pool.current.Load()
	if before.equal(n.next) {
		return
	}
	for _, p := range n.next.providers {
		p.keys.maxStale.Store(int64(p.JWKSMaxStale))
	}
	n.next.generation = n.pool.made.Add(1)
	n.pool.current.Store(n.next)
	for _, old := range before.providers {
		if old.introspector != nil && !n.next.asks(old.introspector) {
			old.introspector.client.CloseIdleConnections()
		}
		if !n.next.uses(old.keys) {
			if client := old.keys.client.Load(); client != nil {
				client.CloseIdleConnections()
			}
		}
		if !n.next.names(old.Name) {
			n.pool.metrics.forget(old.Name)
		}
	}
}

func (s *snapshot) equal(other *snapshot) bool {
	if s.generation == 0 || len(s.providers) != len(other.providers) {
		return false
	}
	for i, p := range s.providers {
		if !reflect.DeepEqual(p.Provider, other.providers[i].Provider) || p.keys != other.providers[i].keys {
			return false
		}
	}
	return true
}

func (s *snapshot) uses(keys *keySource) bool {
	for _, p := range s.providers {
		if p.keys == keys {
			return true
		}
	}
	return false
}

func (s *snapshot) asks(i *introspector) bool {
	return slices.ContainsFunc(s.providers, func(p *provider) bool { return p.introspector == i })
}

func (s *snapshot) names(name string) bool {
	for _, p := range s.providers {
		if p.Name == name {
			return true
		}
	}
	return false
}

// Run keeps the keys fresh until ctx ends.
func (p *Pool) Run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		p.refreshDue()
		p.verified.clean()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// refreshDue starts what is due, and waits for nothing.
func (p *Pool) refreshDue() {
	now := p.now()
	for _, provider := range p.current.Load().providers {
		if provider.usesKeys() {
			provider.keys.flights.IfDue(now)
		}
		if provider.introspector != nil {
			provider.introspector.probeIfDue(now)
		}
	}
}

// Refresh fetches the keys of all providers now and waits for it, at most until ctx ends. Its error names the providers
// whose keys could not be fetched.
func (p *Pool) Refresh(ctx context.Context) error {
	providers := slices.DeleteFunc(slices.Clone(p.current.Load().providers), func(p *provider) bool { return !p.usesKeys() })
	flights := make([]*refresh.Flight, len(providers))
	for i, provider := range providers {
		flights[i] = provider.keys.flights.Start(p.now())
	}
	var faults []error
	for i, flight := range flights {
		err := flight.Wait(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			faults = append(faults, fmt.Errorf("the keys of %s: %w", providers[i].Name, err))
		}
	}
	return errors.Join(faults...)
}

// Health names the providers that have no keys to verify tokens by, or that can't be asked about tokens, and why; nil if
// there are none.
func (p *Pool) Health() error {
	now := p.now()
	var faults []error
	for _, provider := range p.current.Load().providers {
		if provider.introspector != nil {
			if err := provider.introspector.trouble(); err != nil {
				faults = append(faults, fmt.Errorf("%s can't be asked about its access tokens: %w", provider.Name, err))
			}
		}
		if set := provider.keys.trusted(now); provider.usesKeys() && (set == nil || len(set.keys) == 0) {
			faults = append(faults, fmt.Errorf("no usable keys of %s: %w", provider.Name, provider.keys.trouble()))
		}
	}
	return errors.Join(faults...)
}
