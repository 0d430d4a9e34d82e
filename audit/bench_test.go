package audit_test

import (
	"context"
	"encoding/binary"
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

// BenchmarkEncode is one warm exchange without its write(2), in full and as a repeat; its leaf's hash is in it.
func BenchmarkEncode(b *testing.B) {
	for _, kind := range []string{"full", "repeat"} {
		b.Run(kind, func(b *testing.B) {
			l, _ := open(b, b.TempDir(), func(c *audit.Config) { c.SegmentBytes = 1 << 50 })
			if err := l.FailFiles(func(_ string, f audit.File) (audit.File, error) { return null{f}, nil }); err != nil {
				b.Fatal(err)
			}
			e := exchangeEvent(granted(alice(), "t"))
			full := kind == "full"
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				if full {
					binary.LittleEndian.PutUint64(e.Exchange.Token.SHA256[:], i)
				}
				if err := l.Record(context.Background(), e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLeaf is what the tree adds to a record on its way: the hash of its line.
func BenchmarkLeaf(b *testing.B) {
	for _, size := range []int{256, 1024} {
		b.Run(fmt.Sprint(size, "B"), func(b *testing.B) {
			line := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				audit.HashLeaf(line)
			}
		})
	}
}

// BenchmarkFold is what it adds in the background: a leaf's way into the tree; and each second, a signature.
func BenchmarkFold(b *testing.B) {
	b.Run("leaf", func(b *testing.B) {
		fold := audit.NewFolder()
		b.ReportAllocs()
		for b.Loop() {
			fold()
		}
	})
	b.Run("checkpoint", func(b *testing.B) {
		sign := audit.NewSigner(testKey())
		b.ReportAllocs()
		for b.Loop() {
			sign()
		}
	})
}

// BenchmarkVerify reads a log back and proves it.
func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	l, _ := open(b, dir, nil)
	e := exchangeEvent(granted(alice(), "t"))
	for i := range uint64(20_000) {
		binary.LittleEndian.PutUint64(e.Exchange.Token.SHA256[:], i)
		mustRecord(b, l, e)
	}
	if err := l.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, faults := verify(b, dir); len(faults) > 0 {
			b.Fatal(faults)
		}
	}
	b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "records/s")
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

// BenchmarkRotation is how long a new segment keeps one writer waiting who waits for no disk: the mean of the longest wait
// of each segment.
func BenchmarkRotation(b *testing.B) {
	const records = 1000 // of about 1 kB
	l, _ := open(b, b.TempDir(), func(c *audit.Config) { c.Sync, c.SegmentBytes = audit.SyncWritten, 1000*records })
	e := exchangeEvent(granted(alice(), "t"))
	var n uint64
	var stalls time.Duration
	for b.Loop() {
		var longest time.Duration
		for range records {
			n++
			binary.LittleEndian.PutUint64(e.Exchange.Token.SHA256[:], n)
			begin := time.Now()
			mustRecord(b, l, e)
			longest = max(longest, time.Since(begin))
		}
		stalls += longest
	}
	b.ReportMetric(stalls.Seconds()*1e3/float64(b.N), "ms-stall/op")
}
