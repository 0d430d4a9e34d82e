package audit_test

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/audit"
)

// stuck is a disk on which every fsync but those of segments waits until it is let go.
type stuck struct {
	audit.Disk
	free chan struct{}
}

func (s stuck) Open(path string, flags int) (audit.File, error) {
	f, err := s.Disk.Open(path, flags)
	if err != nil || filepath.Ext(path) == ".jsonl" {
		return f, err
	}
	return stuckFile{f, s.free}, nil
}

type stuckFile struct {
	audit.File
	free chan struct{}
}

func (f stuckFile) Sync() error { <-f.free; return f.File.Sync() }

// Neither a checkpoint nor a seal that is on its way to the disk keeps writers from the next segments; they are made up for.
func TestRotationWaitsForNoCheckpoint(t *testing.T) {
	dir := t.TempDir()
	d := stuck{audit.RealDisk, make(chan struct{})}
	var once sync.Once
	free := func() { once.Do(func() { close(d.free) }) }
	defer free()
	config := audit.Config{Directory: dir, Replica: "sts-0", Key: testKey(), Sync: audit.SyncAlways, SegmentBytes: 1000, Log: quiet}
	mustBegin(t, config)
	config.On(d)
	l, err := audit.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	ticked := make(chan struct{})
	mustJot(t, l, "first")
	go func() { defer close(ticked); l.Tick() }()
	written := make(chan struct{})
	go func() {
		defer close(written)
		for range 100 {
			if err := jot(l, "another"); err != nil {
				t.Error(err)
			}
		}
	}()
	select {
	case <-written:
	case <-time.After(30 * time.Second):
		t.Error("writers wait for a checkpoint")
	}
	if n := len(segments(t, dir)); n < 10 {
		t.Errorf("only %d segments", n)
	}
	free()
	<-ticked
	<-written
	mustClose(t, l)
	mustBeSound(t, dir, uint64(strings.Count(readAll(t, dir), "\n")))
}

// mustBegin makes a log with nothing in it, so that its next opening writes nothing beside it.
func mustBegin(t *testing.T, config audit.Config) {
	t.Helper()
	l, err := audit.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
}

// A program that lives for a moment goes on in the segment of the one before it, also where that was killed or the day is over.
func TestContinue(t *testing.T) {
	dir := t.TempDir()
	c := &clock{now: start}
	config := audit.Config{Directory: dir, Replica: "cli", Key: testKey(), Sync: audit.SyncAlways, Continue: true, Now: c.Now, Log: quiet}
	once := func(id string) {
		l, err := audit.Open(config)
		if err != nil {
			t.Fatal(err)
		}
		mustJot(t, l, id)
		if id == "killed" {
			config.Directory = crashed(t, config.Directory)
			defer func() { _ = l.Close(t.Context()) }()
			return
		}
		mustClose(t, l)
	}
	for _, id := range []string{"one", "two", "killed", "three"} {
		once(id)
	}
	if n := len(segments(t, config.Directory)); n != 1 {
		t.Errorf("%d segments", n)
	}
	mustBeSound(t, config.Directory, 5)
	c.Add(25 * time.Hour)
	once("tomorrow")
	if n := len(segments(t, config.Directory)); n != 2 {
		t.Errorf("%d segments", n)
	}
	mustBeSound(t, config.Directory, 7)
}
