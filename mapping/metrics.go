package mapping

import "github.com/prometheus/client_golang/prometheus"

// metrics are what an operator watches of the policy. They are counted whether or not somebody registered for them.
type metrics struct {
	loads   *prometheus.CounterVec
	rules   prometheus.Gauge
	info    *prometheus.GaugeVec
	current string
}

func newMetrics(to prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sts_policy_loads_total", Help: "Policies that were put in force (accepted) or not (refused).",
		}, []string{"result"}),
		rules: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sts_policy_rules", Help: "Rules of the policy in force."}),
		info:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sts_policy_info", Help: "1 for the digest of the policy in force."}, []string{"digest"}),
	}
	m.loads.WithLabelValues("accepted")
	m.loads.WithLabelValues("refused")
	if to == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.loads, m.rules, m.info} {
		if err := to.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// accept and refuse are called under the engine's lock.
func (m *metrics) accept(p *Policy) {
	m.loads.WithLabelValues("accepted").Inc()
	m.rules.Set(float64(len(p.rules)))
	if m.current != "" {
		m.info.DeleteLabelValues(m.current)
	}
	m.current = p.digest
	m.info.WithLabelValues(p.digest).Set(1)
}

func (m *metrics) refuse() { m.loads.WithLabelValues("refused").Inc() }
