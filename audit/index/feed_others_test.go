package index_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lakegate/sts/audit/index"
)

// cutShort takes the last record of a replica's log off, which is signed for.
func (r *replica) cutShort() {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, r.name+".*.jsonl"))
	if err != nil || len(files) == 0 {
		r.t.Fatal(files, err)
	}
	newest := files[len(files)-1]
	text, err := os.ReadFile(newest)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(newest, text[:bytes.LastIndexByte(text[:len(text)-1], '\n')+1], 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// A log that was given up since it lacks what was signed for is fed as far as it goes, and is no fault for ever.
func TestFeederTakesWhatIsLeft(t *testing.T) {
	t.Parallel()
	i := newSQLite(t).open(t)
	r := newReplica(t, "sts-0")
	r.start(i)
	r.grant(20)
	if err := r.log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.cutShort()
	r.start(i)
	r.grant(5)
	r.stop() // which feeds all
	all := everything(t, i)
	logs := map[string]int{}
	for n := range all {
		logs[all[n].Origin]++
	}
	if len(logs) != 2 {
		t.Errorf("logs %v", logs)
	}
}

// A log of somebody else that can't be fed is told, and keeps nobody else's from being fed, nor old partitions from being
// dropped.
func TestFeederGoesOnBesideABrokenLog(t *testing.T) {
	t.Parallel()
	clock := start
	i := newSQLite(t).open(t, func(c *index.Config) {
		c.PartitionEvents, c.Retention, c.Now = 150, 24*time.Hour, func() time.Time { return clock.Add(240 * time.Hour) }
	})
	old := fill(t, newLogbook(t, "old"), 200)
	if _, err := i.Add(t.Context(), old.batch(t, 0, 200)); err != nil {
		t.Fatal(err)
	}
	r := newReplica(t, "sts-0")
	broken := *r
	broken.name = "sts-1"
	broken.start(i)
	broken.grant(20)
	if err := broken.log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	broken.cutShort()
	r.start(i)
	end := r.run()
	defer end()
	until(t, func() bool { return r.feeder.Health() != nil })
	until(t, func() bool {
		n, err := i.Count(t.Context(), "SELECT count(*) FROM audit_partitions WHERE n = 1")
		return err == nil && n == 0
	})
	id := r.grant(1)[0]
	until(t, func() bool { _, err := i.Find(t.Context(), id); return err == nil })
	if err := r.feeder.Health(); err == nil {
		t.Error("nobody tells of the broken log")
	}
	end()
	if err := r.log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Records that have been missing for long are told of, whatever keeps the feeder.
func TestFeederTellsThatItIsLate(t *testing.T) {
	t.Parallel()
	r := newReplica(t, "sts-0")
	var clock atomic.Int64 // in minutes since start
	r.now = func() time.Time { return start.Add(time.Duration(clock.Load()) * time.Minute) }
	r.start(newSQLite(t).open(t))
	clock.Add(10)
	if err := r.feeder.Health(); err != nil {
		t.Errorf("nothing is missing: %v", err)
	}
	r.grant(1)
	until(t, func() bool { return r.log.Checkpoint().Size > 0 })
	if err := r.feeder.Health(); err == nil || !strings.Contains(err.Error(), "for 10m0s") {
		t.Errorf("%v", err)
	}
	r.stop()
	if err := r.feeder.Health(); err != nil {
		t.Errorf("all is there: %v", err)
	}
}
