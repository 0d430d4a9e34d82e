package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
)

// metrics count token requests, whatever their entrance.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sts_requests_total", Help: "Token requests answered, by entrance, outcome (granted, denied, failed) and reason.",
		}, []string{"entrance", "outcome", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sts_request_seconds", Help: "How long token requests took, by entrance and outcome.",
			Buckets: []float64{.0002, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"entrance", "outcome"}),
	}
	if r == nil {
		return m, nil
	}
	if err := r.Register(m.requests); err != nil {
		return nil, err
	}
	return m, r.Register(m.seconds)
}

// entrance counts the requests of one entrance. What was granted is the way that must be quick: its labels are looked
// up once.
type entrance struct {
	metrics
	name           string
	granted        prometheus.Counter
	grantedSeconds prometheus.Observer
}

func (m *metrics) entrance(name string) *entrance {
	granted := string(exchange.OutcomeGranted)
	return &entrance{
		metrics: *m, name: name,
		granted:        m.requests.WithLabelValues(name, granted, ""),
		grantedSeconds: m.seconds.WithLabelValues(name, granted),
	}
}

// Observe implements oauth.Observer.
func (e *entrance) Observe(err *exchange.Error, took time.Duration) {
	if err == nil {
		e.granted.Inc()
		e.grantedSeconds.Observe(took.Seconds())
		return
	}
	outcome := string((&exchange.Attempt{Err: err}).Outcome())
	e.requests.WithLabelValues(e.name, outcome, string(err.Reason)).Inc()
	e.seconds.WithLabelValues(e.name, outcome).Observe(took.Seconds())
}
