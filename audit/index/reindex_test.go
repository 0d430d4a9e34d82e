package index_test

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/audit/index"
)

// snapshot is what an index tells: all events, as far as they are told apart, and the counts.
func snapshot(t *testing.T, i *index.Index) (events []string, counts []index.HourCount) {
	t.Helper()
	all := everything(t, i)
	for n := range all {
		e := &all[n]
		line := e.Origin + " " + string(e.Raw)
		if e.Exchange != nil {
			line += " " + e.Exchange.Principal
		}
		events = append(events, line)
	}
	counts, err := i.Statistics(t.Context(), index.StatisticsQuery{
		From: start, To: start.Add(31 * 24 * time.Hour), By: []index.Field{index.FieldPrincipal, index.FieldRule, index.FieldOutcome},
	})
	if err != nil {
		t.Fatal(err)
	}
	return events, counts
}

// An index that is made anew has what the logs have, and what it alone had: logs whose disk is gone, and the beginning of
// one whose first segments are past their retention.
func TestReindex(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		i := b.open(t, func(c *index.Config) { c.PartitionEvents = 60 })
		r := newReplica(t, "sts-0")
		var clock atomic.Int64 // in milliseconds since start
		r.now = func() time.Time { return start.Add(time.Duration(clock.Add(1)) * time.Millisecond) }
		r.start(i)
		r.grant(120)
		r.stop()
		dead := fill(t, newLogbook(t, "dead"), 150)
		if _, err := i.Add(t.Context(), dead.batch(t, 0, 150)); err != nil {
			t.Fatal(err)
		}
		removeOldest(t, r.dir, 2)
		events, counts := snapshot(t, i)

		reindexed := func(name string, reindex func() error) {
			t.Helper()
			if err := reindex(); err != nil {
				t.Fatal(name, err)
			}
			r.feeds(i, nil)
			if err := r.feeder.CatchUp(t.Context()); err != nil {
				t.Fatal(name, err)
			}
			again, recounted := snapshot(t, i)
			if diff := cmp.Diff(events, again); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			if diff := cmp.Diff(counts, recounted); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			if _, err := i.Partitions(t.Context()); err != nil {
				t.Error(name, err)
			}
			for n := 0; n < 150; n += 31 {
				proves(t, i, dead, n)
			}
			for n, e := range everything(t, i) {
				if n%9 > 0 {
					continue
				}
				if _, err := i.Receipt(t.Context(), e.ID); err != nil {
					t.Errorf("%s: %s: %v", name, e.Raw, err)
				}
			}
		}
		reindexed("anew", func() error { return i.Reindex(t.Context(), r.dir) })
		reindexed("cut off, and gone on with by who adds", func() error { return i.BeginReindex(t.Context(), r.dir) })
		reindexed("twice", func() error {
			if err := i.BeginReindex(t.Context(), r.dir); err != nil {
				return err
			}
			return i.Reindex(t.Context(), r.dir)
		})
		// Nothing is lost of what no directory has.
		if err := i.Reindex(t.Context(), t.TempDir()); err != nil {
			t.Fatal(err)
		}
		if again, recounted := snapshot(t, i); !cmp.Equal(events, again) || !cmp.Equal(counts, recounted) {
			t.Errorf("%d of %d events", len(again), len(events))
		}
	})
}

// A tail that is behind while the index is made anew waits, and misses nothing.
func TestTailOverAReindex(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		i := b.open(t, func(c *index.Config) { c.PartitionEvents = 100 })
		var cursor string
		for step, err := range i.Tail(t.Context(), index.Query{}, "") { // before the first record
			if err != nil {
				t.Fatal(err)
			}
			cursor = step.Cursor
			break
		}
		dead := fill(t, newLogbook(t, "dead"), 250)
		if _, err := i.Add(t.Context(), dead.batch(t, 0, 250)); err != nil {
			t.Fatal(err)
		}
		nothing := t.TempDir()
		if err := i.BeginReindex(t.Context(), nothing); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		found, finished := 0, false
		for step, err := range i.Tail(ctx, index.Query{}, cursor) {
			if err != nil {
				t.Fatalf("after %d events: %v", found, err)
			}
			if step.Event != nil {
				if step.Event.Place != uint64(found) {
					t.Fatalf("record %d comes after %d", step.Event.Place, found)
				}
				found++
			} else if !finished {
				finished = true
				if err := i.Reindex(ctx, nothing); err != nil {
					t.Fatal(err)
				}
			}
			if found == 250 {
				break
			}
		}
	})
}

// A record that this program can't read, since a newer one wrote it or it is damaged, is shown as it stands, beside all
// others, and does not end an index that is made anew.
func TestRecordsThatCantBeRead(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		i := b.open(t)
		l := fill(t, newLogbook(t, "dead"), 20)
		if _, err := i.Add(t.Context(), l.batch(t, 0, 20)); err != nil {
			t.Fatal(err)
		}
		newer := bytes.Replace(l.entries[5].Raw, []byte("{"), []byte(`{"newer":true,`), 1)
		for place, line := range map[int][]byte{5: newer, 7: []byte("{damaged")} {
			if err := i.Change(t.Context(), "UPDATE audit_events_1 SET record = $1 WHERE place = $2", line, place); err != nil {
				t.Fatal(err)
			}
		}
		check := func() {
			t.Helper()
			all := everything(t, i)
			if len(all) != 20 || string(all[5].Raw) != string(newer) || all[5].Type != l.entries[5].Type || string(all[7].Raw) != "{damaged" || all[7].ID != l.entries[7].ID {
				t.Errorf("%d events", len(all))
			}
		}
		check()
		if page, err := i.Search(t.Context(), index.Query{PageSize: 20, Terms: []index.Term{{Field: index.FieldType, Value: l.entries[5].Type}}}); err != nil || len(page.Events) == 0 {
			t.Errorf("%d %v", len(page.Events), err)
		}
		if err := i.Reindex(t.Context(), t.TempDir()); err != nil {
			t.Fatal(err)
		}
		check()
		fill(t, l, 5)
		if _, err := i.Add(t.Context(), l.batch(t, 20, 25)); err != nil {
			t.Error(err)
		}
	})
}
