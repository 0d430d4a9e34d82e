package clocks

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Reading is how far the clock of the servers that answer us was ahead of ours when they last answered, to the second. The
// zero value is unknown.
type Reading struct {
	ahead atomic.Pointer[time.Duration]
}

// Answered reads off the clock of a server. A cache on the way says by Age how long ago the Date was written (RFC 9111
// §5.1).
func (r *Reading) Answered(header http.Header, now time.Time) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return
	}
	if age, err := strconv.ParseUint(header.Get("Age"), 10, 31); err == nil {
		date = date.Add(time.Duration(age) * time.Second)
	}
	ahead := date.Sub(now).Round(time.Second)
	r.ahead.Store(&ahead)
}

// Ahead is what the last answer with a Date said, nil where there was none.
func (r *Reading) Ahead() *time.Duration { return r.ahead.Load() }

// Desc describes the metric of all providers' clocks.
var Desc = prometheus.NewDesc("sts_identity_clock_skew_seconds",
	"How far an identity provider's clock is ahead of ours: to the second by the Date of its last answer (date), and at least by the iat of its tokens (iat).",
	[]string{"provider", "source"}, nil)

// Collect sends a reading, if there is one.
func (r *Reading) Collect(out chan<- prometheus.Metric, provider string) {
	if ahead := r.Ahead(); ahead != nil {
		out <- prometheus.MustNewConstMetric(Desc, prometheus.GaugeValue, ahead.Seconds(), provider, "date")
	}
}

// Collector collects the readings of a kind of providers. It describes nothing, so that each kind can have one: they share
// the metric.
type Collector func(out chan<- prometheus.Metric)

// Describe implements prometheus.Collector.
func (Collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c Collector) Collect(out chan<- prometheus.Metric) { c(out) }
