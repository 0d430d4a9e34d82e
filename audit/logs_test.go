package audit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/audit"
)

// The logs of a directory are listed whoever wrote them, counted beyond what is signed for, and entered behind a hole.
func TestLogsOfADirectory(t *testing.T) {
	dir := t.TempDir()
	logs := map[string]*audit.Log{}
	for _, replica := range []string{"sts-0", "sts-1", "sts-0"} {
		l, _ := open(t, dir, func(c *audit.Config) { c.Replica = replica })
		mustRecord(t, l, exchangeEvent(granted(alice(), "t")))
		mustClose(t, l)
		logs[replica] = l
	}
	all, err := audit.Logs(dir)
	if err != nil {
		t.Fatal(err)
	}
	paths := segments(t, dir)
	zero, one := logs["sts-0"].Checkpoint(), logs["sts-1"].Checkpoint()
	want := []audit.Standing{{Origin: zero.Origin, Replica: "sts-0", Newest: paths[1]}, {Origin: one.Origin, Replica: "sts-1", Newest: paths[2]}}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	f, err := os.OpenFile(paths[1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("{}\n{\"torn"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := audit.CountRecords(dir, zero.Origin); err != nil || n != zero.Size+1 {
		t.Errorf("%d records, %v; want %d", n, err, zero.Size+1)
	}
	for from, want := range map[uint64]uint64{0: 0, 1: 3, 3: 3} {
		if next, ok, err := audit.NextKept(dir, zero.Origin, from); err != nil || !ok || next != want {
			t.Errorf("behind %d: %d, %t, %v", from, next, ok, err)
		}
	}
	if _, ok, err := audit.NextKept(dir, zero.Origin, 4); ok || err != nil {
		t.Errorf("behind all: %t, %v", ok, err)
	}
	if _, err := audit.Logs(filepath.Join(dir, "none")); err == nil {
		t.Error("a directory that isn't there has logs")
	}
}

// A follower that came when a segment had begun and nothing stood in it yet finds what is written there later, at its place
// in the file.
func TestAFollowerFindsASegmentThatWasEmpty(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, nil)
	mustRecord(t, l, exchangeEvent(granted(alice(), "t")))
	mustClose(t, l)
	l, clock := open(t, dir, nil)
	before := l.Checkpoint()
	follower, n := audit.NewFollower(dir, before.Origin), uint64(0)
	follow := func(c audit.Checkpoint) {
		t.Helper()
		for e, err := range follower.Follow(c, n) {
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(e.File)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text[e.Offset:]), string(e.Raw)+"\n") {
				t.Errorf("record %d is not at %d", e.Index, e.Offset)
			}
			n++
		}
	}
	follow(before)
	mustRecord(t, l, exchangeEvent(granted(alice(), "t")))
	clock.Add(2e9)
	l.Tick()
	after := l.Checkpoint()
	if follow(after); n != after.Size || n <= before.Size {
		t.Errorf("%d records of %d", n, after.Size)
	}
}
