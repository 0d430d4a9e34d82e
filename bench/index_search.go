package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lakegate/sts/audit/index"
)

// firstPage is how soon the first page of any search must be there.
const firstPage = 200 * time.Millisecond

// sought is one search.
type sought struct {
	class, name string
	q           index.Query
	none        bool // nothing is found
}

// searches ask by each field for rare, common and absent values, and for some together.
func searches(a *archive) (all []sought) {
	common := map[index.Field]string{
		index.FieldType: "exchange", index.FieldSubject: userName(1), index.FieldIssuer: "https://idp.example", index.FieldActor: "agent-1", index.FieldClient: "kong",
		index.FieldPrincipal: "p0", index.FieldWorkspace: "prod", index.FieldRule: "rule-p0", index.FieldOutcome: "granted", index.FieldReason: "no_matching_rule",
		index.FieldToken: commonToken, index.FieldMint: commonMint, index.FieldSource: "10.0.0.1", index.FieldAction: "mapping.get_rule", index.FieldObject: "rule-p0",
	}
	rare := map[index.Field]string{index.FieldType: "mint", index.FieldOutcome: "failed"}
	one := func(class string, f index.Field, value string) {
		all = append(all, sought{class, string(f), index.Query{Terms: []index.Term{{Field: f, Value: value}}}, class == "absent"})
	}
	for f, value := range common {
		one("common", f, value)
		one("absent", f, "nobody has this")
		if rare[f] == "" {
			rare[f] = rareValue
		}
		one("rare", f, rare[f])
	}
	together := func(none bool, q index.Query, fields ...index.Field) {
		names := make([]string, len(fields))
		for n, f := range fields {
			names[n] = string(f)
			q.Terms = append(q.Terms, index.Term{Field: f, Value: common[f]})
		}
		all = append(all, sought{"together", strings.Join(names, "+"), q, none})
	}
	together(false, index.Query{}, index.FieldPrincipal, index.FieldClient)
	together(false, index.Query{}, index.FieldSubject, index.FieldOutcome, index.FieldSource)
	together(true, index.Query{}, index.FieldReason, index.FieldRule) // both are common, and never together
	together(true, index.Query{}, index.FieldReason, index.FieldOutcome)
	together(true, index.Query{}, index.FieldAction, index.FieldClient)
	middle := a.began.Add(time.Duration(a.made) * stretchEvents * spacing / 2)
	together(false, index.Query{From: middle, To: middle.Add(time.Hour)}, index.FieldPrincipal, index.FieldOutcome)
	all = append(all, sought{class: "together", name: "time alone", q: index.Query{To: middle}}, sought{class: "together", name: "nothing"})
	slices.SortFunc(all, func(a, b sought) int { return strings.Compare(a.class+a.name, b.class+b.name) })
	return all
}

// searching measures the first pages.
func (b *bench) searching(ctx context.Context, s shelf, a *archive, events int) error {
	all := searches(a)
	cold := make([]time.Duration, len(all))
	for n := range all {
		var err error
		if cold[n], err = coldSearch(ctx, s, &all[n]); err != nil {
			return fmt.Errorf("%s, %s %s: %w", s.name(), all[n].class, all[n].name, err)
		}
	}
	live, err := b.liveSearches(ctx, s, a, all)
	if err != nil {
		return fmt.Errorf("%s, while events come: %w", s.name(), err)
	}
	for _, when := range []struct {
		name string
		took []time.Duration
	}{{"cold", cold}, {"while 2000/s come", live}} {
		for _, class := range []string{"rare", "common", "absent", "together"} {
			b.table.add(slowest(fmt.Sprintf("search %.3g million, %s, %s, %s", float64(events)/1e6, s.name(), when.name, class), class, all, when.took))
		}
	}
	return nil
}

func slowest(what, class string, all []sought, took []time.Duration) row {
	var of []int
	for n := range all {
		if all[n].class == class {
			of = append(of, n)
		}
	}
	slices.SortFunc(of, func(a, b int) int { return int(took[a] - took[b]) })
	last, middle := of[len(of)-1], of[len(of)/2]
	return row{
		what: what, measured: milliseconds(took[last]) + " (" + all[last].name + ")", against: "median " + milliseconds(took[middle]),
		budget: "<= 200 ms", verdict: verdict(took[last] <= firstPage),
	}
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

// coldSearch is the first that is asked after a start.
func coldSearch(ctx context.Context, s shelf, q *sought) (time.Duration, error) {
	if err := s.chill(); err != nil {
		return 0, err
	}
	i, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = i.Close() }()
	return q.ask(ctx, i)
}

// ask asks for the first page: by one field, for the first that has an event, or says that there is none.
func (q *sought) ask(ctx context.Context, i *index.Index) (time.Duration, error) {
	asked := q.q
	asked.PageSize = 50
	began := time.Now()
	for {
		page, err := i.Search(ctx, asked)
		took := time.Since(began)
		if err != nil {
			return 0, err
		}
		got := len(page.Events)
		if asked.Page = page.Next; got == 0 && page.Next != "" && len(asked.Terms) == 1 {
			continue // it ended early
		}
		if q.none && got > 0 || got == 0 && !q.none && page.Next == "" {
			return 0, void("it found %d events", got)
		}
		return took, nil
	}
}

// liveSearches asks each search three times, and takes the one in the middle, while 2,000 events come each second.
func (b *bench) liveSearches(ctx context.Context, s shelf, a *archive, all []sought) ([]time.Duration, error) {
	i, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = i.Close() }()
	more, err := a.stretch(stretchEvents)
	if err != nil {
		return nil, err
	}
	feeding, stop := context.WithCancel(ctx)
	var fed sync.WaitGroup
	var fault error
	fed.Go(func() { fault = trickle(feeding, i, more) })
	took := make([]time.Duration, len(all))
	for n := range all {
		var three [3]time.Duration
		for r := range three {
			if three[r], err = all[n].ask(ctx, i); err != nil {
				stop()
				fed.Wait()
				return nil, fmt.Errorf("%s %s: %w", all[n].class, all[n].name, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		slices.Sort(three[:])
		took[n] = three[1]
	}
	stop()
	fed.Wait()
	return took, fault
}

// trickle brings in 400 events five times a second.
func trickle(ctx context.Context, i *index.Index, all index.Batch) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for len(all.Entries) > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		some := index.Batch{Origin: all.Origin, Entries: all.Entries[:min(400, len(all.Entries))]}
		if _, err := i.Add(context.WithoutCancel(ctx), some); err != nil {
			return err
		}
		all.Entries = all.Entries[len(some.Entries):]
	}
	return nil
}
