package index

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// longer is how much longer than their retention events are kept: a repeat must not outlive the exchange that it is of,
// which is in the same segment or the one before, and clocks differ.
const longer = 49 * time.Hour

// Sweep drops the partitions whose newest event is past its retention, and of the logs' trees what no receipt of a kept
// event needs. The newest partition stays. It returns how many events that were.
func (i *Index) Sweep(ctx context.Context) (events int64, err error) {
	d, err := i.open(ctx)
	if err != nil {
		return 0, err
	}
	deadline := idAt(i.c.Now().Add(-i.c.Retention - longer))
	parts, err := partitions(ctx, d.read)
	if err != nil {
		return 0, fmt.Errorf("reading the audit index: %w", err)
	}
	for _, p := range past(parts, deadline) {
		// One transaction each, so that who feeds the index waits for none of them long.
		err := d.change(ctx, func(tx *sql.Tx) error {
			now, err := partitions(ctx, tx)
			if err != nil {
				return err
			}
			for _, q := range past(now, deadline) {
				if q.n == p.n { // no other replica was faster
					events += q.events
					return q.drop(ctx, tx)
				}
			}
			return nil
		})
		if err != nil {
			return events, fmt.Errorf("dropping a partition of the audit index: %w", err)
		}
	}
	if events == 0 {
		return 0, nil
	}
	if err := d.change(ctx, func(tx *sql.Tx) error { return trim(ctx, tx, deadline) }); err != nil {
		return events, fmt.Errorf("trimming the audit index: %w", err)
	}
	return events, nil
}

// past are the partitions all of whose events are older than deadline.
func past(parts []partition, deadline id) (old []partition) {
	for n, p := range parts {
		if n < len(parts)-1 && !p.stale && p.greatest.compare(deadline) < 0 {
			old = append(old, p)
		}
	}
	return old
}

// trim drops what was counted by hours before deadline, and the tiles that only records before the first kept one of
// their log need: of each level those that end before it.
func trim(ctx context.Context, tx *sql.Tx, deadline id) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM audit_hours WHERE hour < $1", deadline.milliseconds()/hourMilliseconds); err != nil {
		return err
	}
	all, err := origins(ctx, tx)
	if err != nil {
		return err
	}
	parts, err := partitions(ctx, tx)
	if err != nil {
		return err
	}
	for _, o := range all {
		first := o.next
		for _, p := range parts {
			var place sql.NullInt64
			if err := tx.QueryRowContext(ctx, "SELECT min(place) FROM "+eventsTable(p.n)+" WHERE origin = $1", o.n).Scan(&place); err != nil {
				return err
			}
			if place.Valid {
				first = min(first, uint64(place.Int64)) //nolint:gosec // not below 0
			}
		}
		for level := 0; first >= tileWidth; level++ {
			first /= tileWidth
			if _, err := tx.ExecContext(ctx, "DELETE FROM audit_tiles WHERE origin = $1 AND level = $2 AND n < $3", o.n, level, int64(first)); err != nil { //nolint:gosec // small
				return err
			}
		}
	}
	return nil
}
