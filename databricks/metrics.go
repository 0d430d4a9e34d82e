package databricks

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/lakegate/sts/exchange"
)

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) metrics {
	factory := promauto.With(r) // a nil registerer registers nothing
	return metrics{
		requests: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "sts_databricks_requests_total",
			Help: "Mints by method and result: granted, rejected, invalid, unavailable, held (a principal's breaker is open), failed (ours).",
		}, []string{"method", "result"}),
		seconds: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sts_databricks_seconds", Help: "Time that one mint took.", Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method"}),
	}
}

func (m *metrics) observe(method exchange.Method, err error, took time.Duration) {
	result := resultOf(err)
	m.requests.WithLabelValues(string(method), result).Inc()
	if result != "held" {
		m.seconds.WithLabelValues(string(method)).Observe(took.Seconds())
	}
}

func resultOf(err error) string {
	var held errHeld
	var e *exchange.Error
	switch {
	case err == nil:
		return "granted"
	case errors.As(err, &held):
		return "held"
	case !errors.As(err, &e):
		return "failed"
	}
	switch e.Reason {
	case exchange.ReasonUpstreamRejected:
		return "rejected"
	case exchange.ReasonUpstreamInvalid:
		return "invalid"
	case exchange.ReasonUpstreamUnavailable:
		return "unavailable"
	default:
		return "failed"
	}
}
