package audit_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lakegate/sts/audit"
)

// null is a file that takes everything at once, to show what encoding costs.
type null struct{ audit.File }

func (null) Write(p []byte) (int, error) { return len(p), nil }
func (null) Sync() error                 { return nil }
func (null) Truncate(int64) error        { return nil }

// BenchmarkEncode is one warm exchange without its write(2).
func BenchmarkEncode(b *testing.B) {
	l, _ := open(b, b.TempDir(), func(c *audit.Config) { c.SegmentBytes = 1 << 50 })
	if err := l.FailFiles(func(_ string, f audit.File) (audit.File, error) { return null{f}, nil }); err != nil {
		b.Fatal(err)
	}
	e := exchangeEvent(granted(alice(), "t"))
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Record(context.Background(), e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecord is what concurrent exchanges wait for: warm ones, and under mint/first each a token's first
// hand-out.
func BenchmarkRecord(b *testing.B) {
	for _, mode := range []audit.Sync{audit.SyncWritten, audit.SyncMint, "mint/first", audit.SyncAlways} {
		b.Run(string(mode), func(b *testing.B) {
			sync, first := mode, mode == "mint/first"
			if first {
				sync = audit.SyncMint
			}
			l, _ := open(b, b.TempDir(), func(c *audit.Config) { c.Sync = sync })
			var worker, slowest atomic.Int64
			b.SetParallelism(32)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				who, n := alice(), worker.Add(1)
				e := exchangeEvent(granted(who, fmt.Sprint(n)))
				for i := uint64(0); pb.Next(); i++ {
					if first {
						e.Exchange.Token.SHA256[0], e.Exchange.Token.SHA256[1], e.Exchange.Token.SHA256[2] = byte(i), byte(i>>8), byte(i>>16)
					}
					begin := time.Now()
					if err := l.Record(context.Background(), e); err != nil {
						b.Error(err)
					}
					if took := int64(time.Since(begin)); took > slowest.Load() {
						slowest.Store(took)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(slowest.Load())/1e6, "ms-slowest")
		})
	}
}
