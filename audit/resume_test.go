package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/audit"
)

// ids are the ids of the records that a test wrote itself.
func ids(t testing.TB, dir string) (list []string) {
	t.Helper()
	for _, r := range read(t, dir) {
		list = append(list, r.ID)
	}
	return list
}

func mustJot(t testing.TB, l *audit.Log, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := jot(l, id); err != nil {
			t.Fatal(err)
		}
	}
}

func mustBeSound(t testing.TB, dir string, records uint64) {
	t.Helper()
	logs, faults := verify(t, dir)
	if len(faults) > 0 || len(logs) != 1 || logs[0].Records != records || logs[0].Proven != records {
		t.Errorf("%+v, %v", logs, faults)
	}
}

// A log goes on under its origin, whether it was closed or killed, and what no checkpoint had covered is covered then.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, nil)
	origin := l.Checkpoint().Origin
	mustJot(t, l, "a", "b")
	mustClose(t, l)
	l, c := open(t, dir, nil)
	mustJot(t, l, "c")
	c.Add(time.Second)
	l.Tick()
	if n := l.Checkpoint().Size; n != 5 {
		t.Errorf("a checkpoint of %d records", n)
	}
	mustJot(t, l, "d")
	dir = crashed(t, dir) // d is in no checkpoint
	l, _ = open(t, dir, nil)
	if now := l.Checkpoint(); now.Origin != origin || now.Size != 6 {
		t.Errorf("goes on as %s with %d records", now.Origin, now.Size)
	}
	mustJot(t, l, "e")
	mustClose(t, l)
	if diff := cmp.Diff([]string{"a", "b", "c", "d", "e"}, ids(t, dir)); diff != "" {
		t.Error(diff)
	}
	mustBeSound(t, dir, 8)
}

// A segment of which a power failure left no whole record is none.
func TestResumeWithoutATornSegment(t *testing.T) {
	for name, torn := range map[string]string{"half a header": `{"type":"segment","id":"x"`, "zeros": strings.Repeat("\x00", 5000), "a line of zeros": strings.Repeat("\x00", 5000) + "\n"} {
		for records := range 2 {
			dir := t.TempDir()
			l, _ := open(t, dir, nil)
			origin := l.Checkpoint().Origin
			for i := range records {
				mustJot(t, l, fmt.Sprint("before-", i))
			}
			mustClose(t, l)
			path := filepath.Join(dir, "sts-0.0000000007.20261124T110000Z.jsonl")
			mustWrite(t, path, []byte(torn))
			l, _ = open(t, dir, nil)
			if l.Checkpoint().Origin != origin || l.CheckpointHealth() != nil {
				t.Errorf("%s behind %d records: %s, %v", name, records, l.Checkpoint().Origin, l.CheckpointHealth())
			}
			mustJot(t, l, "after")
			mustClose(t, l)
			mustBeSound(t, dir, uint64(2*records+2))
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: it is still there", name)
			}
		}
	}
}

// A seal that a power failure left torn is made again.
func TestResumeWithATornSeal(t *testing.T) {
	dir := logOf(t, 8, 2)
	path := filepath.Join(dir, "sts-0.seals")
	text := mustRead(t, path)
	mustWrite(t, path, text[:len(text)-20])
	l, _ := open(t, dir, nil)
	mustClose(t, l)
	if !bytes.Equal(mustRead(t, path), text) {
		t.Errorf("%s", mustRead(t, path))
	}
	mustBeSound(t, dir, 8)
}

// Nothing is signed while nothing comes, and at most one checkpoint a second while it does.
func TestACheckpointASecond(t *testing.T) {
	l, c := open(t, t.TempDir(), nil)
	mustJot(t, l, "a")
	l.Tick()
	if n := l.Checkpoint().Size; n != 0 {
		t.Errorf("signed at once: %d", n)
	}
	c.Add(time.Second)
	l.Tick()
	first := l.Checkpoint()
	if first.Size != 2 {
		t.Errorf("%d records", first.Size)
	}
	c.Add(time.Hour)
	l.Tick()
	if l.Checkpoint().Note != first.Note {
		t.Error("signed again without need")
	}
}

// A log that contradicts its own checkpoint is left as it is; a log of a new origin begins, and that is told until
// somebody takes the word away.
func TestGivenUp(t *testing.T) {
	segment := func(t *testing.T, dir string) string { return segments(t, dir)[0] }
	remove := func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name, why string
		harm      func(t *testing.T, dir string)
	}{
		{"an edited record", "are not those of the newest checkpoint", func(t *testing.T, dir string) {
			mustWrite(t, segment(t, dir), bytes.Replace(mustRead(t, segment(t, dir)), []byte("note"), []byte("nope"), 1))
		}},
		{"a record less", "3 records are there of the 4", func(t *testing.T, dir string) {
			text := mustRead(t, segment(t, dir))
			mustWrite(t, segment(t, dir), text[:bytes.LastIndexByte(text[:len(text)-1], '\n')+1])
		}},
		{"a record more", "has another end now", func(t *testing.T, dir string) {
			mustWrite(t, segment(t, dir), append(mustRead(t, segment(t, dir)), "{\"type\":\"admin\",\"id\":\"x\"}\n"...))
		}},
		{"a torn record behind a sealed segment", "has another end now", func(t *testing.T, dir string) {
			mustWrite(t, segment(t, dir), append(mustRead(t, segment(t, dir)), "{\"type\":\"ad"...))
		}},
		{"no segment", "4 records have gone", func(t *testing.T, dir string) { remove(t, segment(t, dir)) }},
		{"no checkpoint", "the newest checkpoint is gone", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "sts-0.checkpoint")) }},
		{"a damaged checkpoint", "signature", func(t *testing.T, dir string) {
			path := filepath.Join(dir, "sts-0.checkpoint")
			mustWrite(t, path, bytes.Replace(mustRead(t, path), []byte("\n4\n"), []byte("\n5\n"), 1))
		}},
		{"a header that names another segment", "says that it is segment", func(t *testing.T, dir string) {
			path := segment(t, dir)
			if err := os.Rename(path, strings.Replace(path, "0000000001", "0000000009", 1)); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			l, _ := open(t, dir, nil)
			origin := l.Checkpoint().Origin
			mustJot(t, l, "a", "b", "c")
			mustClose(t, l)
			test.harm(t, dir)
			before := map[string][]byte{}
			for _, path := range segments(t, dir) {
				before[path] = mustRead(t, path)
			}

			l, _ = open(t, dir, func(c *audit.Config) { c.Random = bytes.NewReader(bytes.Repeat([]byte{9}, 1000)) })
			if l.Checkpoint().Origin == origin {
				t.Error("goes on under its origin")
			}
			if err := l.Health(); err != nil {
				t.Errorf("does not record: %v", err)
			}
			if err := l.CheckpointHealth(); err == nil || !strings.Contains(err.Error(), ".fault") {
				t.Errorf("health is %v", err)
			}
			mustJot(t, l, "d")
			mustClose(t, l)
			for path, text := range before {
				if !bytes.Equal(mustRead(t, path), text) {
					t.Errorf("%s was touched", filepath.Base(path))
				}
			}
			renewed := slices.ContainsFunc(read2(t, dir), func(r audit.Record) bool {
				return r.Admin != nil && r.Admin.Action == "audit.renew" && strings.Contains(r.Admin.Detail, test.why)
			})
			if !renewed {
				t.Error("no record says why it was begun anew")
			}
			// Without its newest checkpoint the log is still whole: its seal has the same.
			if _, faults := verify(t, dir); len(faults) == 0 && test.name != "no checkpoint" {
				t.Error("verify finds nothing")
			}

			// The next start goes on with the new log, and tells of the old one until its word is removed.
			l, _ = open(t, dir, nil)
			if l.CheckpointHealth() == nil {
				t.Error("forgotten")
			}
			word, err := filepath.Glob(filepath.Join(dir, "*.fault"))
			if err != nil || len(word) != 1 {
				t.Fatal(word, err)
			}
			if text := mustRead(t, word[0]); !strings.Contains(string(text), test.why) {
				t.Errorf("%s", text)
			}
			remove(t, word[0])
			l.Tick()
			if err := l.CheckpointHealth(); err != nil {
				t.Error(err)
			}
		})
	}
}

// read2 is read, for logs that may not be sound.
func read2(_ testing.TB, dir string) (records []audit.Record) {
	for r, err := range audit.Read(dir) {
		if err == nil {
			records = append(records, r)
		}
	}
	return records
}

// Records that were accepted and not on disk when their file's fsync failed are carried over; the tree knows nothing of
// it.
func TestCarriedOver(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir, func(c *audit.Config) { c.Sync = audit.SyncWritten })
	mustJot(t, l, "durable-0", "durable-1")
	l.Tick()
	d := &disk{}
	if err := l.FailFiles(d.wrap); err != nil {
		t.Fatal(err)
	}
	mustJot(t, l, "a", "b")
	d.set(func(d *disk) { d.sync = syscall.EIO })
	c.Add(time.Second)
	l.Tick()
	if l.Health() == nil {
		t.Error("healthy after a failed fsync")
	}
	d.set(func(d *disk) { d.sync = nil })
	mustJot(t, l, "c")
	c.Add(time.Second)
	l.Tick()
	mustClose(t, l)
	got := slices.DeleteFunc(ids(t, dir), func(id string) bool { return len(id) > 20 }) // the record of the gap
	if diff := cmp.Diff([]string{"durable-0", "durable-1", "a", "b", "c"}, got); diff != "" {
		t.Error(diff)
	}
	if logs, faults := verify(t, dir); len(faults) > 0 || logs[0].Segments != 2 {
		t.Errorf("%+v, %v", logs, faults)
	}
}

// Whatever goes wrong with the disk, what is left is a log that verifies.
func TestSoundAfterFaults(t *testing.T) {
	for name, fault := range map[string]func(*disk){
		"no space":    func(d *disk) { d.write, d.partial = syscall.ENOSPC, 100 },
		"no fsync":    func(d *disk) { d.sync = syscall.EIO },
		"no new file": func(d *disk) { d.write, d.create = syscall.EIO, syscall.EMFILE },
	} {
		for _, mode := range []audit.Sync{audit.SyncMint, audit.SyncAlways, audit.SyncWritten} {
			dir := t.TempDir()
			l, c := open(t, dir, func(c *audit.Config) { c.Sync = mode })
			d := &disk{}
			if err := l.FailFiles(d.wrap); err != nil {
				t.Fatal(err)
			}
			for i := range 30 {
				_ = record(l, fmt.Sprint(i))
				if i%10 == 3 {
					d.set(fault)
				}
				if i%10 == 6 {
					d.set(func(d *disk) { d.write, d.sync, d.create, d.partial = nil, nil, nil, 0 })
				}
				if i%4 == 0 {
					c.Add(time.Second)
					l.Tick()
				}
			}
			if err := l.Close(t.Context()); err != nil && !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
			if logs, faults := verify(t, dir); len(faults) > 0 || len(logs) != 1 || logs[0].Proven != logs[0].Records {
				t.Errorf("%s, %s: %+v, %v", name, mode, logs, faults)
			}
		}
	}
}

// What waits for a file that can be written is not forgotten when the log ends.
func TestCarriedOverAtTheEnd(t *testing.T) {
	for name, tick := range map[string]bool{"failed before": true, "fails at the end": false} {
		dir := t.TempDir()
		l, c := open(t, dir, func(c *audit.Config) { c.Sync = audit.SyncWritten })
		mustJot(t, l, "durable")
		l.Tick()
		d := &disk{}
		if err := l.FailFiles(d.wrap); err != nil {
			t.Fatal(err)
		}
		mustJot(t, l, "a", "b")
		d.set(func(d *disk) { d.sync, d.syncFails = syscall.EIO, 1 })
		if tick {
			c.Add(time.Second)
			l.Tick()
		}
		if err := l.Close(t.Context()); err == nil && !tick {
			t.Errorf("%s: nobody is told", name)
		}
		got := slices.DeleteFunc(ids(t, dir), func(id string) bool { return len(id) > 20 }) // the record of the gap
		if diff := cmp.Diff([]string{"durable", "a", "b"}, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if logs, faults := verify(t, dir); len(faults) > 0 || logs[0].Proven != logs[0].Records {
			t.Errorf("%s: %+v, %v", name, logs, faults)
		}
	}
}

// A second contradiction within the same second overwrites nothing of the first.
func TestGivenUpTwice(t *testing.T) {
	dir := t.TempDir()
	for life := range 3 {
		l, _ := open(t, dir, func(c *audit.Config) { c.Random = bytes.NewReader(bytes.Repeat([]byte{byte(life)}, 1000)) })
		mustJot(t, l, fmt.Sprint("life-", life))
		mustClose(t, l)
		last := segments(t, dir)[life]
		mustWrite(t, last, bytes.Replace(mustRead(t, last), []byte("note"), []byte("nope"), 1))
	}
	kept, err := filepath.Glob(filepath.Join(dir, "sts-0.*.checkpoint"))
	if n := len(words(t, dir)); err != nil || n != 2 || len(kept) != 2 {
		t.Errorf("%d words, checkpoints: %v, %v", n, kept, err)
	}
}

// Word of another replica, whose name begins as ours does, is none of ours.
func TestWordOfAnotherReplica(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "sts-0.b.20261124T100000Z.fault"), []byte("x\n"))
	l, _ := open(t, dir, nil)
	if err := l.CheckpointHealth(); err != nil {
		t.Error(err)
	}
	mustClose(t, l)
	mustWrite(t, filepath.Join(dir, "sts-0.20261124T100000Z.fault"), []byte("x\n"))
	if l, _ = open(t, dir, nil); l.CheckpointHealth() == nil {
		t.Error("passes its own word by")
	}
}

// A checkpoint that hangs on its way to the disk holds up no record, and nobody who asks how things are.
func TestHangingCheckpoint(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir, func(c *audit.Config) { c.Sync = audit.SyncAlways })
	draft := filepath.Join(dir, "sts-0.checkpoint.new")
	if err := syscall.Mkfifo(draft, 0o600); err != nil { // opening it waits for a reader
		t.Skip("no fifo here:", err)
	}
	mustJot(t, l, "a")
	c.Add(time.Second)
	hangs, asked := make(chan struct{}), make(chan struct{})
	go func() { defer close(hangs); l.Tick() }()
	time.Sleep(50 * time.Millisecond) // for the tick to get there; too short a time finds nothing, and fails nothing
	go func() {
		defer close(asked)
		for i := range 10 {
			if err := jot(l, fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
			if l.Health() != nil || l.CheckpointHealth() != nil || l.Checkpoint().Size != 0 {
				t.Error("told otherwise")
			}
		}
	}()
	select {
	case <-asked:
	case <-time.After(30 * time.Second):
		t.Error("it holds everything up")
	}
	reader, err := os.OpenFile(draft, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	<-hangs
	c.Add(time.Second)
	l.Tick()
	mustClose(t, l)
	mustBeSound(t, dir, 12)
}
