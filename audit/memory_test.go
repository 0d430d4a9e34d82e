package audit_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/lakegate/sts/audit"
)

// noDisk is a file that costs nothing.
type noDisk struct{ audit.File }

func (noDisk) Write(p []byte) (int, error) { return len(p), nil }
func (noDisk) Sync() error                 { return nil }

// A subject is a piece of its token's text. Who was handed what is remembered for long, and must not keep all the texts.
func TestHandOutsKeepNoTokenText(t *testing.T) {
	l, _ := open(t, t.TempDir(), nil)
	if err := l.FailFiles(func(_ string, f audit.File) (audit.File, error) { return noDisk{f}, nil }); err != nil {
		t.Fatal(err)
	}
	const subjects, size = 4000, 12 << 10
	before := heap()
	for i := range subjects {
		who, text := alice(), fmt.Sprintf("%08d", i)+strings.Repeat("x", size)
		who.Subject = text[:8]
		mustRecord(t, l, exchangeEvent(granted(who, "token")))
	}
	if grown := heap() - before; grown > subjects*size/4 {
		t.Errorf("%d KiB are kept of %d KiB of text", grown>>10, subjects*size>>10)
	}
	runtime.KeepAlive(l)
}

// heap is what is in use, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what weak pointers name goes at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
