package index

import (
	"container/heap"
	"context"
	"database/sql"
	"fmt"
	"time"
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
	return &search{reader: reader{tx: tx}, q: q, terms: q.terms(), budget: i.c.SearchRows, now: i.c.Now, began: i.c.Now()}
}

// search is the making of one page.
type search struct {
	reader
	q     *Query
	terms []Term
	// rows counts what was looked at, and budget is how much that may be.
	rows, budget int
	now          func() time.Time
	began        time.Time
	sources      sources
}

// pageTime is how long a page is made before it ends early: what is cold on the disk costs many times what is not.
const pageTime = 100 * time.Millisecond

// tired reports whether enough was looked at for one page.
func (s *search) tired() bool { return s.rows >= s.budget || s.now().Sub(s.began) >= pageTime }

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
		case newest.high.compare(high) < 0 && s.tired(): // each page goes down by something
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
	found, err := i.first(ctx, Query{ID: id}, 1)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ErrNotFound
	}
	return &found[0], nil
}

// first returns the n newest events that q asks for, however many pages that takes.
func (i *Index) first(ctx context.Context, q Query, n int) (found []Event, err error) {
	for {
		q.PageSize = min(n-len(found), MaxPage)
		page, err := i.Search(ctx, q)
		if err != nil {
			return nil, err
		}
		found = append(found, page.Events...)
		if q.Page = page.Next; q.Page == "" || len(found) == n {
			return found, nil
		}
	}
}
