package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/audit"
)

// disk is what goes wrong with all files of a log; the zero value is a good disk.
type disk struct {
	mu      sync.Mutex
	write   error
	partial int // bytes that a failing write writes all the same
	sync    error
	// syncFails is how many fsyncs fail with sync; 0 for all.
	syncFails int
	truncate  error
	create    error
}

func (d *disk) set(change func(*disk)) { d.mu.Lock(); defer d.mu.Unlock(); change(d) }

func (d *disk) wrap(_ string, f audit.File) (audit.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &faulty{f, d}, d.create
}

type faulty struct {
	audit.File
	d *disk
}

func (f *faulty) Write(p []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.write != nil {
		n, _ := f.File.Write(p[:min(f.d.partial, len(p))])
		return n, f.d.write
	}
	return f.File.Write(p)
}

func (f *faulty) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.sync; err != nil {
		if f.d.syncFails--; f.d.syncFails == 0 {
			f.d.sync = nil
		}
		return err
	}
	return f.File.Sync()
}

func (f *faulty) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.truncate != nil {
		return f.d.truncate
	}
	return f.File.Truncate(size)
}

// record records an attempt with that id.
func record(l *audit.Log, id string) error {
	a := granted(alice(), "token of "+id)
	a.ID = id
	return l.Record(context.Background(), exchangeEvent(a))
}

// accepted are the ids of the exchanges in a directory.
func accepted(t testing.TB, dir string) []string {
	t.Helper()
	var ids []string
	for _, r := range read(t, dir) {
		if r.Type == "exchange" {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// resumes are the records of gaps.
func resumes(t testing.TB, dir string) []string {
	t.Helper()
	var details []string
	for _, r := range read(t, dir) {
		if r.Type == "admin" && r.Admin.Action == "audit.resume" {
			details = append(details, r.Admin.Detail)
		}
	}
	return details
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name  string
		mode  audit.Sync
		fault func(*disk)
		// present says that refused records are in the log all the same: written, and not promised.
		present bool
	}{
		{"I10 disk full", audit.SyncMint, func(d *disk) { d.write = syscall.ENOSPC }, false},
		{"I10 disk full in the middle of a line", audit.SyncMint, func(d *disk) { d.write, d.partial = syscall.ENOSPC, 100 }, false},
		{"I10 disk full between two lines", audit.SyncMint, func(d *disk) { d.write, d.partial = syscall.ENOSPC, 600 }, false},
		{"I10 write error", audit.SyncWritten, func(d *disk) { d.write = syscall.EIO }, false},
		{"I10 write error, no truncation either", audit.SyncWritten, func(d *disk) { d.write, d.partial, d.truncate = syscall.EIO, 100, syscall.EIO }, false},
		{"I10 no new file either", audit.SyncMint, func(d *disk) { d.write, d.create = syscall.EIO, syscall.EMFILE }, false},
		{"I10 fsync error", audit.SyncAlways, func(d *disk) { d.sync = syscall.EIO }, true},
		{"I10 fsync error at a first hand-out", audit.SyncMint, func(d *disk) { d.sync = syscall.EIO }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			l, _ := open(t, dir, func(c *audit.Config) { c.Sync = test.mode })
			d := &disk{}
			if err := l.FailFiles(d.wrap); err != nil {
				t.Fatal(err)
			}
			want := []string{"before-0", "before-1"}
			for _, id := range want {
				if err := record(l, id); err != nil {
					t.Fatal(err)
				}
			}
			d.set(test.fault)
			for i := range 3 {
				if err := record(l, fmt.Sprint("refused-", i)); err == nil {
					t.Error("accepted what can't be written")
				}
			}
			if l.Health() == nil {
				t.Error("healthy")
			}
			d.set(func(d *disk) { d.write, d.sync, d.truncate, d.create = nil, nil, nil, nil })
			want = append(want, "after-0", "after-1")
			for _, id := range want[2:] {
				if err := record(l, id); err != nil {
					t.Errorf("does not recover: %v", err)
				}
			}
			if err := l.Health(); err != nil {
				t.Errorf("not healthy again: %v", err)
			}
			mustClose(t, l)
			if !strings.HasSuffix(test.name, "no truncation either") {
				for _, path := range segments(t, dir) {
					if text, err := os.ReadFile(path); err != nil || !bytes.HasSuffix(text, []byte("\n")) {
						t.Errorf("%s ends in the middle of a line, error %v", path, err)
					}
				}
			}
			got := slices.DeleteFunc(accepted(t, dir), func(id string) bool { return test.present && strings.HasPrefix(id, "refused") })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if gaps := resumes(t, dir); len(gaps) == 0 || !test.present && len(gaps) != 1 {
				t.Errorf("records of the gap: %q", gaps)
			}
		})
	}
}

// A log that nobody uses, because the service says that it is unready, finds out by itself that the disk is back.
func TestRecoversUnasked(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, nil)
	d := &disk{}
	if err := l.FailFiles(d.wrap); err != nil {
		t.Fatal(err)
	}
	d.set(func(d *disk) { d.write = syscall.ENOSPC })
	if err := record(l, "refused"); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	l.Tick()
	if l.Health() == nil {
		t.Error("healthy on a full disk")
	}
	d.set(func(d *disk) { d.write = nil })
	l.Tick()
	if err := l.Health(); err != nil {
		t.Error(err)
	}
	mustClose(t, l)
	if gaps := resumes(t, dir); len(gaps) != 1 || !strings.Contains(gaps[0], "1 records were refused") {
		t.Errorf("%q", gaps)
	}
}

// A full disk does not fill up with empty files.
func TestNoLitter(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, nil)
	d := &disk{write: syscall.ENOSPC}
	if err := l.FailFiles(d.wrap); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := record(l, "refused"); err == nil {
			t.Fatal("accepted")
		}
	}
	if left := segments(t, dir); len(left) != 0 {
		t.Errorf("%d files", len(left))
	}
}

// An fsync that fails is final for its file: that a later one succeeds proves nothing.
func TestNoSecondFsync(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, func(c *audit.Config) { c.Sync = audit.SyncAlways })
	d := &disk{}
	if err := l.FailFiles(d.wrap); err != nil {
		t.Fatal(err)
	}
	if err := record(l, "kept"); err != nil {
		t.Fatal(err)
	}
	d.set(func(d *disk) { d.sync = syscall.EIO })
	if err := record(l, "refused"); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	d.set(func(d *disk) { d.sync = nil })
	if err := record(l, "next"); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, r := range read(t, dir) {
		files[r.ID] = r.File
	}
	if files["kept"] == files["next"] {
		t.Error("goes on in a file whose fsync failed")
	}
}

// firstSyncFails is a disk that loses what was written before an fsync, and then says that all is well.
type firstSyncFails struct {
	audit.File
	entered, proceed chan struct{}
	once             *sync.Once
}

func (f firstSyncFails) Sync() (err error) {
	f.once.Do(func() {
		close(f.entered)
		<-f.proceed
		err = syscall.EIO
	})
	return err
}

// Whoever waited for the next fsync of a file whose last one failed is refused, too.
func TestWaitersOfALostFile(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, func(c *audit.Config) { c.Sync = audit.SyncAlways })
	f := firstSyncFails{entered: make(chan struct{}), proceed: make(chan struct{}), once: new(sync.Once)}
	if err := l.FailFiles(func(_ string, file audit.File) (audit.File, error) { f.File = file; return f, nil }); err != nil {
		t.Fatal(err)
	}
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- record(l, "first") }()
	<-f.entered
	go func() { second <- record(l, "second") }()
	for !strings.Contains(readAll(t, dir), `"id":"second"`) {
		time.Sleep(time.Millisecond)
	}
	close(f.proceed)
	for _, err := range []error{<-first, <-second} {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("accepted on a lost file: %v", err)
		}
	}
}

func TestTornTail(t *testing.T) {
	tails := []struct{ name, tail string }{
		{"half a line", `{"type":"exchange","id":"torn","ti`},
		{"a line without its end", `{"type":"admin","id":"torn"}`},
		{"zeros", strings.Repeat("\x00", 5000)},
		{"a line of zeros", strings.Repeat("\x00", 5000) + "\n"},
		{"not JSON", "garbage\n{\n}\n\n"},
		{"large", strings.Repeat("x", 300_000) + "\n" + strings.Repeat("\x00", 300_000)},
	}
	for _, test := range tails {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			l, _ := open(t, dir, nil)
			for i := range 3 {
				if err := record(l, fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				}
			}
			dir = crashed(t, dir)
			path := segments(t, dir)[0]
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, append(slices.Clone(whole), test.tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			l, _ = open(t, dir, nil)
			if err := record(l, "3"); err != nil {
				t.Fatal(err)
			}
			mustClose(t, l)
			if diff := cmp.Diff([]string{"0", "1", "2", "3"}, accepted(t, dir)); diff != "" {
				t.Error(diff)
			}
			if repaired, err := os.ReadFile(path); err != nil || !bytes.Equal(repaired, whole) {
				t.Errorf("the repaired file differs, error %v", err)
			}
		})
	}
}

// Whatever follows the last record that was accepted, a restart keeps every one and reads back cleanly.
func FuzzTornTail(f *testing.F) {
	for _, tail := range []string{"", "\n", "{", "{}\n", "{}", "\x00\x00\n\x00", "{\"type\":\"admin\"}\n{\"ty", "]\n[\n"} {
		f.Add([]byte(tail))
	}
	f.Fuzz(func(t *testing.T, tail []byte) {
		dir := t.TempDir()
		l, _ := open(t, dir, nil)
		if err := record(l, "0"); err != nil {
			t.Fatal(err)
		}
		dir = crashed(t, dir)
		path := segments(t, dir)[0]
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(slices.Clone(whole), tail...), 0o600); err != nil {
			t.Fatal(err)
		}
		l, _ = open(t, dir, nil)
		mustClose(t, l)
		repaired, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(repaired, whole) || repaired[len(repaired)-1] != '\n' || len(repaired) > len(whole)+len(tail) {
			t.Errorf("repaired to %q", repaired)
		}
	})
}

// limit is a real bound of the kernel on a file's size, which fails writes in their middle.
func TestFileSizeLimit(t *testing.T) {
	if os.Getenv("AUDIT_TEST_CHILD") != "limit" {
		runChild(t, "TestFileSizeLimit", "limit", t.TempDir())
		return
	}
	dir := os.Getenv("AUDIT_TEST_DIR")
	l, _ := open(t, dir, nil)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 5000, Max: 5000}); err != nil {
		t.Fatal(err)
	}
	var want []string
	failed := 0
	for i := range 30 {
		id := fmt.Sprint(i)
		if record(l, id) == nil {
			want = append(want, id)
		} else {
			failed++
		}
	}
	mustClose(t, l)
	if failed == 0 || len(want) < 15 {
		t.Errorf("%d failed, %d accepted", failed, len(want))
	}
	if diff := cmp.Diff(want, accepted(t, dir)); diff != "" {
		t.Errorf("-accepted +there:\n%s", diff)
	}
}
