package aws

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/internal/clocks"
)

// metrics are what is counted. Verifications of all kinds of tokens share one metric, so whoever comes second finds it.
type metrics struct {
	verifications *prometheus.CounterVec
}

const unknownProvider = "unknown"

func newMetrics(r prometheus.Registerer, v *Verifier) (*metrics, error) {
	m := &metrics{verifications: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sts_identity_verifications_total",
		Help: "Tokens that were verified, by identity provider and result: ok, or the reason of the refusal.",
	}, []string{"provider", "result"})}
	if r == nil {
		return m, nil
	}
	err := r.Register(m.verifications)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if shared, ok := there.ExistingCollector.(*prometheus.CounterVec); ok {
			m.verifications, err = shared, nil
		}
	}
	return m, errors.Join(err, r.Register(clocks.Collector(func(out chan<- prometheus.Metric) {
		if p := v.current.Load(); p != nil {
			p.clock.Collect(out, p.Name)
		}
	})))
}

// ended counts a verification.
func (m *metrics) ended(p *provider, err error) {
	name, result := unknownProvider, "ok"
	if p != nil {
		name = p.Name
	}
	if err != nil {
		result = string(exchange.AsError(err).Reason)
	}
	m.verifications.WithLabelValues(name, result).Inc()
}

// forget drops what was counted of a provider that is no longer configured.
func (m *metrics) forget(provider string) {
	m.verifications.DeletePartialMatch(prometheus.Labels{"provider": provider})
}
