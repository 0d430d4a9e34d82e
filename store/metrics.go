package store

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
)

// Why an entry of the cache was dropped.
const (
	dropUnopened = "unopened" // it did not open under its own key, or was nonsense inside
	dropUnsealed = "unsealed" // it could not be sealed, so it was never kept
	dropStale    = "stale"    // it opened and had expired: somebody has put it back
)

type tokensMetrics struct {
	hits      prometheus.Counter // tier memory
	redisHits prometheus.Counter // tier redis
	misses    prometheus.Counter
	dropped   *prometheus.CounterVec
	mints     *prometheus.CounterVec
	seconds   prometheus.Histogram
	waiters   prometheus.Gauge
}

func newTokensMetrics(r prometheus.Registerer, entries func() int) (*tokensMetrics, error) {
	hits := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sts_tokens_hits_total", Help: "Requests answered with a cached token, by tier.",
	}, []string{"tier"})
	m := &tokensMetrics{
		hits: hits.WithLabelValues(string(exchange.CacheMemory)), redisHits: hits.WithLabelValues(string(exchange.CacheRedis)),
		misses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sts_tokens_misses_total", Help: "Requests for which no cached token fitted.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sts_tokens_dropped_total", Help: "Entries of the token cache that were of no use, by tier, and cause: unopened, unsealed, stale.",
		}, []string{"tier", "cause"}),
		mints: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sts_mints_total", Help: "Tokens asked of Databricks, by cause (miss, renewal), method, and result: ok or the error's reason.",
		}, []string{"cause", "method", "result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sts_mint_seconds", Help: "How long Databricks took to answer a mint.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		waiters: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sts_flight_waiters", Help: "Requests that wait for a mint.",
		}),
	}
	// There from the start, so that an alarm sees the first one as a rise.
	m.dropped.WithLabelValues(string(exchange.CacheMemory), dropUnsealed)
	m.dropped.WithLabelValues(string(exchange.CacheRedis), dropStale)
	for _, tier := range []exchange.Cache{exchange.CacheMemory, exchange.CacheRedis} {
		m.dropped.WithLabelValues(string(tier), dropUnopened)
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		hits, m.misses, m.dropped, m.mints, m.seconds, m.waiters,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sts_tokens_entries", Help: "Entries in the memory tier of the token cache, about.",
		}, func() float64 { return float64(entries()) }),
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering the token cache's metrics: %w", err)
		}
	}
	return m, nil
}
