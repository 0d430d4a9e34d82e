package index

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
)

const (
	// pollEvery is how often a tail asks how far the logs have come.
	pollEvery = 200 * time.Millisecond
	// tailAtOnce is how many events of a log are read at once, and so held for a reader who is slow: few, since a record with
	// all groups of a large token is large.
	tailAtOnce = 50
)

// Tail implements [Reading]. It goes along the logs by the places of their records, not by time: so a log that comes late
// loses nothing, whatever the others did meanwhile.
func (i *Index) Tail(ctx context.Context, q Query, cursor string) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		if err := i.tail(ctx, &q, cursor, yield); err != nil {
			yield(Step{}, err)
		}
	}
}

func (i *Index) tail(ctx context.Context, q *Query, cursor string, yield func(Step, error) bool) error {
	t := &tailer{i: i, since: map[string]int64{}}
	var err error
	if cursor == "" {
		t.at, err = i.positions(ctx)
	} else {
		t.at, err = parsePositions(cursor)
	}
	if err != nil {
		return err
	}
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		for {
			found, err := t.next(ctx)
			if err != nil {
				return fmt.Errorf("following the audit index: %w", err)
			}
			if found == nil {
				break
			}
			for n := range found.events {
				e := &found.events[n].Event
				t.at[nameOf(e.Origin)] = e.Place + 1
				if Matches(e, q) && !yield(Step{e, t.at.String()}, nil) {
					return nil
				}
			}
			t.at[nameOf(found.origin)] = found.next
			// Who resumes far behind, with a filter that little passes, sees that he gets on.
			if !yield(Step{Cursor: t.at.String()}, nil) {
				return nil
			}
		}
		if !yield(Step{Cursor: t.at.String()}, nil) {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// positions are where the logs end now.
func (i *Index) positions(ctx context.Context) (positions, error) {
	at := positions{}
	err := i.look(ctx, func(tx *sql.Tx) error {
		clear(at)
		all, err := origins(ctx, tx)
		for _, o := range all {
			at[nameOf(o.name)] = o.next
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the audit index: %w", err)
	}
	return at, nil
}

// tailer is one tail.
type tailer struct {
	i *Index
	// at is the next place that is wanted of each log. One that is not there yet is new, and wanted from its beginning.
	at positions
	// since is the partition in which the next event of a log is looked for first.
	since map[string]int64
}

// stretch is what comes next in a log: the events up to next.
type stretch struct {
	origin string
	events []hit
	next   uint64
}

// next returns the next stretch of a log that has come further, nil if none has.
func (t *tailer) next(ctx context.Context) (found *stretch, err error) {
	err = t.i.look(ctx, func(tx *sql.Tx) error {
		found = nil
		all, err := origins(ctx, tx)
		if err != nil {
			return err
		}
		for _, o := range all {
			if from := t.at[nameOf(o.name)]; from < o.next {
				switch err := checkStale(ctx, tx); {
				case errors.Is(err, errStale): // until it is made anew, a log's events stand in no order, and some nowhere
					return nil
				case err != nil:
					return err
				}
				found, err = t.read(ctx, tx, o, from)
				return err
			}
		}
		return nil
	})
	return found, err
}

// read reads what comes next in o. Most times that is in one partition, without a gap. Else it may be in any: a log that
// was moved, when the index was made anew, is there in the order of its ids.
func (t *tailer) read(ctx context.Context, tx queryer, o *origin, from uint64) (*stretch, error) {
	r := reader{tx: tx}
	all, err := partitions(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if p.n != t.since[o.name] {
			continue
		}
		found, err := r.along(ctx, p.n, o.n, from, o.next)
		if err != nil {
			return nil, err
		}
		if n := len(found); n > 0 && found[n-1].Place+1 == from+uint64(n) {
			return &stretch{o.name, found, from + uint64(n)}, nil
		}
	}
	s := &stretch{origin: o.name, next: o.next}
	for _, p := range all {
		found, err := r.along(ctx, p.n, o.n, from, s.next)
		if err != nil {
			return nil, err
		}
		if len(found) > 0 && len(s.events) == 0 {
			t.since[o.name] = p.n
		}
		if n := len(found); n == tailAtOnce { // it may have more, behind which nothing is given yet
			s.next = found[n-1].Place + 1
		}
		s.events = append(s.events, found...)
	}
	slices.SortFunc(s.events, func(a, b hit) int { return cmp.Compare(a.Place, b.Place) })
	s.events = slices.DeleteFunc(s.events, func(h hit) bool { return h.Place >= s.next })
	return s, nil
}

// along reads some events of a log in a partition, of the places [from, to), in order.
func (r *reader) along(ctx context.Context, partition, origin int64, from, to uint64) ([]hit, error) {
	return r.read(ctx, "SELECT "+eventColumns+" FROM "+eventsTable(partition)+" e WHERE e.origin = $1 AND e.place >= $2 AND e.place < $3 ORDER BY e.place LIMIT $4",
		origin, int64(from), int64(to), tailAtOnce) //nolint:gosec // no log has that many records
}
