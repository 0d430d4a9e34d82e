package identity

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/identity/internal/clocks"
	"github.com/lakegate/sts/identity/internal/verifications"
)

// metrics are what is counted. The label provider is a configured name.
type metrics struct {
	verifications  verifications.Count
	fetches        *prometheus.CounterVec
	introspections *prometheus.CounterVec
	hits, misses   prometheus.Counter
}

func newMetrics(r prometheus.Registerer, p *Pool) (*metrics, error) {
	count, err := verifications.New(r)
	if err != nil {
		return nil, err
	}
	m := &metrics{
		verifications: count,
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sts_jwks_fetches_total",
			Help: "Fetches of an identity provider's keys, by result: ok or failed.",
		}, []string{"provider", "result"}),
		introspections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sts_identity_introspections_total",
			Help: "Calls of an identity provider's introspection endpoint, by result: active, inactive, failed, unauthorized, or overloaded where there was none.",
		}, []string{"provider", "result"}),
		hits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sts_identity_cache_hits_total",
			Help: "Tokens that were found verified already.",
		}),
		misses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sts_identity_cache_misses_total",
			Help: "Tokens whose signature had to be looked at.",
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.fetches, m.introspections, m.hits, m.misses, newStates(p)} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) refused(p *provider, err error) {
	name := ""
	if p != nil {
		name = p.Name
	}
	m.verifications.Refused(name, err)
}

func (m *metrics) fetched(provider string, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.fetches.WithLabelValues(provider, result).Inc()
}

func (m *metrics) introspected(provider, result string) {
	m.introspections.WithLabelValues(provider, result).Inc()
}

// forget drops what was counted of a provider that is no longer configured.
func (m *metrics) forget(provider string) {
	m.verifications.Forget(provider)
	m.fetches.DeletePartialMatch(prometheus.Labels{"provider": provider})
	m.introspections.DeletePartialMatch(prometheus.Labels{"provider": provider})
}

// states tells, when it is asked, how the configured providers' keys are.
type states struct {
	pool      *Pool
	age, keys *prometheus.Desc
}

var _ prometheus.Collector = (*states)(nil)

func newStates(p *Pool) *states {
	labels := []string{"provider"}
	return &states{
		pool: p,
		age:  prometheus.NewDesc("sts_jwks_age_seconds", "Since an identity provider's keys were last fetched.", labels, nil),
		keys: prometheus.NewDesc("sts_jwks_keys", "Keys of an identity provider that are in use; 0 where none are trusted.", labels, nil),
	}
}

// Describe implements prometheus.Collector.
func (s *states) Describe(out chan<- *prometheus.Desc) {
	out <- s.age
	out <- s.keys
	out <- clocks.Desc
}

// Collect implements prometheus.Collector.
func (s *states) Collect(out chan<- prometheus.Metric) {
	now := s.pool.now()
	for _, p := range s.pool.current.Load().providers {
		if p.usesKeys() {
			keys := 0
			if set := p.keys.trusted(now); set != nil {
				keys = len(set.keys)
			}
			out <- prometheus.MustNewConstMetric(s.keys, prometheus.GaugeValue, float64(keys), p.Name)
		}
		if set := p.keys.set.Load(); set != nil {
			out <- prometheus.MustNewConstMetric(s.age, prometheus.GaugeValue, now.Sub(set.at).Seconds(), p.Name)
		}
		p.skew.date.Collect(out, p.Name)
		if ahead, known := p.skew.byTokens(now); known {
			out <- prometheus.MustNewConstMetric(clocks.Desc, prometheus.GaugeValue, ahead.Seconds(), p.Name, "iat")
		}
	}
}
