package graph

import "github.com/prometheus/client_golang/prometheus"

// metrics are what is counted. The label provider is a configured name.
type metrics struct {
	calls *prometheus.CounterVec
	hits  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sts_graph_calls_total",
			Help: "Calls for groups that tokens leave out, by identity provider, operation (token, groups) and result (ok, throttled, failed).",
		}, []string{"provider", "operation", "result"}),
		hits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sts_graph_cache_hits_total",
			Help: "Groups that a token leaves out and that were known already.",
		}, []string{"provider"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.calls, m.hits} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// forget drops what was counted of a provider that is no longer configured.
func (m *metrics) forget(provider string) {
	m.calls.DeletePartialMatch(prometheus.Labels{"provider": provider})
	m.hits.DeletePartialMatch(prometheus.Labels{"provider": provider})
}
