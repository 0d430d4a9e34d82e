package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
)

// metrics count token requests, and requests about tokens, whatever their entrance.
type metrics struct {
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	inquiries *prometheus.CounterVec
}

// What a request about a token may ask for.
const (
	actionIntrospect = "introspect"
	actionRevoke     = "revoke"
)

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sts_requests_total", Help: "Token requests answered, by entrance, outcome (granted, denied, failed) and reason.",
		}, []string{"entrance", "outcome", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sts_request_seconds", Help: "How long token requests took, by entrance and outcome.",
			Buckets: []float64{.0002, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"entrance", "outcome"}),
		inquiries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sts_inquiries_total", Help: "Requests about tokens answered, by action (introspect, revoke), entrance, outcome and reason.",
		}, []string{"action", "entrance", "outcome", "reason"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.inquiries} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// inquiry counts the requests about tokens of one action and entrance.
type inquiry struct {
	counter          *prometheus.CounterVec
	action, entrance string
}

func (m *metrics) inquiry(action, entrance string) *inquiry {
	m.inquiries.WithLabelValues(action, entrance, string(exchange.OutcomeGranted), "") // there from the start
	return &inquiry{m.inquiries, action, entrance}
}

// Observe implements oauth.Observer.
func (i *inquiry) Observe(err *exchange.Error, _ time.Duration) {
	reason := ""
	if err != nil {
		reason = string(err.Reason)
	}
	i.counter.WithLabelValues(i.action, i.entrance, string((&exchange.Attempt{Err: err}).Outcome()), reason).Inc()
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
