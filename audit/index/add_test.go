package index_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/audit/index"
)

// everything is all that a search finds, by log and place.
func everything(t testing.TB, i *index.Index) []index.Event {
	t.Helper()
	var all []index.Event
	for q := (index.Query{PageSize: index.MaxPage}); ; {
		page, err := i.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, page.Events...); page.Next == "" {
			break
		}
		q.Page = page.Next
	}
	slices.SortFunc(all, func(a, b index.Event) int {
		return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Place, b.Place))
	})
	return all
}

// holds checks that the index has all records of the logs, each once and in its place, is found by its terms, and is
// counted.
func holds(t *testing.T, i *index.Index, logs ...*logbook) {
	t.Helper()
	logs = slices.SortedFunc(slices.Values(logs), func(a, b *logbook) int { return cmp.Compare(a.origin, b.origin) })
	all := everything(t, i)
	exchanges := 0
	at := 0
	for _, l := range logs {
		for n := range l.entries {
			want := &l.entries[n]
			if want.ID == "" {
				continue
			}
			if at >= len(all) || all[at].Origin != l.origin || all[at].Place != want.Index || string(all[at].Raw) != string(want.Raw) {
				t.Fatalf("record %d of %s is missing or twice: the index has %d events", n, l.origin, len(all))
			}
			if want.Exchange != nil || want.Repeat != nil {
				exchanges++
			}
			at++
		}
	}
	if at != len(all) {
		t.Fatalf("%d events, of which %d are not in the logs", len(all), len(all)-at)
	}
	found := 0
	for q := (index.Query{PageSize: index.MaxPage, Terms: []index.Term{{Field: index.FieldType, Value: "exchange"}}}); ; {
		page, err := i.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if found += len(page.Events); page.Next == "" {
			break
		}
		q.Page = page.Next
	}
	counts, err := i.Statistics(t.Context(), index.StatisticsQuery{From: start, To: start.Add(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	counted := 0
	for _, c := range counts {
		counted += int(c.Count)
	}
	if found != exchanges || counted != exchanges {
		t.Errorf("%d exchanges, of which %d are found and %d counted", exchanges, found, counted)
	}
}

// write fills a log with n records, of which some repeat others.
func fill(t testing.TB, l *logbook, n int) *logbook {
	t.Helper()
	of := ""
	for range n {
		switch len(l.entries) % 4 {
		case 0:
			of = l.exchange(t, fmt.Sprint("user-", len(l.entries)%7))
		case 1:
			l.write(t, "admin", fields{"action": "policy.load", "object": "policy.yaml"})
		default:
			l.write(t, "repeat", fields{"of": of, "cache": "memory", "duration_us": 1})
		}
	}
	return l
}

// deliver brings a log in by batches of any size, from anywhere, until all is in, as one that forgets what it has brought.
func deliver(ctx context.Context, t *testing.T, i *index.Index, l *logbook, random *rand.Rand) error {
	next := 0
	for next < len(l.entries) {
		from := max(0, next-random.IntN(30))
		to := min(len(l.entries), from+1+random.IntN(60))
		added, err := i.Add(ctx, l.batch(t, from, to))
		var gap *index.GapError
		switch {
		case errors.As(err, &gap):
			next = int(gap.Next)
		case err != nil:
			return err
		case added.Contradicted:
			return errors.New("a contradiction")
		default:
			next = int(added.Next)
		}
	}
	return nil
}

// Several feeders that bring the same and other logs at once, each batch more than once, leave each record there once, in
// partitions of no more events than they may have.
func TestAddedOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		logs := []*logbook{newLogbook(t, "sts-0"), newLogbook(t, "sts-1"), newLogbook(t, "sts-2")}
		for _, l := range logs {
			fill(t, l, 240)
		}
		var feeding sync.WaitGroup
		for feeder := range 4 {
			i := b.open(t, func(c *index.Config) { c.PartitionEvents = 90 })
			for n := range 2 {
				feeding.Go(func() {
					l := logs[(feeder+n)%len(logs)]
					if err := deliver(t.Context(), t, i, l, rand.New(rand.NewPCG(uint64(feeder), uint64(n)))); err != nil {
						t.Error(err)
					}
				})
			}
		}
		feeding.Wait()
		i := b.open(t)
		holds(t, i, logs...)
		events, err := i.Partitions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for n, count := range events {
			if count != 90 && n < len(events)-1 {
				t.Errorf("partition %d has %d events", n, count)
			}
		}
		checkpoints, err := i.Checkpoints(t.Context())
		if err != nil || len(checkpoints) != len(logs) {
			t.Fatalf("%v %v", checkpoints, err)
		}
		for n, c := range checkpoints {
			if c != logs[n].checkpoint(t) {
				t.Errorf("%+v", c)
			}
		}
	})
}

// A batch whose transaction is cut off, at whatever moment, is in whole or not at all.
func TestCutOffIsAllOrNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		i := b.open(t, func(c *index.Config) { c.PartitionEvents = 100 })
		whole := fill(t, newLogbook(t, "whole"), 300)
		began := time.Now()
		if _, err := i.Add(t.Context(), whole.batch(t, 0, 300)); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		logs := []*logbook{whole}
		for try := range 12 {
			l := fill(t, newLogbook(t, fmt.Sprint("try-", try)), 300)
			ctx, cancel := context.WithTimeout(t.Context(), took*time.Duration(try)/10)
			_, err := i.Add(ctx, l.batch(t, 0, 300))
			cancel()
			if isAllOrNothing(t, i, l, err) {
				logs = append(logs, l)
			}
		}
		holds(t, i, logs...)
	})
}

// isAllOrNothing reports whether a log is in.
func isAllOrNothing(t *testing.T, i *index.Index, l *logbook, added error) bool {
	t.Helper()
	next, err := i.Next(t.Context(), l.origin)
	if err != nil {
		t.Fatal(err)
	}
	if next != 0 && next != uint64(len(l.entries)) || added == nil && next == 0 {
		t.Errorf("%d of %d records of %s are in: %v", next, len(l.entries), l.origin, added)
	}
	return next > 0
}

// The same where PostgreSQL ends the connection: all connections, so that no other test runs beside this one.
func TestTerminatedIsAllOrNothing(t *testing.T) {
	b := newPostgres(t)
	i := b.open(t, func(c *index.Config) { c.PartitionEvents = 100 })
	ctx, cancel := context.WithCancel(t.Context())
	var killing sync.WaitGroup
	killing.Go(func() {
		for ctx.Err() == nil {
			_, _ = b.database.Admin().Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sts-audit' AND state <> 'idle'")
		}
	})
	var logs []*logbook
	var cut int
	for try := range 15 {
		l := fill(t, newLogbook(t, fmt.Sprint("try-", try)), 300)
		_, err := i.Add(t.Context(), l.batch(t, 0, 300))
		if err != nil {
			cut++
		}
		logs = append(logs, l)
	}
	cancel()
	killing.Wait()
	if cut == 0 {
		t.Error("no connection was ended in time")
	}
	in := slices.DeleteFunc(logs, func(l *logbook) bool {
		for { // connections that are dead, and don't know it yet
			if _, err := i.Next(t.Context(), l.origin); err == nil {
				return !isAllOrNothing(t, i, l, errors.New("perhaps"))
			}
		}
	})
	holds(t, i, in...)
}

func TestAddRefusesGaps(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		i := b.open(t)
		l := fill(t, newLogbook(t, "sts-0"), 20)
		if _, err := i.Add(t.Context(), l.batch(t, 0, 5)); err != nil {
			t.Fatal(err)
		}
		_, err := i.Add(t.Context(), l.batch(t, 7, 20))
		var gap *index.GapError
		if !errors.As(err, &gap) || gap.Next != 5 {
			t.Errorf("%v", err)
		}
		if _, err := i.Add(t.Context(), l.batch(t, 5, 20)); err != nil {
			t.Error(err)
		}
		holds(t, i, l)
	})
}

// What somebody has put into a log doesn't stop the index: a line that is no record, and a record that is there twice.
func TestAddTakesWhatStandsInTheLog(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		i := b.open(t)
		l := fill(t, newLogbook(t, "sts-0"), 9)
		l.line(t, []byte("not a record"))
		l.line(t, l.entries[4].Raw)
		fill(t, l, 5)
		l.line(t, l.entries[4].Raw) // in another batch
		for _, to := range []int{12, 17} {
			added, err := i.Add(t.Context(), l.batch(t, max(0, to-10), to))
			if to == 12 {
				added, err = i.Add(t.Context(), l.batch(t, 0, to))
			}
			if err == nil && added.Contradicted {
				t.Error("contradicted")
			}
			if err != nil && to == 17 {
				t.Fatal(err)
			}
		}
		if next, err := i.Next(t.Context(), l.origin); err != nil || next != 17 {
			t.Fatal(next, err)
		}
		if e, err := i.Find(t.Context(), l.entries[4].ID); err != nil || string(e.Raw) != string(l.entries[4].Raw) {
			t.Errorf("%+v %v", e, err)
		}
	})
}

// A log whose records are not those that were signed for is taken in all the same, and told; its checkpoint is not kept.
func TestAddTellsContradictions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		i := b.open(t)
		l := fill(t, newLogbook(t, "sts-0"), 30)
		if _, err := i.Add(t.Context(), l.batch(t, 0, 10)); err != nil {
			t.Fatal(err)
		}
		forged := fill(t, newLogbook(t, "sts-0"), 30)
		batch := l.batch(t, 10, 30)
		batch.Entries = append(slices.Clone(batch.Entries[:5]), append(slices.Clone(forged.entries[15:16]), batch.Entries[6:]...)...)
		added, err := i.Add(t.Context(), batch)
		if err != nil || !added.Contradicted || added.Next != 30 {
			t.Errorf("%+v %v", added, err)
		}
		if _, err := i.Find(t.Context(), forged.entries[15].ID); err != nil {
			t.Error(err)
		}
		if _, err := i.Receipt(t.Context(), forged.entries[15].ID); !errors.Is(err, index.ErrUncovered) {
			t.Errorf("%v", err)
		}
	})
}

// Ten processes that start together on nothing find their tables.
func TestOpenedAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		var opening sync.WaitGroup
		for range 10 {
			opening.Go(func() { b.open(t) })
		}
		opening.Wait()
		holds(t, b.open(t))
	})
}

// A replica that is frozen while it writes keeps the others from writing for half a minute, and not for ever.
func TestNobodyHoldsTheLockForEver(t *testing.T) {
	t.Parallel()
	i := newPostgres(t).open(t)
	n, err := i.CountChanging(t.Context(), "SELECT count(*) FROM pg_catalog.pg_settings WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout') AND setting = '30000'")
	if err != nil || n != 2 {
		t.Errorf("%d of 2 bounds are set: %v", n, err)
	}
}

// A NUL, which PostgreSQL has in no text, stands in a record's names like everything else.
func TestAddTakesNULs(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		i, l := b.open(t), newLogbook(t, "sts-0")
		e := exchangeOf("a\x00b", 0)
		e["principal"], e["rule"], e["client"] = "p\x00q", "r\x00s", "c\x00d"
		eventID := l.write(t, "exchange", e)
		if _, err := i.Add(t.Context(), l.batch(t, 0, 1)); err != nil {
			t.Fatal(err)
		}
		page, err := i.Search(t.Context(), index.Query{PageSize: 2, Terms: []index.Term{{Field: index.FieldPrincipal, Value: "p\x00q"}}})
		if err != nil || len(page.Events) != 1 || page.Events[0].ID != eventID {
			t.Errorf("%v %v", page.Events, err)
		}
		if _, err := i.Statistics(t.Context(), index.StatisticsQuery{From: start, To: start.Add(time.Hour), Principal: "p\x00q"}); err != nil {
			t.Error(err)
		}
	})
}
