package export

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are those of all exports.
type metrics struct {
	lag     *prometheus.GaugeVec
	records *prometheus.CounterVec
	dropped *prometheus.CounterVec
	errors  *prometheus.CounterVec
}

// exportMetrics are those of one.
type exportMetrics struct {
	lag              prometheus.Gauge
	records, dropped prometheus.Counter
	errors           map[Class]prometheus.Counter
}

func newMetrics(r prometheus.Registerer) metrics {
	factory := promauto.With(r) // a nil registerer registers nothing
	label := []string{"export"}
	return metrics{
		lag:     factory.NewGaugeVec(prometheus.GaugeOpts{Name: "sts_audit_export_lag_records", Help: "Records that an export has not brought to its destination."}, label),
		records: factory.NewCounterVec(prometheus.CounterOpts{Name: "sts_audit_export_records_total", Help: "Records that a destination has taken."}, label),
		dropped: factory.NewCounterVec(prometheus.CounterOpts{Name: "sts_audit_export_dropped_total", Help: "Records that can't be exported: past retention, damaged, missing, or rejected."}, label),
		errors:  factory.NewCounterVec(prometheus.CounterOpts{Name: "sts_audit_export_errors_total", Help: "Failed tries of an export."}, []string{"export", "class"}),
	}
}

func (m metrics) of(export string) exportMetrics {
	of := exportMetrics{
		lag: m.lag.WithLabelValues(export), records: m.records.WithLabelValues(export), dropped: m.dropped.WithLabelValues(export),
		errors: map[Class]prometheus.Counter{},
	}
	for _, class := range []Class{ClassUnavailable, ClassRefused, ClassLedger, ClassLog} {
		of.errors[class] = m.errors.WithLabelValues(export, string(class))
	}
	return of
}
