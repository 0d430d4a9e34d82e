package audit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/exchange"
)

// ledger is an exchange.Ledger in memory, that can be away.
type ledger struct {
	mu       sync.Mutex
	values   map[string][]byte
	versions map[string]uint64
	away     error
}

func newLedger() *ledger { return &ledger{values: map[string][]byte{}, versions: map[string]uint64{}} }

func (l *ledger) Get(_ context.Context, key string) ([]byte, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.values[key], l.versions[key], l.away
}

func (l *ledger) Put(_ context.Context, key string, value []byte, version uint64, _ time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away != nil {
		return l.away
	}
	if l.versions[key] != version {
		return exchange.ErrConflict
	}
	l.values[key], l.versions[key] = value, version+1
	return nil
}

func (l *ledger) set(err error) { l.mu.Lock(); defer l.mu.Unlock(); l.away = err }

// checkpoints are those of a log that grows, after each of n records.
func checkpoints(t *testing.T, seed string, n int) (list []audit.Checkpoint) {
	t.Helper()
	l, c := open(t, t.TempDir(), nil)
	list = append(list, l.Checkpoint())
	for i := range n {
		mustJot(t, l, fmt.Sprint(seed, i))
		c.Add(time.Second)
		l.Tick()
		list = append(list, l.Checkpoint())
	}
	return list
}

// What the ledger has only moves forward, and what does not go with it is told from what it can't tell.
func TestLedgerWitness(t *testing.T) {
	a, b := checkpoints(t, "a", 3), checkpoints(t, "b", 3) // two logs under one origin
	store := newLedger()
	w := audit.NewLedgerWitness(store, testKey().Public())
	steps := []struct {
		name        string
		c           audit.Checkpoint
		contradicts bool
		kept        audit.Checkpoint
	}{
		{"the first", a[1], false, a[1]},
		{"the same again", a[1], false, a[1]},
		{"a later", a[2], false, a[2]},
		{"an earlier", a[1], true, a[2]},
		{"another of the same size", b[2], true, a[2]},
		{"a later again", a[3], false, a[3]},
	}
	for _, step := range steps {
		err := w.Keep(t.Context(), step.c)
		var contradicted *audit.ContradictedError
		if errors.As(err, &contradicted) != step.contradicts || (err != nil) != step.contradicts {
			t.Errorf("%s: %v", step.name, err)
		}
		if step.contradicts && contradicted.Kept.Note != step.kept.Note {
			t.Errorf("%s: shows %+v", step.name, contradicted.Kept)
		}
		if kept, ok, err := w.Newest(t.Context(), step.c.Origin); !ok || err != nil || kept.Note != step.kept.Note {
			t.Errorf("%s: has %+v, %v", step.name, kept, err)
		}
	}
	if all, err := w.All(t.Context()); err != nil || len(all) != 1 || all[0].Note != a[3].Note {
		t.Errorf("%+v, %v", all, err)
	}
	if _, ok, err := w.Newest(t.Context(), "sts.acme.example/audit/x/1"); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	store.values["audit/origin/"+a[0].Origin][5] ^= 1
	if err := w.Keep(t.Context(), a[3]); err == nil {
		t.Error("believes a checkpoint that is not ours")
	}
	store.set(errors.New("away"))
	var contradicted *audit.ContradictedError
	if err := w.Keep(t.Context(), a[3]); err == nil || errors.As(err, &contradicted) {
		t.Errorf("an outage is %v", err)
	}
}

// Replicas that start together are all registered.
func TestLedgerWitnessOfMany(t *testing.T) {
	w := audit.NewLedgerWitness(newLedger(), testKey().Public())
	var wg sync.WaitGroup
	for i := range 5 {
		l, _ := open(t, t.TempDir(), func(c *audit.Config) { c.Replica = fmt.Sprint("sts-", i) })
		wg.Go(func() {
			if err := w.Keep(context.Background(), l.Checkpoint()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if all, err := w.All(t.Context()); err != nil || len(all) != 5 {
		t.Errorf("%d, %v", len(all), err)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

// Every checkpoint reaches the witnesses; the last when the log ends.
func TestWitnessed(t *testing.T) {
	store := newLedger()
	w := audit.NewLedgerWitness(store, testKey().Public())
	l, c := open(t, t.TempDir(), func(c *audit.Config) { c.Witnesses = []audit.Witness{w} })
	has := func() uint64 {
		kept, _, err := w.Newest(context.Background(), l.Checkpoint().Origin)
		if err != nil {
			return 0
		}
		return kept.Size
	}
	mustJot(t, l, "a")
	c.Add(time.Second)
	l.Tick()
	eventually(t, "a checkpoint of 2 records is kept", func() bool { return has() == 2 })
	mustJot(t, l, "b")
	mustClose(t, l)
	if n := has(); n != 3 {
		t.Errorf("the last one is of %d records", n)
	}
}

// A witness that can't be reached holds nothing up; that it lacks something is told after a while, until it doesn't.
func TestWitnessAway(t *testing.T) {
	store := newLedger()
	store.set(errors.New("away"))
	registry := prometheus.NewRegistry()
	w := audit.NewLedgerWitness(store, testKey().Public())
	l, c := open(t, t.TempDir(), func(c *audit.Config) { c.Witnesses, c.Metrics = []audit.Witness{w}, registry })
	lag := func() float64 {
		n, err := testutil.GatherAndCount(registry, "sts_audit_witness_lag_seconds")
		if err != nil || n != 1 {
			t.Fatal(n, err)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "sts_audit_witness_lag_seconds" {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		return -1
	}
	mustJot(t, l, "a")
	eventually(t, "told", func() bool {
		c.Add(time.Second)
		l.Tick()
		return l.CheckpointHealth() != nil && lag() >= 10
	})
	if err := l.CheckpointHealth(); !strings.Contains(err.Error(), "the witness ledger since") {
		t.Error(err)
	}
	if err := l.Health(); err != nil {
		t.Errorf("records are refused: %v", err)
	}
	mustJot(t, l, "b")
	store.set(nil)
	eventually(t, "well again", func() bool { return l.CheckpointHealth() == nil && lag() == 0 })
}

// A host that was put back to an earlier state has a log that contradicts nothing of its own. The witness knows, and the
// log is given up.
func TestRolledBack(t *testing.T) {
	for name, more := range map[string]int{"shorter": 0, "as long": 3, "longer": 6} {
		t.Run(name, func(t *testing.T) {
			w := audit.NewLedgerWitness(newLedger(), testKey().Public())
			dir := t.TempDir()
			l, c := open(t, dir, func(c *audit.Config) { c.Witnesses = []audit.Witness{w} })
			origin := l.Checkpoint().Origin
			mustJot(t, l, "a")
			c.Add(time.Second)
			l.Tick()
			early := crashed(t, dir)
			mustJot(t, l, "b", "c", "d")
			mustClose(t, l)

			l, _ = open(t, early, nil) // alone, as long as the witness is away
			for i := range more {
				mustJot(t, l, fmt.Sprint("other-", i))
			}
			mustClose(t, l)
			l, c = open(t, early, func(c *audit.Config) {
				c.Witnesses = []audit.Witness{w}
				c.Random = strings.NewReader(strings.Repeat("x", 1000))
			})
			eventually(t, "given up", func() bool {
				c.Add(time.Second)
				l.Tick()
				return l.Checkpoint().Origin != origin
			})
			if l.CheckpointHealth() == nil {
				t.Error("and told nobody")
			}
			mustJot(t, l, "e")
			eventually(t, "the new log is witnessed", func() bool {
				c.Add(time.Second)
				l.Tick()
				all, err := w.All(t.Context())
				return err == nil && len(all) == 2 && all[1].Size > 0
			})
			mustClose(t, l)
			all, err := w.All(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, faults := verify(t, early, all...); len(faults) != 1 || faults[0].Origin != origin {
				t.Errorf("%v", faults)
			}
		})
	}
}

func TestURLWitness(t *testing.T) {
	list := checkpoints(t, "a", 2)
	status, body := http.StatusNoContent, ""
	var got string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got = r.Method + " " + string(text)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	w := &audit.URLWitness{URL: s.URL, Client: s.Client()}
	if err := w.Keep(t.Context(), list[1]); err != nil || got != "POST "+list[1].Note {
		t.Errorf("%v: %s", err, got)
	}
	status = http.StatusInternalServerError
	var contradicted *audit.ContradictedError
	if err := w.Keep(t.Context(), list[1]); err == nil || errors.As(err, &contradicted) {
		t.Errorf("%v", err)
	}
	status, body = http.StatusConflict, list[2].Note
	if err := w.Keep(t.Context(), list[1]); !errors.As(err, &contradicted) || contradicted.Kept.Note != list[2].Note {
		t.Errorf("%v", err)
	}
}

// A witness that says that it knows better, and shows nothing that we signed, makes nobody give a log up.
func TestWitnessIsNotBelieved(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, "sts.acme.example/audit/sts-0/01000000\n9999\nAAAA\n")
	}))
	t.Cleanup(s.Close)
	l, c := open(t, t.TempDir(), func(c *audit.Config) {
		c.Witnesses = []audit.Witness{&audit.URLWitness{URL: s.URL, Client: s.Client()}}
	})
	origin := l.Checkpoint().Origin
	mustJot(t, l, "a")
	eventually(t, "told", func() bool { c.Add(time.Second); l.Tick(); return l.CheckpointHealth() != nil })
	if l.Checkpoint().Origin != origin {
		t.Error("given up")
	}
}

func TestCommandWitness(t *testing.T) {
	c := checkpoints(t, "a", 1)[1]
	path := filepath.Join(t.TempDir(), "kept")
	if err := (&audit.CommandWitness{Command: []string{"sh", "-c", "cat >" + path}}).Keep(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Note, string(mustRead(t, path))); diff != "" {
		t.Error(diff)
	}
	if err := (&audit.CommandWitness{Command: []string{"false"}}).Keep(t.Context(), c); err == nil {
		t.Error("kept by false")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&audit.CommandWitness{Command: []string{"sleep", "100"}}).Keep(ctx, c); err == nil {
		t.Error("waits for ever")
	}
}

// witnessOf is a witness that says what keep says.
type witnessOf func(c audit.Checkpoint) error

func (w witnessOf) Name() string                                     { return "test" }
func (w witnessOf) Keep(_ context.Context, c audit.Checkpoint) error { return w(c) }

// words are the files that tell of logs that were given up.
func words(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.fault"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// Two witnesses find the same contradiction. The word of the one that is slow is of a log that was given up already, and
// the new one goes on.
func TestTwoWitnessesOfOneContradiction(t *testing.T) {
	kept := checkpoints(t, "b", 5)[5] // of a log that is longer, under the same origin
	asked, renewed := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(asked) })
	says := func(wait func()) witnessOf {
		return func(c audit.Checkpoint) error {
			if c.Origin != kept.Origin {
				return nil
			}
			wait()
			return &audit.ContradictedError{Kept: kept}
		}
	}
	dir := t.TempDir()
	l, c := open(t, dir, func(c *audit.Config) {
		c.Witnesses = []audit.Witness{says(func() { once(); <-renewed }), says(func() { <-asked })}
	})
	mustJot(t, l, "a")
	var second string
	eventually(t, "given up", func() bool {
		c.Add(time.Second)
		l.Tick()
		second = l.Checkpoint().Origin
		return second != kept.Origin
	})
	close(renewed)
	eventually(t, "both have the new log's checkpoint", func() bool { return l.CheckpointHealth() == nil || len(words(t, dir)) > 0 })
	for range 3 {
		time.Sleep(50 * time.Millisecond) // for the slow one's word; too short a time finds nothing, and fails nothing
		c.Add(time.Second)
		l.Tick()
	}
	if n := len(words(t, dir)); l.Checkpoint().Origin != second || n != 1 {
		t.Errorf("the new log was given up, too: %d words", n)
	}
}

// While a log that was given up can't be followed by another, that is told once; and what was accepted for the old one
// and carried over gets into the new.
func TestGivenUpWhileTheDiskFails(t *testing.T) {
	kept := checkpoints(t, "b", 8)[8]
	dir := t.TempDir()
	var mu sync.Mutex
	contradicts, told := false, false
	l, c := open(t, dir, func(c *audit.Config) {
		c.Sync = audit.SyncWritten
		c.Witnesses = []audit.Witness{witnessOf(func(c audit.Checkpoint) error {
			mu.Lock()
			defer mu.Unlock()
			if told = contradicts; contradicts && c.Origin == kept.Origin {
				return &audit.ContradictedError{Kept: kept}
			}
			return errors.New("not yet")
		})}
	})
	mustJot(t, l, "durable")
	l.Tick()
	d := &disk{}
	if err := l.FailFiles(d.wrap); err != nil {
		t.Fatal(err)
	}
	mustJot(t, l, "accepted")
	d.set(func(d *disk) { d.sync, d.create = syscall.EIO, syscall.EIO })
	l.Tick()
	l.Tick() // gives the file up, and can't begin the next
	if err := os.Mkdir(filepath.Join(dir, "sts-0.checkpoint.new"), 0o700); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	contradicts = true
	mu.Unlock()
	eventually(t, "given up", func() bool { c.Add(time.Second); l.Tick(); return len(words(t, dir)) > 0 })
	for range 5 {
		c.Add(time.Second)
		l.Tick()
	}
	if n := len(words(t, dir)); n != 1 || l.Health() == nil {
		t.Errorf("%d words; health is %v", n, l.Health())
	}
	d.set(func(d *disk) { d.sync, d.create = nil, nil })
	if err := os.Remove(filepath.Join(dir, "sts-0.checkpoint.new")); err != nil {
		t.Fatal(err)
	}
	c.Add(time.Second)
	l.Tick()
	mustJot(t, l, "after")
	mustClose(t, l)
	got := slices.DeleteFunc(ids(t, dir), func(id string) bool { return len(id) > 20 })
	if diff := cmp.Diff([]string{"durable", "accepted", "after"}, got); diff != "" || len(words(t, dir)) != 1 || !told {
		t.Errorf("%v\n%s", words(t, dir), diff)
	}
}

// A power failure may put the log's own checkpoint back behind the one that a witness has, and damage what stands beside
// the records. As long as the records are there, the log goes on.
func TestWitnessKnowsMoreThanTheLog(t *testing.T) {
	w := audit.NewLedgerWitness(newLedger(), testKey().Public())
	dir := t.TempDir()
	l, c := open(t, dir, func(c *audit.Config) { c.Witnesses = []audit.Witness{w} })
	origin := l.Checkpoint().Origin
	mustJot(t, l, "a")
	c.Add(time.Second)
	l.Tick()
	early := newest(t, dir)
	mustJot(t, l, "b")
	c.Add(time.Second)
	l.Tick()
	eventually(t, "kept", func() bool { k, _, err := w.Newest(t.Context(), origin); return err == nil && k.Size == 3 })
	mustJot(t, l, "c")
	dir = crashed(t, dir)
	mustWrite(t, filepath.Join(dir, "sts-0.checkpoint"), []byte(early.Note))
	leaves := strings.TrimSuffix(segments(t, dir)[0], ".jsonl") + ".leaves"
	if err := os.Remove(leaves); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(leaves, 0o700); err != nil { // so that it can't be made anew
		t.Fatal(err)
	}
	var asked sync.WaitGroup
	asked.Add(1)
	once := sync.OnceFunc(asked.Done)
	l, c = open(t, dir, func(c *audit.Config) {
		c.Witnesses = []audit.Witness{w, witnessOf(func(audit.Checkpoint) error { once(); return nil })}
	})
	if n := l.Checkpoint().Size; n != 4 {
		t.Errorf("a checkpoint of %d records", n)
	}
	mustJot(t, l, "d")
	c.Add(time.Second)
	l.Tick()
	asked.Wait()
	eventually(t, "kept", func() bool {
		c.Add(time.Second)
		l.Tick()
		k, _, err := w.Newest(t.Context(), origin)
		return err == nil && k.Size == 6
	})
	if len(words(t, dir)) > 0 || l.Checkpoint().Origin != origin {
		t.Error("given up")
	}
}

// A process that ends lets the log go before it has brought its last checkpoint. Where the next one was faster, the witness has
// all that it was to get, and there is nothing to tell: commands that run at once are such processes.
func TestWitnessHasWhatTheNextProcessBrought(t *testing.T) {
	dir := t.TempDir()
	var said strings.Builder
	var overtaken *audit.Checkpoint
	w := witnessOf(func(audit.Checkpoint) error {
		next, err := audit.Open(audit.Config{Directory: dir, Replica: "sts-0", Key: testKey(), Random: &counter{}, Log: quiet})
		if errors.Is(err, audit.ErrLocked) {
			return nil // not yet at the end
		}
		if err == nil {
			err = errors.Join(jot(next, "b"), next.Close(t.Context()))
		}
		if err != nil {
			return err
		}
		k := next.Checkpoint()
		overtaken = &k
		return &audit.ContradictedError{Kept: k}
	})
	l, _ := open(t, dir, func(c *audit.Config) {
		c.Witnesses, c.Log = []audit.Witness{w}, slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))
	})
	mustJot(t, l, "a")
	mustClose(t, l)
	if overtaken == nil || overtaken.Size <= l.Checkpoint().Size {
		t.Fatalf("%+v is not newer than %+v", overtaken, l.Checkpoint())
	}
	if said.Len() > 0 {
		t.Error(said.String())
	}
}
