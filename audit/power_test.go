package audit_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/audit"
)

// Power that fails at any moment, under writers that go on, again and again: nothing that had to be on disk is lost, the log
// opens and goes on, and no checkpoint that left the host is ever contradicted.
func TestPowerLoss(t *testing.T) { powerLosses(t, 300) }

func powerLosses(t *testing.T, seeds uint64) {
	for _, mode := range []audit.Sync{audit.SyncAlways, audit.SyncMint, audit.SyncWritten} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			var promised, failed int
			for seed := range seeds / 3 {
				p := &powerLoss{mode: mode, random: rand.New(rand.NewPCG(seed, 0))}
				p.run(t)
				if promised += len(p.promised); t.Failed() {
					t.Fatalf("seed %d", seed)
				}
				failed += p.failed
			}
			t.Logf("%d records had to be there, and %d were refused", promised, failed)
			if failed == 0 || promised == 0 && mode != audit.SyncWritten {
				t.Error("nothing was tried")
			}
		})
	}
}

// powerLoss is one run.
type powerLoss struct {
	mode   audit.Sync
	random *rand.Rand

	mu        sync.Mutex
	promised  []string           // ids of records that must be there
	witnessed []audit.Checkpoint // the newest of each log that left the host
	failed    int                // records that were refused
}

func (p *powerLoss) run(t *testing.T) {
	dir := t.TempDir()
	for range 1 + p.random.IntN(3) {
		d := plugIn(t, dir, 1+p.random.IntN(150))
		p.live(t, dir, d)
		dir = t.TempDir()
		d.lose(t, p.random, dir)
	}
	l, err := audit.Open(p.config(dir, nil, audit.RealDisk))
	if err != nil {
		t.Errorf("it does not open: %v", err)
		return
	}
	if err := l.CheckpointHealth(); err != nil {
		t.Errorf("the log was given up: %v", err)
	}
	if err := jot(l, "after"); err != nil {
		t.Error(err)
	}
	mustClose(t, l)
	if logs, faults := verify(t, dir, p.witnessed...); len(faults) > 0 || len(logs) != 1 || logs[0].Proven != logs[0].Records {
		t.Errorf("%+v, %v", logs, faults)
	}
	there := accepted(t, dir)
	slices.Sort(there)
	for _, id := range p.promised {
		if _, found := slices.BinarySearch(there, id); !found {
			t.Errorf("%s is lost", id)
		}
	}
}

func (p *powerLoss) config(dir string, c *clock, d audit.Disk) audit.Config {
	if c == nil {
		c = &clock{now: start.Add(time.Hour)}
	}
	config := audit.Config{Directory: dir, Replica: "sts-0", Key: testKey(), Sync: p.mode, SegmentBytes: 6 << 10, Now: c.Now, Log: quiet}
	config.On(d)
	return config
}

// live writes until the power fails, or a little longer.
func (p *powerLoss) live(t *testing.T, dir string, d *fragile) {
	c := &clock{now: start}
	l, err := audit.Open(p.config(dir, c, d))
	if err != nil {
		if !errors.Is(err, errPower) {
			t.Errorf("it does not open: %v", err)
		}
		return
	}
	var writers sync.WaitGroup
	for writer := range 4 {
		ticks := rand.New(rand.NewPCG(p.random.Uint64(), 0))
		writers.Go(func() {
			for i := range 10 {
				id := fmt.Sprintf("%s-%d-%d", filepath.Base(dir)+"-"+filepath.Base(filepath.Dir(dir)), writer, i)
				p.note(id, record(l, id))
				if ticks.IntN(4) == 0 {
					c.Add(time.Second)
					l.Tick()
					p.witness(l.Checkpoint())
				}
			}
		})
	}
	writers.Wait()
	_ = l.Close(t.Context())
	p.witness(l.Checkpoint())
}

// note takes down how a record went. All of these are first hand-outs.
func (p *powerLoss) note(id string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
		p.failed++
	case p.mode != audit.SyncWritten:
		p.promised = append(p.promised, id)
	}
}

// witness keeps the newest checkpoint of each log, as a witness does.
func (p *powerLoss) witness(c audit.Checkpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.witnessed, func(kept audit.Checkpoint) bool { return kept.Origin == c.Origin })
	switch {
	case c.Size == 0: // of which no witness tells that it is missed
	case i < 0:
		p.witnessed = append(p.witnessed, c)
	case c.Size > p.witnessed[i].Size:
		p.witnessed[i] = c
	}
}

// Killed between naming a new log and writing to it, or even before that, it still says why.
func TestWhyItWasBegunAnewIsNotForgotten(t *testing.T) {
	for operations := 1; ; operations++ {
		dir := logOf(t, 4, 1)
		path := segments(t, dir)[0]
		mustWrite(t, path, slices.Concat(mustRead(t, path), []byte("{\"type\":\"admin\",\"id\":\"x\"}\n")))
		config := (&powerLoss{mode: audit.SyncAlways}).config(dir, nil, plugIn(t, dir, operations))
		l, err := audit.Open(config)
		if err == nil { // the real files stay as they are: only this process has ended
			err = jot(l, "a")
			_ = l.Close(t.Context())
		}
		config.On(audit.RealDisk)
		again, e := audit.Open(config)
		if e != nil {
			t.Fatal(e)
		}
		mustJot(t, again, "b")
		mustClose(t, again)
		var why string
		for _, r := range read2(t, dir) {
			if r.Admin != nil && r.Admin.Action == "audit.renew" {
				why = r.Admin.Detail
			}
		}
		if !strings.Contains(why, "has another end now") {
			t.Errorf("after %d operations: %q", operations, why)
		}
		if words, err := filepath.Glob(filepath.Join(dir, "*.fault")); err != nil || len(words) != 1 {
			t.Errorf("after %d operations: %v, %v", operations, words, err)
		}
		if err == nil {
			return
		}
		if operations > 50 {
			t.Fatal("it is never done", err)
		}
	}
}
