package index_test

import (
	"errors"
	"testing"
	"time"

	"github.com/lakegate/sts/audit/index"
)

// Old partitions go, and what a kept record's receipt needs stays.
func TestSweep(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		clock := start
		i := b.open(t, func(c *index.Config) {
			c.PartitionEvents, c.Retention, c.Now = 150, 24*time.Hour, func() time.Time { return clock }
		})
		busy, idle := newLogbook(t, "busy"), fill(t, newLogbook(t, "idle"), 150)
		if _, err := i.Add(t.Context(), idle.batch(t, 0, 150)); err != nil {
			t.Fatal(err)
		}
		const days, daily = 10, 120
		for day := range days {
			busy.at = start.Add(time.Duration(day) * 24 * time.Hour)
			fill(t, busy, daily)
			if _, err := i.Add(t.Context(), busy.batch(t, daily*day, daily*(day+1))); err != nil {
				t.Fatal(err)
			}
		}
		clock = busy.at
		dropped, err := i.Sweep(t.Context())
		if err != nil || dropped == 0 {
			t.Fatal(dropped, err)
		}
		// Two days longer than their retention of one; and a partition goes as a whole.
		left := everything(t, i)
		if len(left)+int(dropped) != 150+daily*days {
			t.Errorf("%d were dropped and %d are left", dropped, len(left))
		}
		first := map[string]uint64{idle.origin: 150}
		for n := range left {
			if _, seen := first[left[n].Origin]; !seen {
				first[left[n].Origin] = left[n].Place
			}
		}
		if from := first[busy.origin]; from < daily*(days-5) || from > daily*(days-3) {
			t.Errorf("kept from record %d on", from)
		}
		for n := first[busy.origin]; n < uint64(len(busy.entries)); n += 13 {
			proves(t, i, busy, int(n))
		}
		proves(t, i, busy, len(busy.entries)-1)
		if _, err := i.Find(t.Context(), busy.entries[first[busy.origin]-1].ID); !errors.Is(err, index.ErrNotFound) {
			t.Errorf("%v", err)
		}
		tiles := int64(1 + (daily*days+255)/256 - int(first[busy.origin]/256))
		if n, err := i.Count(t.Context(), "SELECT count(*) FROM audit_tiles WHERE level = 0"); err != nil || n != tiles {
			t.Errorf("%d tiles are left, %d are needed: %v", n, tiles, err)
		}
		if hours, err := i.Count(t.Context(), "SELECT min(hour) FROM audit_hours"); err != nil || hours < clock.Add(-74*time.Hour).Unix()/3600 {
			t.Errorf("counts from hour %d on: %v", hours, err)
		}
		// What comes then goes on in the same trees.
		for _, l := range []*logbook{busy, idle} {
			l.at = clock
			n := len(l.entries)
			fill(t, l, 100)
			if added, err := i.Add(t.Context(), l.batch(t, n, n+100)); err != nil || added.Contradicted {
				t.Fatal(added, err)
			}
			for at := n; at < n+100; at += 29 {
				proves(t, i, l, at)
			}
		}
		if dropped, err := i.Sweep(t.Context()); err != nil || dropped != 0 {
			t.Error(dropped, err)
		}
	})
}
