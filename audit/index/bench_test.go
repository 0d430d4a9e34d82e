package index_test

import (
	"os"
	"testing"
)

// size is that of the database, in bytes.
func (b *backend) size(t testing.TB) (n int64) {
	t.Helper()
	if b.database == nil {
		for _, suffix := range []string{"", "-wal"} {
			if info, err := os.Stat(b.c.SQLite + suffix); err == nil {
				n += info.Size()
			}
		}
		return n
	}
	if err := b.database.Admin().QueryRow(t.Context(), "SELECT pg_database_size(current_database())").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// BenchmarkAdd is what a record costs the index: one in three is the first of its kind, the others repeat it.
func BenchmarkAdd(b *testing.B) {
	for _, c := range []struct {
		name string
		on   func(testing.TB) *backend
	}{{"SQLite", newSQLite}, {"PostgreSQL", newPostgres}} {
		for _, kind := range []string{"exchanges", "repeats"} {
			b.Run(c.name+"/"+kind, func(b *testing.B) {
				on := c.on(b)
				i := on.open(b)
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
				b.ReportMetric(float64(on.size(b))/float64(b.N), "B/record")
			})
		}
	}
}
