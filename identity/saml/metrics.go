package saml

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/identity/internal/clocks"
	"github.com/lakegate/sts/identity/internal/verifications"
)

// metrics are what is counted. The label provider is a configured name.
type metrics struct {
	verifications verifications.Count
	fetches       *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, p *Pool) (*metrics, error) {
	count, err := verifications.New(r)
	if err != nil {
		return nil, err
	}
	m := &metrics{
		verifications: count,
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sts_saml_metadata_fetches_total",
			Help: "Documents of an identity provider's SAML metadata that were read, by result: ok or failed.",
		}, []string{"provider", "result"}),
	}
	if r == nil {
		return m, nil
	}
	skews := clocks.Collector(func(out chan<- prometheus.Metric) {
		for _, provider := range p.current.Load().providers {
			provider.source.clock.Collect(out, provider.Name)
		}
	})
	return m, errors.Join(r.Register(m.fetches), r.Register(newStates(p)), r.Register(skews))
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

// forget drops what was counted of a provider that is no longer configured.
func (m *metrics) forget(provider string) {
	m.verifications.Forget(provider)
	m.fetches.DeletePartialMatch(prometheus.Labels{"provider": provider})
}

// states tells, when it is asked, how the configured providers' metadata is.
type states struct {
	pool                       *Pool
	age, certificates, expires *prometheus.Desc
}

var _ prometheus.Collector = (*states)(nil)

func newStates(p *Pool) *states {
	labels := []string{"provider"}
	return &states{
		pool:         p,
		age:          prometheus.NewDesc("sts_saml_metadata_age_seconds", "Since an identity provider's SAML metadata was last fetched.", labels, nil),
		certificates: prometheus.NewDesc("sts_saml_certificates", "Certificates of an identity provider that are in use; 0 where none are trusted.", labels, nil),
		expires:      prometheus.NewDesc("sts_saml_certificates_expire_seconds", "Until the last of an identity provider's certificates expires.", labels, nil),
	}
}

// Describe implements prometheus.Collector.
func (s *states) Describe(out chan<- *prometheus.Desc) {
	out <- s.age
	out <- s.certificates
	out <- s.expires
}

// Collect implements prometheus.Collector.
func (s *states) Collect(out chan<- prometheus.Metric) {
	now := s.pool.now()
	for _, p := range s.pool.current.Load().providers {
		keys := p.source.keys(now)
		out <- prometheus.MustNewConstMetric(s.certificates, prometheus.GaugeValue, float64(len(keys)), p.Name)
		if d := p.source.current.Load(); d != nil {
			out <- prometheus.MustNewConstMetric(s.age, prometheus.GaugeValue, now.Sub(d.at).Seconds(), p.Name)
		}
		last := now
		for _, k := range keys {
			if k.notAfter.After(last) {
				last = k.notAfter
			}
		}
		out <- prometheus.MustNewConstMetric(s.expires, prometheus.GaugeValue, last.Sub(now).Seconds(), p.Name)
	}
}
