package index_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lakegate/sts/audit/index"
)

// A cursor is taken only for the query that it was given out for, as it was written, and what it asks for is a part of what
// the query finds.
func FuzzCursor(f *testing.F) {
	w := newTown(f, 1, 60)
	i := newSQLite(f).open(f)
	w.feed(f, i, make([]int, 1))
	q := index.Query{Terms: []index.Term{{Field: index.FieldType, Value: "exchange"}}, PageSize: 5}
	whole := w.find(q)
	page, err := i.Search(f.Context(), q)
	if err != nil || page.Next == "" {
		f.Fatal(page, err)
	}
	f.Add("", page.Next)
	f.Add("exchange", page.Next)
	f.Add("mint", page.Next)
	f.Add("exchange", page.Next+"\n")
	f.Add("exchange", page.Next[:20])
	for step, err := range i.Tail(f.Context(), index.Query{}, "") {
		if err != nil {
			f.Fatal(err)
		}
		f.Add("exchange", step.Cursor)
		break
	}
	f.Fuzz(func(t *testing.T, kind, cursor string) {
		q := index.Query{Terms: []index.Term{{Field: index.FieldType, Value: kind}}, PageSize: index.MaxPage, Page: cursor}
		switch page, err := i.Search(t.Context(), q); {
		case errors.Is(err, index.ErrCursor), cursor == "" && err == nil:
		case err != nil:
			t.Errorf("%q: %v", cursor, err)
		case kind != "exchange":
			t.Errorf("%q is taken for the type %q", cursor, kind)
		default:
			ids := idsOf(page.Events)
			if !slices.Equal(ids, whole[len(whole)-len(ids):]) {
				t.Errorf("%q: %v", cursor, ids)
			}
		}
		for step, err := range i.Tail(t.Context(), index.Query{}, cursor) {
			if err != nil && !errors.Is(err, index.ErrCursor) {
				t.Errorf("a tail from %q: %v", cursor, err)
			}
			if err == nil && step.Event == nil && cursor != "" && len(step.Cursor) < len(cursor) {
				t.Errorf("a tail from %q goes on from %q, which knows fewer logs", cursor, step.Cursor)
			}
			break
		}
	})
}

func idsOf(events []index.Event) (ids []string) {
	for n := range events {
		ids = append(ids, events[n].ID)
	}
	return ids
}

// asked is a query as a fuzzer can write it.
type asked struct {
	From, To int64 // milliseconds behind the first record; 0 is no bound
	Nth      int   // which record's id; 0 is none
	Terms    []index.Term
	Size     int
	Little   bool // of work
}

// A search finds what a plain look at all records finds: the same ones, in order, over all its pages.
func FuzzSearch(f *testing.F) {
	w := newTown(f, 3, 240)
	b := newSQLite(f)
	plenty := b.open(f, func(c *index.Config) { c.PartitionEvents = 50 })
	little := b.open(f, func(c *index.Config) { c.PartitionEvents, c.SearchRows = 50, 60 })
	w.feed(f, plenty, make([]int, 3))
	term := func(field index.Field, value string) index.Term { return index.Term{Field: field, Value: value} }
	for _, a := range []asked{
		{},
		{Size: 7, Terms: []index.Term{term("type", "exchange")}},
		{Size: 1, From: 20, To: 60},
		{Size: 3, Nth: 5}, {Size: 3, Nth: 5, Terms: []index.Term{term("outcome", "granted")}},
		{Size: 2, Little: true, Terms: []index.Term{term("outcome", "granted"), term("client", "client-1"), term("type", "exchange")}},
		{Size: 9, Little: true, Terms: []index.Term{term("outcome", "granted"), term("outcome", "denied")}},
		{Size: 9, Terms: []index.Term{term("token", fmt.Sprintf("%064x", 7))}},
		{Size: 9, Terms: []index.Term{term("source", "10.0.0-1"), term("source", "192.0.2-3")}},
		{Size: 9, Terms: []index.Term{term("'; DROP TABLE audit_origins; --", "x"), term("", ""), term("subject", "\x00\xff")}},
		{Size: 9, Terms: slices.Repeat([]index.Term{term("outcome", "granted"), term("workspace", "main"), term("issuer", "https://issuer-0")}, 30)},
	} {
		text, err := json.Marshal(a)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var a asked
		if json.Unmarshal(text, &a) != nil {
			return
		}
		q := index.Query{Terms: a.Terms, PageSize: 1 + int(uint(a.Size)%50)}
		if a.From != 0 {
			q.From = start.Add(time.Duration(a.From) * time.Millisecond)
		}
		if a.To != 0 {
			q.To = start.Add(time.Duration(a.To) * time.Millisecond)
		}
		if a.Nth != 0 {
			q.ID = w.all[uint(a.Nth)%uint(len(w.all))].id
		}
		i := plenty
		if a.Little {
			i = little
		}
		if got, _ := collect(t, i, q, len(w.all)+1); !slices.Equal(got, w.find(q)) {
			t.Errorf("%+v finds\n%q, want\n%q", q, got, w.find(q))
		}
	})
}
