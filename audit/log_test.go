package audit_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/exchange"
)

// counting counts fsyncs, and lets a test hold them up.
type counting struct {
	audit.File
	syncs *atomic.Int64
	gate  chan struct{} // nil: open
}

func (c counting) Sync() error {
	c.syncs.Add(1)
	if c.gate != nil {
		<-c.gate
	}
	return c.File.Sync()
}

func countSyncs(t testing.TB, l *audit.Log, gate chan struct{}) *atomic.Int64 {
	t.Helper()
	var syncs atomic.Int64
	if err := l.FailFiles(func(_ string, f audit.File) (audit.File, error) {
		return counting{f, &syncs, gate}, nil
	}); err != nil {
		t.Fatal(err)
	}
	return &syncs
}

func TestConfig(t *testing.T) {
	tests := []struct {
		name  string
		tweak func(*audit.Config)
	}{
		{"no directory", func(c *audit.Config) { c.Directory = "" }},
		{"no replica", func(c *audit.Config) { c.Replica = "" }},
		{"a replica that is a path", func(c *audit.Config) { c.Replica = "../etc" }},
		{"unknown mode", func(c *audit.Config) { c.Sync = "sometimes" }},
		{"no key", func(c *audit.Config) { c.Key = audit.Key{} }},
		{"no log", func(c *audit.Config) { c.Log = nil }},
	}
	for _, test := range tests {
		c := audit.Config{Directory: t.TempDir(), Replica: "a", Key: testKey(), Log: quiet}
		test.tweak(&c)
		if l, err := audit.Open(c); err == nil {
			mustClose(t, l)
			t.Errorf("%s: opened", test.name)
		}
	}
}

func TestFilesAreOurs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	l, _ := open(t, dir, nil)
	mustRecord(t, l, exchangeEvent(granted(alice(), "t")))
	for path, want := range map[string]os.FileMode{dir: 0o700, segments(t, dir)[0]: 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
	if _, err := audit.Open(audit.Config{Directory: dir, Replica: "sts-0", Key: testKey(), Log: quiet}); err == nil {
		t.Error("a second process may write the same replica's log")
	}
	other, err := audit.Open(audit.Config{Directory: dir, Replica: "sts-1", Key: testKey(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, other)
}

// A record is in the kernel when Record returns, whatever the mode.
func TestWrittenBeforeItReturns(t *testing.T) {
	for _, mode := range []audit.Sync{audit.SyncMint, audit.SyncAlways, audit.SyncWritten} {
		dir := t.TempDir()
		l, _ := open(t, dir, func(c *audit.Config) { c.Sync = mode })
		mustRecord(t, l, exchangeEvent(granted(alice(), "t")))
		if diff := cmp.Diff([]string{"subject", "exchange"}, types(read(t, dir))); diff != "" {
			t.Errorf("%s: %s", mode, diff)
		}
	}
}

func TestSubjectOncePerTokenPolicyAndSegment(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir, func(c *audit.Config) { c.SegmentAge = time.Hour })
	who, again := alice(), alice()
	record := func(who *exchange.Identity, policy string) {
		a := granted(who, "t")
		a.Time, a.Decision.Policy = c.Now(), policy
		mustRecord(t, l, exchangeEvent(a))
	}
	record(who, "p1")
	record(who, "p1")
	record(who, "p2")
	record(again, "p1")
	record(who, "p1")
	c.Add(time.Hour)
	record(who, "p1")
	mustClose(t, l)

	records := read(t, dir)
	want := []string{"subject", "exchange", "repeat", "subject", "exchange", "subject", "exchange", "repeat", "subject", "exchange"}
	if diff := cmp.Diff(want, types(records)); diff != "" {
		t.Fatal(diff)
	}
	if n := len(segments(t, dir)); n != 2 {
		t.Errorf("%d segments", n)
	}
	// Each reference leads to a record before it in its own segment.
	subjects := map[string]string{}
	for _, r := range records {
		switch r.Type {
		case "subject":
			subjects[r.ID] = r.File
		case "exchange":
			if subjects[r.Exchange.Subject.ID] != r.File {
				t.Errorf("%s:%d refers to a subject that is not before it in that file", r.File, r.Line)
			}
		}
	}
}

func TestConcurrentWriters(t *testing.T) {
	for _, mode := range []audit.Sync{audit.SyncMint, audit.SyncAlways, audit.SyncWritten} {
		t.Run(string(mode), func(t *testing.T) {
			dir := t.TempDir()
			registry := prometheus.NewRegistry()
			l, _ := open(t, dir, func(c *audit.Config) { c.Sync, c.SegmentBytes, c.Metrics = mode, 64<<10, registry })
			const writers, each = 16, 40
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					who := alice()
					for i := range each {
						a := granted(who, fmt.Sprint(w, i%3))
						a.ID = fmt.Sprintf("%d-%d", w, i)
						if err := l.Record(context.Background(), exchangeEvent(a)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			mustClose(t, l)
			seen := map[string]int{}
			for _, r := range read(t, dir) {
				if r.Type == "exchange" || r.Type == "repeat" {
					seen[r.ID]++
				}
			}
			for w := range writers {
				for i := range each {
					if n := seen[fmt.Sprintf("%d-%d", w, i)]; n != 1 {
						t.Errorf("record %d-%d is there %d times", w, i, n)
					}
				}
			}
			if n := len(segments(t, dir)); n < 3 {
				t.Errorf("%d segments", n)
			}
			want := "# HELP sts_audit_errors_total Failed writes, fsyncs and openings of the audit log.\n# TYPE sts_audit_errors_total counter\nsts_audit_errors_total 0\n"
			if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "sts_audit_errors_total"); err != nil {
				t.Error(err)
			}
		})
	}
}

// What each mode waits for the disk for.
func TestWhatIsAwaited(t *testing.T) {
	alices, bobs := alice(), alice()
	bobs.Subject = "00u2"
	first, second := granted(alices, "token-1"), granted(alices, "token-2")
	byBob := granted(bobs, "token-1")
	acted := granted(alices, "token-1")
	acted.Actor = &exchange.Identity{Issuer: alices.Issuer, Subject: "agent-7"}
	refused := denied(exchange.CodeNotGranted, exchange.ReasonNoMatchingRule)
	mint := &exchange.Event{ID: mintID, Time: start, Mint: &exchange.Mint{Grant: grant()}}
	events := []struct {
		name         string
		event        *exchange.Event
		mint, always bool
	}{
		{"a mint", mint, false, true},
		{"first hand-out", exchangeEvent(first), true, true},
		{"again", exchangeEvent(first), false, true},
		{"the same token to another subject", exchangeEvent(byBob), true, true},
		{"the same token by who acts for the subject", exchangeEvent(acted), true, true},
		{"again, by him", exchangeEvent(acted), false, true},
		{"another token", exchangeEvent(second), true, true},
		{"again, after others", exchangeEvent(first), false, true},
		{"a denial", exchangeEvent(refused), false, true},
	}
	for _, mode := range []audit.Sync{audit.SyncMint, audit.SyncAlways, audit.SyncWritten} {
		gate := make(chan struct{})
		dir := t.TempDir()
		l, _ := open(t, dir, func(c *audit.Config) { c.Sync = mode })
		countSyncs(t, l, gate)
		openGate := sync.OnceFunc(func() { close(gate) })
		t.Cleanup(openGate)
		for _, e := range events {
			want := map[audit.Sync]bool{audit.SyncMint: e.mint, audit.SyncAlways: e.always}[mode]
			before := strings.Count(readAll(t, dir), "\n")
			done := make(chan error, 1)
			go func() { done <- l.Record(context.Background(), e.event) }()
			// Written at once; accepted only behind the gate, if the disk is awaited.
			for strings.Count(readAll(t, dir), "\n") == before {
				time.Sleep(time.Millisecond)
			}
			awaited := false
			for waiting := true; waiting; {
				open := gate
				if !want {
					open = nil
				}
				select {
				case err := <-done:
					waiting = false
					if err != nil {
						t.Errorf("%s, %s: %v", mode, e.name, err)
					}
				case open <- struct{}{}: // perhaps a background fsync first, that began before the record
					awaited = true
				case <-time.After(10 * time.Second):
					t.Fatalf("%s, %s: waits for the disk", mode, e.name)
				}
			}
			if awaited != want {
				t.Errorf("%s, %s: accepted before its fsync", mode, e.name)
			}
		}
		openGate()
		mustClose(t, l)
	}
}

// Those who wait together share an fsync.
func TestGroupCommit(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, func(c *audit.Config) { c.Sync = audit.SyncAlways })
	gate := make(chan struct{})
	syncs := countSyncs(t, l, gate)
	const waiters = 50
	var wg sync.WaitGroup
	who := alice()
	wg.Go(func() { mustRecord(t, l, exchangeEvent(granted(who, "first"))) })
	for syncs.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for i := range waiters {
		wg.Go(func() { mustRecord(t, l, exchangeEvent(granted(who, fmt.Sprint(i)))) })
	}
	for strings.Count(readAll(t, dir), `"exchange"`) < waiters+1 {
		time.Sleep(time.Millisecond)
	}
	close(gate)
	wg.Wait()
	if n := syncs.Load(); n != 2 {
		t.Errorf("%d fsyncs for one that was under way and %d that waited for the next", n, waiters)
	}
}

// What nobody waits for is on disk after a tick; a tick without news asks nothing of the disk.
func TestTickSyncs(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, func(c *audit.Config) { c.Sync = audit.SyncWritten })
	syncs := countSyncs(t, l, nil)
	mustRecord(t, l, exchangeEvent(granted(alice(), "t")))
	for range 5 {
		l.Tick()
	}
	if n := syncs.Load(); n != 1 {
		t.Errorf("%d fsyncs", n)
	}
}

func TestRetention(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir, func(c *audit.Config) { c.SegmentAge, c.Retention = 24*time.Hour, 72*time.Hour })
	wantDaysKept(t, dir, l, c)
}

// wantDaysKept records one exchange a day for a week, in a segment each, and wants 72 h of them to be kept.
func wantDaysKept(t *testing.T, dir string, l *audit.Log, c *clock) {
	t.Helper()
	for day := range 7 {
		a := granted(alice(), "t")
		a.ID, a.Time = fmt.Sprint("day-", day), c.Now()
		mustRecord(t, l, exchangeEvent(a))
		c.Add(24 * time.Hour)
	}
	l.Tick()
	// Now is day 7; the segment of day 3 ended as day 4 began, which is 72 h ago and not more.
	if diff := cmp.Diff([]string{"day-3", "day-4", "day-5", "day-6"}, accepted(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestCurrentSegmentOutlivesRetention(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir, func(c *audit.Config) { c.Retention = time.Hour })
	mustRecord(t, l, exchangeEvent(granted(alice(), "t")))
	c.Add(1000 * time.Hour)
	l.Tick()
	if n := len(segments(t, dir)); n != 1 {
		t.Errorf("%d segments", n)
	}
}

func TestCloseIsTheEnd(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, nil)
	mustClose(t, l)
	mustClose(t, l)
	if err := l.Record(context.Background(), exchangeEvent(granted(alice(), "t"))); err == nil {
		t.Error("recorded after the end")
	}
	if l.Health() == nil {
		t.Error("healthy after the end")
	}
	if left := segments(t, dir); len(left) != 0 {
		t.Errorf("an unused segment stays: %v", left)
	}
}

// A restart goes on in a new segment whose number is higher, whatever the clock says.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		l, c := open(t, dir, nil)
		c.Add(time.Duration(-i) * time.Hour)
		a := granted(alice(), "t")
		a.ID = fmt.Sprint(i)
		mustRecord(t, l, exchangeEvent(a))
		mustClose(t, l)
	}
	var ids []string
	for _, r := range read(t, dir) {
		if r.Type == "exchange" {
			ids = append(ids, r.ID)
		}
	}
	if !slices.Equal(ids, []string{"0", "1", "2"}) {
		t.Error(ids)
	}
}
