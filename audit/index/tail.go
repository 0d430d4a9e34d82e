package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
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
	// since is the partition in which the last event of a log was: the next is in none before it.
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

func (t *tailer) read(ctx context.Context, tx queryer, o *origin, from uint64) (*stretch, error) {
	all, err := partitions(ctx, tx)
	if err != nil {
		return nil, err
	}
	found, r := &stretch{origin: o.name, next: o.next}, reader{tx: tx}
	for _, p := range all {
		if p.n < t.since[o.name] {
			continue
		}
		found.events, err = r.read(ctx, "SELECT "+eventColumns+" FROM "+eventsTable(p.n)+" e "+
			"WHERE e.origin = $1 AND e.place >= $2 AND e.place < $3 ORDER BY e.place LIMIT $4", o.n, int64(from), int64(o.next), tailAtOnce) //nolint:gosec // no log has that many records
		if err != nil {
			return nil, err
		}
		if n := len(found.events); n > 0 {
			t.since[o.name] = p.n
			// What follows, in this partition or a later one, is read next.
			found.next = found.events[n-1].Place + 1
			break
		}
	}
	return found, nil
}
