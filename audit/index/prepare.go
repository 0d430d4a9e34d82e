package index

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/internal/recent"
)

// prepared is a record as it goes into the tables.
type prepared struct {
	id    id
	place uint64
	line  []byte
	of    *described
}

// described is what a record is found and counted by; a repeat's is that of the exchange that it tells of.
type described struct {
	terms []int64
	hour  hourKey // without the hour
	// counted says that it is an exchange.
	counted bool
}

// prepare makes ready what does not need the transaction. What is no record has a place in the tree, and nothing else.
func (i *Index) prepare(ctx context.Context, d *database, origin string, entries []audit.Entry) ([]prepared, error) {
	list := make([]prepared, 0, len(entries))
	missing := map[id]bool{} // exchanges that repeats are of
	for n := range entries {
		e := &entries[n]
		at, ok := parseID(e.ID)
		if !ok {
			continue
		}
		p := prepared{id: at, place: e.Index, line: e.Raw}
		switch {
		case e.Repeat == nil:
			p.of = describe(&e.Record)
			if e.Exchange != nil {
				i.firsts.put(at, p.of)
			}
		case i.firsts.get(e.Repeat.Of) == nil:
			if of, ok := parseID(e.Repeat.Of); ok {
				missing[of] = true
			}
		}
		list = append(list, p)
	}
	for some := range slices.Chunk(slices.Collect(maps.Keys(missing)), firstsAtOnce) {
		if err := i.lookForFirsts(ctx, d, origin, some); err != nil {
			return nil, err
		}
	}
	at := 0
	for n := range entries {
		e := &entries[n]
		if _, ok := parseID(e.ID); !ok {
			continue
		}
		if e.Repeat != nil {
			if list[at].of = i.firsts.get(e.Repeat.Of); list[at].of == nil { // past its retention
				list[at].of = describe(&e.Record)
			}
		}
		at++
	}
	return list, nil
}

// firstsAtOnce is how many exchanges one statement looks for.
const firstsAtOnce = 50

// lookForFirsts finds exchanges of a log that were forgotten.
func (i *Index) lookForFirsts(ctx context.Context, d *database, log string, missing []id) error {
	if len(missing) == 0 {
		return nil
	}
	o, err := originBy(ctx, d.read, log)
	if o == nil || err != nil {
		return err
	}
	parts, err := partitions(ctx, d.read)
	if err != nil {
		return err
	}
	for _, p := range parts {
		here := []any{o.n}
		for _, of := range missing {
			if p.covers(of) {
				here = append(here, of[:])
			}
		}
		if len(here) == 1 {
			continue
		}
		if err := i.readFirsts(ctx, d, p.n, here); err != nil && !isGone(err) {
			return err
		}
	}
	return nil
}

// readFirsts reads exchanges of a partition: args are their log and their ids.
func (i *Index) readFirsts(ctx context.Context, d *database, partition int64, args []any) error {
	rows, err := d.read.QueryContext(ctx, "SELECT id, record FROM "+eventsTable(partition)+" WHERE origin = $1 AND id IN ("+marks(2, len(args)-1)+")", args...) //nolint:gosec // a table of ours, and marks
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name, line []byte
		if err := rows.Scan(&name, &line); err != nil {
			return err
		}
		of, err := toID(name)
		if err != nil {
			return err
		}
		if r := decode(of, line); r.Exchange != nil {
			i.firsts.put(of, describe(&r))
		}
	}
	return rows.Err()
}

func describe(r *audit.Record) *described {
	of := new(described)
	for _, t := range termsOf(&Event{Record: *r}) {
		of.terms = append(of.terms, t.hash())
	}
	switch {
	case r.Exchange != nil:
		of.hour, of.counted = hourKey{principal: r.Exchange.Principal, rule: r.Exchange.Rule, outcome: r.Exchange.Outcome}, true
	case r.Repeat != nil:
		of.counted = true
	}
	return of
}

// maxFirsts is how many exchanges are remembered for certain, as those that others repeat; each takes some 300 bytes.
const maxFirsts = 1 << 14

// firsts remembers what exchanges are found by, for their repeats. What it has forgotten is looked for in the index.
type firsts struct {
	mu     sync.Mutex
	memory recent.Memory[id, *described]
}

func newFirsts() *firsts { return &firsts{memory: recent.New[id, *described](maxFirsts)} }

func (f *firsts) get(text string) *described {
	at, ok := parseID(text)
	if !ok {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	of, _ := f.memory.Get(at)
	return of
}

func (f *firsts) put(at id, of *described) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.memory.Put(at, of)
}
