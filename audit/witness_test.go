package audit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
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
