package index_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/audit/index"
)

// following reads a tail until it has so many events; then it waits for a step without one, and returns them and where to
// go on.
func following(t testing.TB, i *index.Index, q index.Query, cursor string, events int) (ids []string, next string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for step, err := range i.Tail(ctx, q, cursor) {
		switch {
		case err != nil:
			t.Fatalf("after %d of %d events: %v", len(ids), events, err)
		case step.Event != nil:
			ids = append(ids, step.Event.ID)
		case len(ids) >= events:
			return ids, step.Cursor
		}
	}
	return nil, ""
}

// Whoever follows, with whatever interruptions, sees each record once, and those of one log in its order: while replicas
// feed at the same time, one of them late, and over partitions.
func TestTail(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		i := b.open(t, func(c *index.Config) { c.PartitionEvents = 300 })
		w := newTown(t, 3, 600)
		fed := make([]int, 3)
		w.feed(t, i, fed)
		_, cursor := following(t, i, index.Query{}, "", 0) // from now on

		want := 0
		for range 900 {
			w.write(t, w.logs[w.random.IntN(3)])
			want++
		}
		var fault error
		done := make(chan struct{})
		go func() { // another replica, of another process
			defer close(done)
			for n, l := range w.logs {
				for from := fed[n]; from < len(l.entries); from += 150 {
					if _, err := i.Add(context.WithoutCancel(t.Context()), l.batch(t, from, min(from+150, len(l.entries)))); err != nil {
						fault = err
						return
					}
				}
			}
		}()
		got := map[string][]string{}
		for seen := 0; seen < want; {
			// Each time a few, then anew from the cursor of the last that was read.
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			few := 0
			for step, err := range i.Tail(ctx, index.Query{}, cursor) {
				if err != nil {
					t.Fatalf("after %d of %d events: %v", seen, want, err)
				}
				if cursor = step.Cursor; step.Event == nil {
					continue
				}
				got[step.Event.Origin] = append(got[step.Event.Origin], step.Event.ID)
				seen++
				if few++; few == 130 || seen == want {
					break
				}
			}
			cancel()
		}
		<-done
		if fault != nil {
			t.Fatal(fault)
		}
		for n, l := range w.logs {
			var ids []string
			for _, e := range l.entries[fed[n]:] {
				ids = append(ids, e.ID)
			}
			if diff := cmp.Diff(ids, got[l.origin]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", l.origin, diff)
			}
		}
		if more, _ := following(t, i, index.Query{}, cursor, 0); len(more) > 0 {
			t.Errorf("%d events come twice", len(more))
		}
	})
}

// The ids of a log are not quite in the order of its records, and an index that is made anew of what only it has keeps them
// by their ids, some in one partition and some in the next. A tail goes by the records.
func TestTailOfAnIndexMadeAnew(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		i := b.open(t)
		_, cursor := following(t, i, index.Query{}, "", 0)
		const records = 500
		l := newLogbook(t, "sts-0")
		for n := range records {
			l.at = start.Add(time.Duration(n*10-n*7919%400) * time.Millisecond)
			l.exchange(t, "alice")
		}
		if _, err := i.Add(t.Context(), l.batch(t, 0, records)); err != nil {
			t.Fatal(err)
		}
		i = b.open(t, func(c *index.Config) { c.PartitionEvents = 60 })
		if err := i.Reindex(t.Context(), t.TempDir()); err != nil { // where the log is not
			t.Fatal(err)
		}
		var want []string
		for n := range l.entries {
			want = append(want, l.entries[n].ID)
		}
		got, end := following(t, i, index.Query{}, cursor, records)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if more, _ := following(t, i, index.Query{}, end, 0); len(more) > 0 {
			t.Errorf("%d events come twice", len(more))
		}
	})
}

func TestTailFilters(t *testing.T) {
	t.Parallel()
	w := newTown(t, 2, 400)
	i := newSQLite(t).open(t)
	_, cursor := following(t, i, index.Query{}, "", 0) // of an empty index
	if cursor == "" {
		t.Fatal("the cursor of an empty index would be from now on")
	}
	w.feed(t, i, make([]int, 2))
	q := index.Query{Terms: []index.Term{{Field: index.FieldClient, Value: "client-1"}, {Field: index.FieldType, Value: "exchange"}}}
	want := w.find(q)
	got, end := following(t, i, q, cursor, len(want))
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, now := following(t, i, index.Query{}, "", 0); now != end {
		t.Error("what does not pass the filters stays before the cursor")
	}
}

func TestTailEndsWithItsContext(t *testing.T) {
	t.Parallel()
	i := newSQLite(t).open(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for step, err := range i.Tail(ctx, index.Query{}, "") {
		if last = err; step.Cursor != "" {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Error(last)
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		i, l := b.open(t), newLogbook(t, "sts-0")
		hash := func(n int) string { return fmt.Sprintf("%064x", n) }
		handed, presented, asked := hash(1), hash(2), hash(3)
		mint := l.write(t, "mint", fields{"outcome": "granted", "token_sha256": handed, "true_expires_at": start.Add(time.Hour)})
		l.write(t, "subject", fields{"provider": "okta", "sub": "old", "sha256": presented})
		subject := l.write(t, "subject", fields{"provider": "okta", "sub": "alice", "sha256": presented, "expires_at": start.Add(2 * time.Hour)})
		of := l.write(t, "exchange", fields{"outcome": "granted", "token_sha256": handed, "subject_token": fields{"sha256": presented}})
		var exchanges []string
		for range 4 {
			exchanges = append(exchanges, l.write(t, "repeat", fields{"of": of, "cache": "memory", "duration_us": 1}))
		}
		l.write(t, "admin", fields{"action": "token.introspect", "object": asked})
		if _, err := i.Add(t.Context(), l.batch(t, 0, len(l.entries))); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(exchanges)
		exchanges = append(exchanges, of)
		for _, c := range []struct {
			name, hash    string
			limit         int
			mint, subject string
			exchanges     []string
			more, known   bool
		}{
			{"handed out", handed, 10, mint, "", exchanges, false, true},
			{"presented", presented, 5, "", subject, exchanges, false, true},
			{"used often", presented, 4, "", subject, exchanges[:4], true, true},
			{"asked for", asked, 10, "", "", nil, false, true},
			{"never seen", hash(4), 10, "", "", nil, false, false},
		} {
			got, err := i.Token(t.Context(), c.hash, c.limit)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, e := range got.Events {
				ids = append(ids, e.ID)
			}
			if diff := cmp.Diff(c.exchanges, ids); diff != "" || got.More != c.more || got.Known != c.known || idOf(got.Mint) != c.mint || idOf(got.Subject) != c.subject {
				t.Errorf("%s: %+v (-want +got):\n%s", c.name, got, diff)
			}
		}
	})
}

func idOf(e *index.Event) string {
	if e == nil {
		return ""
	}
	return e.ID
}
