package audit

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	records map[string]prometheus.Counter // by type
	bytes   prometheus.Counter
	syncs   prometheus.Histogram
	errors  prometheus.Counter

	leaves      prometheus.Gauge
	checkpoints prometheus.Counter
	lag         *prometheus.GaugeVec // by witness

	free, freeRatio prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) metrics {
	factory := promauto.With(r) // a nil registerer registers nothing
	records := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "sts_audit_records_total", Help: "Records that the audit log accepted.",
	}, []string{"type"})
	m := metrics{
		records: map[string]prometheus.Counter{},
		bytes:   factory.NewCounter(prometheus.CounterOpts{Name: "sts_audit_bytes_total", Help: "Bytes written to the audit log."}),
		syncs: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "sts_audit_sync_seconds", Help: "Time that one fsync of the audit log took.",
			Buckets: []float64{.0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		}),
		errors: factory.NewCounter(prometheus.CounterOpts{Name: "sts_audit_errors_total", Help: "Failed writes, fsyncs and openings of the audit log."}),

		leaves:      factory.NewGauge(prometheus.GaugeOpts{Name: "sts_audit_tree_records", Help: "Records in the tree of this replica's audit log."}),
		checkpoints: factory.NewCounter(prometheus.CounterOpts{Name: "sts_audit_checkpoints_total", Help: "Checkpoints that were signed."}),
		lag: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sts_audit_witness_lag_seconds", Help: "How long a witness has lacked the newest checkpoint; 0 while it has it.",
		}, []string{"witness"}),

		free:      factory.NewGauge(prometheus.GaugeOpts{Name: "sts_audit_disk_free_bytes", Help: "Bytes that are free on the audit log's disk; not a number where that can't be found out."}),
		freeRatio: factory.NewGauge(prometheus.GaugeOpts{Name: "sts_audit_disk_free_ratio", Help: "Share of the audit log's disk that is free; not a number where that can't be found out."}),
	}
	m.free.Set(math.NaN())
	m.freeRatio.Set(math.NaN())
	for _, kind := range recordTypes {
		m.records[kind] = records.WithLabelValues(kind)
	}
	return m
}

// timed runs an fsync and observes how long it took, by the real clock.
func (m *metrics) timed(sync func() error) error {
	start := time.Now()
	err := sync()
	m.syncs.Observe(time.Since(start).Seconds())
	if err != nil {
		m.errors.Inc()
	}
	return err
}
