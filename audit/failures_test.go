package audit_test

import (
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/exchange"
)

func fail(l *audit.Log, peer string) string {
	return l.RecordFailure(exchange.Failure{
		Entrance: "form", Source: exchange.Source{Peer: netip.MustParseAddr(peer)},
		Err: exchange.Refuse(exchange.CodeInvalidClient, exchange.ReasonClientAuthenticationFailed, "no"),
	})
}

// summaries are the counts of a directory's summaries by their ids, and the overflow's count.
func summaries(t *testing.T, dir string) (counts map[string]int64, overflow int64) {
	t.Helper()
	counts = map[string]int64{}
	for _, r := range read(t, dir) {
		if r.Type != "failures" {
			continue
		}
		counts[r.ID] += r.Failures.Count
		if r.Failures.Overflow {
			overflow += r.Failures.Count
		}
	}
	return counts, overflow
}

func TestOneSummaryPerSourceAndSecond(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir, nil)
	first, second := fail(l, "192.0.2.1"), fail(l, "192.0.2.2")
	if again := fail(l, "192.0.2.1"); again != first || first == second || first == "" {
		t.Errorf("ids %q, %q, %q", first, second, again)
	}
	l.Tick()
	if counts, _ := summaries(t, dir); len(counts) != 0 {
		t.Errorf("written before its second is over: %v", counts)
	}
	c.Add(time.Second)
	later := fail(l, "192.0.2.1")
	if later == first {
		t.Error("two seconds, one id")
	}
	l.Tick()
	counts, _ := summaries(t, dir)
	if diff := cmp.Diff(map[string]int64{first: 2, second: 1}, counts); diff != "" {
		t.Error(diff)
	}
	mustClose(t, l)
	counts, _ = summaries(t, dir)
	if diff := cmp.Diff(map[string]int64{first: 2, second: 1, later: 1}, counts); diff != "" {
		t.Errorf("after the end: %s", diff)
	}
}

// However many sources there are, a second writes a bounded number of records, every failure is counted, and every
// answer names a record.
func TestManySources(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir, nil)
	answered := map[string]bool{}
	const sources = 5000
	for i := range sources {
		answered[fail(l, fmt.Sprintf("2001:db8::%x", i))] = true
	}
	c.Add(time.Second)
	answered[fail(l, "2001:db8:1::")] = true // it goes on, and the overflow is written all the same
	l.Tick()
	counts, overflow := summaries(t, dir)
	if len(counts) > 1026 || overflow < sources-1024 {
		t.Errorf("%d summaries, %d in the overflow", len(counts), overflow)
	}
	mustClose(t, l)
	counts, _ = summaries(t, dir)
	total := int64(0)
	for _, n := range counts {
		total += n
	}
	if total != sources+1 {
		t.Errorf("%d failures are counted", total)
	}
	for id := range answered {
		if counts[id] == 0 {
			t.Errorf("an answer names %q, which is not there", id)
		}
	}
}

// Summaries that can't be written wait, in bounded room, and no failure is lost.
func TestSummariesWait(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir, nil)
	d := &disk{write: syscall.ENOSPC}
	if err := l.FailFiles(d.wrap); err != nil {
		t.Fatal(err)
	}
	const seconds, sources = 10, 300
	for range seconds {
		for i := range sources {
			fail(l, fmt.Sprintf("2001:db8::%x", i))
		}
		c.Add(time.Second)
		l.Tick()
	}
	d.set(func(d *disk) { d.write = nil })
	mustClose(t, l)
	counts, _ := summaries(t, dir)
	total := int64(0)
	for _, n := range counts {
		total += n
	}
	if total != seconds*sources || len(counts) > 1026 {
		t.Errorf("%d failures in %d summaries", total, len(counts))
	}
}
