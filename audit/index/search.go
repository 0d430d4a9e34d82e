package index

import (
	"container/heap"
	"context"
	"database/sql"
	"fmt"
)

// Search implements [Reading]: a merge of the partitions, which overlap in time where a replica lagged, from the greatest
// id down.
func (i *Index) Search(ctx context.Context, q Query) (page Page, err error) {
	if q.PageSize < 1 || q.PageSize > MaxPage {
		return page, fmt.Errorf("a page has 1 to %d events, not %d", MaxPage, q.PageSize)
	}
	below, err := q.below()
	if err != nil {
		return page, err
	}
	err = i.look(ctx, func(tx *sql.Tx) (err error) {
		page, err = i.search(tx, &q).page(ctx, below)
		return err
	})
	if err != nil {
		return Page{}, fmt.Errorf("searching the audit index: %w", err)
	}
	return page, nil
}

func (i *Index) search(tx queryer, q *Query) *search {
	return &search{reader: reader{tx: tx}, q: q, terms: q.terms(), budget: i.c.SearchRows}
}

// search is the making of one page.
type search struct {
	reader
	q     *Query
	terms []Term
	// rows counts what was looked at, and budget is how much that may be.
	rows, budget int
	sources      sources
}

func (s *search) page(ctx context.Context, below id) (Page, error) {
	low, high, ok := s.q.wanted(below)
	if !ok {
		return Page{}, nil
	}
	if err := s.open(ctx, low, high); err != nil {
		return Page{}, err
	}
	var page Page
	var last hit
	for len(s.sources) > 0 {
		newest := s.sources[0]
		switch {
		case len(newest.hits) > 0:
			found := newest.hits[0]
			newest.hits = newest.hits[1:]
			switch {
			case len(page.Events) > 0 && found.id == last.id && found.Origin == last.Origin && found.Place == last.Place:
				// It is in a partition that is made anew, and in the new one.
			case len(page.Events) == s.q.PageSize:
				page.Next = s.q.cursor(last.id) // there is one more
				return page, nil
			default:
				page.Events, last = append(page.Events, found.Event), found
			}
		case newest.low.compare(newest.high) >= 0:
			heap.Pop(&s.sources)
			continue
		case s.rows >= s.budget && newest.high.compare(high) < 0: // each page goes down by something
			page.Next = s.q.cursor(newest.high) // all that is not below it has been looked at
			return page, nil
		default:
			if err := s.fetch(ctx, newest, s.share(newest, s.q.PageSize+1-len(page.Events))); err != nil {
				return Page{}, err
			}
		}
		heap.Fix(&s.sources, 0)
	}
	return page, nil
}

// share is how many hits of newest to read where so many are wanted: fewer if other partitions will give some of them.
func (s *search) share(newest *source, wanted int) int {
	overlapping := 0
	for _, p := range s.sources {
		if p.high.compare(newest.low) > 0 {
			overlapping++ // itself, too
		}
	}
	return min(wanted, wanted/overlapping+leastShare)
}

// wanted is where q's events may be: [low, high). ok is false if nowhere.
func (q *Query) wanted(below id) (low, high id, ok bool) {
	low, high = q.span()
	if q.ID != "" {
		one, ok := parseID(q.ID)
		if !ok || one.compare(low) < 0 || one.compare(high) >= 0 {
			return low, high, false
		}
		low, high = one, one.next()
	}
	if below.compare(high) < 0 {
		high = below
	}
	return low, high, low.compare(high) < 0
}

// open finds the partitions between two ids. Those that are being made anew are among them, until they are dropped.
func (s *search) open(ctx context.Context, low, high id) error {
	all, err := partitions(ctx, s.tx)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.events > 0 && p.least.compare(high) < 0 && p.greatest.compare(low) >= 0 {
			heap.Push(&s.sources, &source{
				n: p.n, low: greater(low, p.least), high: lesser(high, p.greatest.next()), step: firstStep, left: unknown,
			})
		}
	}
	return nil
}

// Find implements [Reading].
func (i *Index) Find(ctx context.Context, id string) (*Event, error) {
	if _, ok := parseID(id); !ok {
		return nil, ErrNotFound
	}
	page, err := i.Search(ctx, Query{ID: id, PageSize: 1})
	if err != nil {
		return nil, err
	}
	if len(page.Events) == 0 {
		return nil, ErrNotFound
	}
	return &page.Events[0], nil
}
