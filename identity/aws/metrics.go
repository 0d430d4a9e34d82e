package aws

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/identity/internal/clocks"
	"github.com/lakegate/sts/identity/internal/verifications"
)

// metrics are what is counted.
type metrics struct {
	verifications verifications.Count
}

func newMetrics(r prometheus.Registerer, v *Verifier) (*metrics, error) {
	count, err := verifications.New(r)
	if r == nil || err != nil {
		return &metrics{count}, err
	}
	return &metrics{count}, r.Register(clocks.Collector(func(out chan<- prometheus.Metric) {
		if p := v.current.Load(); p != nil {
			p.clock.Collect(out, p.Name)
		}
	}))
}

// ended counts a verification.
func (m *metrics) ended(p *provider, err error) {
	switch {
	case err == nil:
		m.verifications.Accepted(p.Name).Inc()
	case p == nil:
		m.verifications.Refused("", err)
	default:
		m.verifications.Refused(p.Name, err)
	}
}
