package index_test

import (
	"testing"
)

// BenchmarkAdd is what a record costs the index: one in three is the first of its kind, the others repeat it.
func BenchmarkAdd(b *testing.B) {
	for _, c := range []struct {
		name string
		on   func(testing.TB) *backend
	}{{"SQLite", newSQLite}, {"PostgreSQL", newPostgres}} {
		for _, kind := range []string{"exchanges", "repeats"} {
			b.Run(c.name+"/"+kind, func(b *testing.B) {
				i := c.on(b).open(b)
				l := newLogbook(b, "sts-0")
				const perBatch = 2000
				of := ""
				for n := range b.N {
					if kind == "exchanges" || n%3 == 0 {
						of = l.exchange(b, "alice")
					} else {
						l.write(b, "repeat", fields{"of": of, "request_id": "r", "cache": "memory", "duration_us": 90})
					}
				}
				b.ResetTimer()
				for from := 0; from < b.N; from += perBatch {
					if _, err := i.Add(b.Context(), l.batch(b, from, min(from+perBatch, b.N))); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}
