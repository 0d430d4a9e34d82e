package saml

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
)

// Pool verifies the assertions of all configured providers.
type Pool struct {
	config  Config
	now     func() time.Time
	current atomic.Pointer[snapshot]
	metrics *metrics
}

var _ exchange.Verifier = (*Pool)(nil)

// snapshot is one configuration. A verification uses one from its start to its end.
type snapshot struct {
	providers []*provider // by name
	byEntity  map[string]*provider
}

// provider is a Provider at work.
type provider struct {
	Provider
	source   *source
	accepted prometheus.Counter
}

// New makes a Pool. Metadata is fetched once Run runs, or when the first assertion asks for it.
func New(c Config) (*Pool, error) {
	c = c.withDefaults()
	p := &Pool{config: c, now: c.Now}
	var err error
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

// Prepared is a configuration that was found good and is not in force yet.
type Prepared struct {
	pool *Pool
	next *snapshot
}

// Prepare checks a new set of providers. Nothing changes before Commit, so that a reload of several parts can be all or
// nothing. Its error names every fault. There is one reload at a time.
func (p *Pool) Prepare(providers []Provider) (*Prepared, error) {
	if err := checkProviders(providers, p.config.Once); err != nil {
		return nil, err
	}
	before := p.current.Load()
	next := &snapshot{byEntity: make(map[string]*provider, len(providers))}
	for _, settings := range providers {
		made := p.prepare(settings.withDefaults(), before)
		next.providers = append(next.providers, made)
		next.byEntity[made.EntityID] = made
	}
	slices.SortFunc(next.providers, func(a, b *provider) int { return strings.Compare(a.Name, b.Name) })
	return &Prepared{pool: p, next: next}, nil
}

// prepare keeps the metadata of a provider whose metadata comes from where it came from before.
func (p *Pool) prepare(settings Provider, before *snapshot) *provider {
	made := &provider{Provider: settings, accepted: p.metrics.verifications.Accepted(settings.Name)}
	for _, old := range before.providers {
		if old.source.origin == originOf(settings) {
			made.source = old.source
			return made
		}
	}
	made.source = newSource(p.config, p.metrics, originOf(settings))
	return made
}

// Commit puts the configuration in force. It can't fail.
func (n *Prepared) Commit() {
	n.swap()
	n.pool.refreshDue()
}

func (n *Prepared) swap() {
	before := n.pool.current.Load()
	for _, p := range n.next.providers {
		p.source.maxStale.Store(int64(p.MaxStale))
	}
	n.pool.current.Store(n.next)
	for _, old := range before.providers {
		if !slices.ContainsFunc(n.next.providers, func(p *provider) bool { return p.source == old.source }) {
			old.source.client.CloseIdleConnections()
		}
		if !slices.ContainsFunc(n.next.providers, func(p *provider) bool { return p.Name == old.Name }) {
			n.pool.metrics.forget(old.Name)
		}
	}
}

// Run keeps the metadata fresh until ctx ends.
func (p *Pool) Run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		p.refreshDue()
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
		provider.source.flights.IfDue(now)
	}
}

// Health names the providers that have no certificate to verify assertions by, and why; nil if there are none.
func (p *Pool) Health() error {
	now := p.now()
	var faults []error
	for _, provider := range p.current.Load().providers {
		if len(provider.source.keys(now)) == 0 {
			faults = append(faults, fmt.Errorf("no usable metadata of %s: %w", provider.Name, provider.source.trouble(now)))
		}
	}
	return errors.Join(faults...)
}
