package aws

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/internal/clocks"
	"github.com/lakegate/sts/internal/outbound"
)

// Verifier verifies requests to AWS STS.
type Verifier struct {
	config  Config
	now     func() time.Time
	once    exchange.Once
	current atomic.Pointer[provider]
	metrics *metrics
}

var _ exchange.Verifier = (*Verifier)(nil)

// provider is a Provider at work.
type provider struct {
	Provider
	places map[string]*place // by the host that is signed
	client *http.Client
	clock  clocks.Reading // AWS's own, which is right: what differs from it is ours
}

// place is where one region's AWS STS is.
type place struct {
	region   region
	endpoint string // scheme and host
	asking   atomic.Int32
	trouble  atomic.Pointer[trouble]
}

// trouble is why a place could not be asked when it was last tried; nil where it could.
type trouble struct {
	err error
	at  time.Time
}

// stale is after how long a failure says nothing more, since nobody has tried again.
const stale = 5 * time.Minute

// New makes a Verifier.
func New(c Config) (*Verifier, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Timeout <= 0 {
		c.Timeout = 3 * time.Second
	}
	if c.Once == nil {
		return nil, errors.New("requests to AWS STS need a store of marks, since each is accepted once")
	}
	v := &Verifier{config: c, now: c.Now, once: c.Once}
	var err error
	if v.metrics, err = newMetrics(c.Metrics, v); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	commit, err := v.Prepare(c.Provider)
	if err != nil {
		return nil, err
	}
	commit()
	return v, nil
}

// Prepare checks another provider, nil for none. Nothing changes before the function that it returns is called, which can't
// fail, so that a reload of several parts can be all or nothing. Its error names every fault.
func (v *Verifier) Prepare(settings *Provider) (commit func(), err error) {
	if settings == nil {
		return func() { v.swap(nil) }, nil
	}
	if err := settings.faults(); err != nil {
		return nil, fmt.Errorf("identity provider %s: %w", settings.Name, err)
	}
	p := &provider{Provider: *settings, places: map[string]*place{}}
	if p.MaxTokenAge == 0 {
		p.MaxTokenAge = MaxAge
	}
	for _, name := range p.Regions {
		r, _ := regionOf(name) // checked
		made := &place{region: r, endpoint: "https://" + r.host}
		if own := p.Endpoints[name]; own != "" {
			made.endpoint = origin(own)
		}
		p.places[r.host] = made
	}
	p.client = outbound.New(outbound.Config{Timeout: v.config.Timeout, MaxBytes: maxAnswerBytes, RootCAs: v.config.RootCAs})
	return func() { v.swap(p) }, nil
}

// swap puts a provider in force.
func (v *Verifier) swap(p *provider) {
	before := v.current.Swap(p)
	if before == nil {
		return
	}
	before.client.CloseIdleConnections()
	if p == nil || p.Name != before.Name {
		v.metrics.verifications.Forget(before.Name)
	}
}

// Health names the regions whose AWS STS could not be asked when it was last tried, and why; nil if there are none.
func (v *Verifier) Health() error {
	p := v.current.Load()
	if p == nil {
		return nil
	}
	var faults []error
	for _, name := range slices.Sorted(slices.Values(p.Regions)) {
		r, _ := regionOf(name)
		if t := p.places[r.host].trouble.Load(); t != nil && v.now().Sub(t.at) < stale {
			faults = append(faults, fmt.Errorf("AWS STS of %s (%s) can't be asked: %w", name, p.Name, t.err))
		}
	}
	return errors.Join(faults...)
}
