package index_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/audit/index"
)

// collect goes through the pages of a query until it has enough, and returns the ids, and how many pages they were.
func collect(t testing.TB, i *index.Index, q index.Query, enough int) (ids []string, pages int) {
	t.Helper()
	for len(ids) < enough {
		page, err := i.Search(t.Context(), q)
		if err != nil {
			t.Fatalf("%v: %v", q.Terms, err)
		}
		if len(page.Events) > q.PageSize {
			t.Fatalf("a page of %d has %d events", q.PageSize, len(page.Events))
		}
		for n := range page.Events {
			ids = append(ids, page.Events[n].ID)
		}
		pages++
		if q.Page = page.Next; q.Page == "" {
			break
		}
	}
	return ids, pages
}

func TestSearch(t *testing.T) {
	t.Parallel()
	searches(t, 2_000)
}

// searches holds searches of all kinds among n records against a plain look at all of them.
func searches(t *testing.T, n int) {
	t.Helper()
	w := newTown(t, 3, n)
	queries := append(fixedQueries(w), randomQueries(w, 25)...)
	wanted := make([][]string, len(queries))
	for n, q := range queries {
		wanted[n] = w.find(q)
	}
	onEach(t, func(t *testing.T, b *backend) {
		plenty := b.open(t, still, func(c *index.Config) { c.PartitionEvents = int64(n / 7) })
		little := b.open(t, still, func(c *index.Config) { c.PartitionEvents, c.SearchRows = int64(n/7), 400 })
		hurried := b.open(t, func(c *index.Config) {
			var calls atomic.Int64
			c.PartitionEvents, c.Now = int64(n/7), func() time.Time { return start.Add(time.Duration(calls.Add(1)) * time.Minute) }
		})
		w.feed(t, plenty, make([]int, len(w.logs)))
		for n, q := range queries {
			q.PageSize = []int{100, 30, 7}[n%3]
			enough := 60
			if q.ID == "" && q.From.IsZero() && q.To.IsZero() && q.Terms == nil {
				q.PageSize, enough = index.MaxPage, len(w.all)
			}
			whole := wanted[n]
			got, pages := collect(t, plenty, q, enough)
			want := whole[:min(len(whole), pages*q.PageSize)]
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%v from %v to %v (-want +got):\n%s", q.Terms, q.From, q.To, diff)
			}
			if full := max(1, (len(want)+q.PageSize-1)/q.PageSize); pages != full {
				t.Errorf("%v: %d events are %d pages of %d, want %d", q.Terms, len(want), pages, q.PageSize, full)
			}
			early := little
			if n%2 > 0 {
				early = hurried
			}
			if got, _ := collect(t, early, q, 30); !slices.Equal(whole[:min(len(whole), len(got))], got) || len(got) < min(len(whole), 30) {
				t.Errorf("%v: pages that end early make %d events, want %d", q.Terms, len(got), len(whole))
			}
		}
	})
}

// still stops the clock by which pages end early, so that they are the same on a busy machine.
func still(c *index.Config) { c.Now = func() time.Time { return start } }

// fixedQueries ask for rare, common and absent values of each field, and for some of them together.
func fixedQueries(w *town) (queries []index.Query) {
	for field, values := range map[index.Field][]string{
		index.FieldType:      {"exchange", "mint", "admin", "failures", "subject", "repeat", "absent"},
		index.FieldSubject:   {"user-7", "absent"},
		index.FieldIssuer:    {"https://issuer-0", "absent"},
		index.FieldActor:     {"user-7", "absent"},
		index.FieldClient:    {"client-0", "Client-0", "absent", ""},
		index.FieldPrincipal: {"principal-3", "application-3", "absent"},
		index.FieldWorkspace: {"main", "rare", "absent"},
		index.FieldRule:      {"rule-1", "absent"},
		index.FieldOutcome:   {"granted", "denied", "outcome-1", "absent"},
		index.FieldReason:    {"reason-1", "reason-9", "absent"},
		index.FieldToken:     {fmt.Sprintf("%064x", 7), "absent"},
		index.FieldMint:      {"mint-7", "absent"},
		index.FieldSource:    {"10.0.0-1", "192.0.2-50", "absent"},
		index.FieldAction:    {"action-1", "token.revoke", "absent"},
		index.FieldObject:    {"object-1", fmt.Sprintf("%064x", 7), "absent"},
		index.Field("time"):  {"absent"},
	} {
		for _, value := range values {
			queries = append(queries, index.Query{Terms: []index.Term{{Field: field, Value: value}}})
		}
	}
	granted, denied := index.Term{Field: index.FieldOutcome, Value: "granted"}, index.Term{Field: index.FieldOutcome, Value: "denied"}
	rare, client := index.Term{Field: index.FieldWorkspace, Value: "rare"}, index.Term{Field: index.FieldClient, Value: "client-0"}
	middle := w.all[len(w.all)/2].id
	at := time.UnixMilli(millisecondsOf(middle))
	return append(queries,
		index.Query{},
		index.Query{Terms: []index.Term{granted, denied}}, // both are common, and never together
		index.Query{Terms: []index.Term{granted, client}},
		index.Query{Terms: []index.Term{client, granted, rare, client}},
		index.Query{Terms: []index.Term{{Field: index.FieldSource, Value: "10.0.0-1"}, {Field: index.FieldSource, Value: "192.0.2-50"}}},
		index.Query{From: at}, index.Query{To: at}, index.Query{From: at, To: at.Add(50 * time.Millisecond)}, index.Query{From: at, To: at},
		index.Query{From: at.Add(time.Hour)}, index.Query{To: at.Add(-time.Hour)}, index.Query{To: time.Unix(-1, 0)},
		index.Query{From: at, Terms: []index.Term{granted}}, index.Query{To: at, Terms: []index.Term{rare}},
		index.Query{ID: middle}, index.Query{ID: middle, From: at, To: at.Add(time.Millisecond)}, index.Query{ID: middle, To: at},
		index.Query{ID: middle, Terms: []index.Term{{Field: index.FieldType, Value: w.all[len(w.all)/2].members["type"].(string)}}},
		index.Query{ID: middle, Terms: []index.Term{{Field: index.FieldType, Value: "absent"}}},
		index.Query{ID: "0197d0f8-0000-7000-8000-000000000001"}, index.Query{ID: "no id"},
	)
}

// randomQueries ask for several values that some record has, so that not all find nothing.
func randomQueries(w *town, n int) (queries []index.Query) {
	random := rand.New(rand.NewPCG(3, 4))
	for range n {
		r := &w.all[random.IntN(len(w.all))]
		var q index.Query
		for field := range where {
			for _, value := range []string{
				"exchange", "client-1", "granted", "main", "https://issuer-1", "rule-3", "10.0.0-2", "principal-5", "denied", "reason-2", "token.revoke",
				fmt.Sprintf("user-%d", random.IntN(200)), fmt.Sprintf("%064x", random.IntN(300)), fmt.Sprintf("mint-%d", random.IntN(50)),
			} {
				if term := (index.Term{Field: field, Value: value}); r.has(term) && random.IntN(2) == 0 {
					q.Terms = append(q.Terms, term)
				}
			}
		}
		slices.SortFunc(q.Terms, func(a, b index.Term) int { return cmpString(string(a.Field)+a.Value, string(b.Field)+b.Value) })
		at := time.UnixMilli(millisecondsOf(r.id))
		if random.IntN(4) == 0 {
			q.From = at.Add(-time.Duration(random.IntN(2000)) * time.Millisecond)
		}
		if random.IntN(4) == 0 {
			q.To = at.Add(time.Duration(random.IntN(2000)) * time.Millisecond)
		}
		queries = append(queries, q)
	}
	return queries
}

func cmpString(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

// While somebody turns the pages, records come: new ones, and those of a replica that lags, which belong into pages that
// were already shown and into those that are still to come.
func TestPagesDontShift(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		w := newTown(t, 3, 1000)
		i := b.open(t, func(c *index.Config) { c.PartitionEvents = 150 })
		fed := make([]int, 3)
		late := w.logs[2]
		whole := late.entries
		late.entries = whole[:len(whole)/10]
		w.feed(t, i, fed)
		w.list(t)

		q := index.Query{Terms: []index.Term{{Field: index.FieldType, Value: "exchange"}}, PageSize: 25}
		there := map[string]bool{} // at the start
		for _, id := range w.find(q) {
			there[id] = true
		}
		var got []string
		for turn := 1; ; turn++ {
			page, err := i.Search(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for n := range page.Events {
				got = append(got, page.Events[n].ID)
			}
			if q.Page = page.Next; q.Page == "" {
				break
			}
			late.entries = whole[:min(len(whole), len(whole)/10+turn*50)]
			for range 20 {
				w.write(t, w.logs[0])
			}
			w.feed(t, i, fed)
		}
		if !slices.IsSortedFunc(got, func(a, b string) int { return cmpString(b, a) }) {
			t.Error("the pages are not in order, or something is on two of them")
		}
		shown := map[string]bool{}
		for _, id := range got {
			shown[id] = true
		}
		for id := range there {
			if !shown[id] {
				t.Errorf("%s was there all the time, and is on no page", id)
			}
		}
	})
}

// A repeat is found by what the exchange says that it repeats, and comes back as the whole of it, also where that is in
// another partition.
func TestSearchMakesRepeatsWhole(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		i, l := b.open(t, still, func(c *index.Config) { c.PartitionEvents = 2 }), newLogbook(t, "sts-0")
		of := l.exchange(t, "alice")
		for range 5 {
			l.exchange(t, "bob")
		}
		again := l.write(t, "repeat", fields{"of": of, "request_id": "again", "cache": "redis", "duration_us": 7})
		bare := l.write(t, "repeat", fields{"of": "0197d0f8-0000-7000-8000-000000000001", "cache": "redis", "duration_us": 7})
		if _, err := i.Add(t.Context(), l.batch(t, 0, len(l.entries))); err != nil {
			t.Fatal(err)
		}
		page, err := i.Search(t.Context(), index.Query{Terms: []index.Term{{Field: index.FieldSubject, Value: "alice"}}, PageSize: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Events) != 2 || page.Events[0].ID != again || page.Events[1].ID != of {
			t.Fatalf("found %d events", len(page.Events))
		}
		e := page.Events[0]
		if e.Type != "repeat" || e.Repeat.Of != of || e.Place != 6 || e.Origin != l.origin {
			t.Errorf("the repeat is %+v", e.Record.Header)
		}
		if x := e.Exchange; x == nil || x.ID != again || x.Claimed.RequestID != "again" || x.Claimed.Route != "chat" || x.Rule != "analysts" || x.Duration != 7 {
			t.Errorf("the exchange is %+v", e.Exchange)
		}
		lone, err := i.Find(t.Context(), bare)
		if err != nil || lone.Exchange != nil || lone.Repeat == nil {
			t.Errorf("a repeat of what is gone: %+v, %v", lone, err)
		}
	})
}

func TestFind(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		i, l := b.open(t), newLogbook(t, "sts-0")
		id := l.exchange(t, "alice")
		if _, err := i.Find(t.Context(), id); !errors.Is(err, index.ErrNotFound) {
			t.Errorf("in an empty index: %v", err)
		}
		if _, err := i.Add(t.Context(), l.batch(t, 0, 1)); err != nil {
			t.Fatal(err)
		}
		if e, err := i.Find(t.Context(), id); err != nil || e.ID != id || e.Exchange.Subject.Subject != "alice" {
			t.Errorf("%+v, %v", e, err)
		}
		for _, no := range []string{"", "x", "0197d0f8-0000-7000-8000-000000000001", id + " ", "{" + id + "}"} {
			if _, err := i.Find(t.Context(), no); !errors.Is(err, index.ErrNotFound) {
				t.Errorf("%q: %v", no, err)
			}
		}
	})
}

func TestSearchRefuses(t *testing.T) {
	t.Parallel()
	w := newTown(t, 1, 50)
	i := newSQLite(t).open(t)
	w.feed(t, i, make([]int, 1))
	q := index.Query{Terms: []index.Term{{Field: index.FieldType, Value: "exchange"}}, PageSize: 2}
	page, err := i.Search(t.Context(), q)
	if err != nil || page.Next == "" {
		t.Fatal(page, err)
	}
	var tail string
	for step, err := range i.Tail(t.Context(), index.Query{}, "") {
		if err != nil {
			t.Fatal(err)
		}
		tail = step.Cursor
		break
	}
	other := q
	other.Terms = []index.Term{{Field: index.FieldType, Value: "mint"}}
	later := q
	later.From = start
	for name, c := range map[string]struct {
		q    index.Query
		page string
	}{
		"another query": {other, page.Next}, "another time": {later, page.Next}, "another id": {index.Query{ID: w.all[0].id, PageSize: 2}, page.Next},
		"cut off": {q, page.Next[:len(page.Next)-1]}, "longer": {q, page.Next + "AAAA"}, "a line end": {q, page.Next + "\n"},
		"padding": {q, page.Next + "="}, "no base64": {q, "?"}, "a tail's": {q, tail},
	} {
		c.q.Page = c.page
		if _, err := i.Search(t.Context(), c.q); !errors.Is(err, index.ErrCursor) {
			t.Errorf("a cursor of %s: %v", name, err)
		}
	}
	q.Page, q.PageSize = page.Next, 5 // another size is the same query
	if _, err := i.Search(t.Context(), q); err != nil {
		t.Error(err)
	}
	for _, size := range []int{-1, 0, index.MaxPage + 1} {
		if _, err := i.Search(t.Context(), index.Query{PageSize: size}); err == nil {
			t.Errorf("a page of %d events is made", size)
		}
	}
	for _, cursor := range []string{page.Next, "?", "dA==", tail + "AAAA"} {
		for _, err := range i.Tail(t.Context(), index.Query{}, cursor) {
			if !errors.Is(err, index.ErrCursor) {
				t.Errorf("a tail from %q: %v", cursor, err)
			}
			break
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := i.Search(gone, index.Query{PageSize: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("for nobody: %v", err)
	}
}
