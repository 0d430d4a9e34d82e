package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lakegate/sts/audit"
)

// Reindex makes the index anew: all partitions are written again, of the events as this program reads them. What the logs
// in the directories have is dropped and is to be fed again ([Feeder.CatchUp]); what only the index has, of logs whose
// disk is gone and of segments past their retention there, is kept. Until it is fed, what was dropped is not found. A
// Reindex that was cut off is gone on with by whoever adds records next.
func (i *Index) Reindex(ctx context.Context, directories ...string) error {
	d, err := i.open(ctx)
	if err != nil {
		return err
	}
	again := map[string]extent{}
	for _, directory := range directories {
		if err := survey(directory, again); err != nil {
			return fmt.Errorf("making the audit index anew: %w", err)
		}
	}
	err = d.change(ctx, func(tx *sql.Tx) error { return i.beginReindex(ctx, tx, again) })
	if err != nil {
		return fmt.Errorf("making the audit index anew: %w", d.explain(err))
	}
	return i.finishReindex(ctx, d)
}

// extent is which records of a log a directory has: [first, end).
type extent struct{ first, end uint64 }

func survey(directory string, into map[string]extent) error {
	logs, err := audit.Logs(directory)
	if err != nil {
		return err
	}
	for _, l := range logs {
		var e extent
		if e.first, e.end, err = audit.Extent(directory, l.Origin); err != nil {
			return err
		}
		into[l.Origin] = e
	}
	return nil
}

// beginReindex makes all partitions stale, and puts the logs that can be fed again back to where their files begin.
func (i *Index) beginReindex(ctx context.Context, tx *sql.Tx, again map[string]extent) error {
	for _, statement := range []string{"UPDATE audit_partitions SET stale = 1", "DELETE FROM audit_hours"} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	all, err := origins(ctx, tx)
	if err != nil {
		return err
	}
	for _, o := range all {
		e, here := again[o.name]
		switch {
		case !here || o.next <= e.first:
			continue
		case o.next > e.end:
			i.c.Log.Warn("a log is shorter than what the audit index has of it, which is kept", "origin", o.name, "records", e.end, "index", o.next)
			continue
		}
		o.next = e.first
		if err := o.save(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// errStale says that partitions are being made anew.
var errStale = errors.New("the audit index is being made anew")

// checkStale returns it while there are any.
func checkStale(ctx context.Context, tx *sql.Tx) error {
	var stale int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM audit_partitions WHERE stale <> 0").Scan(&stale); err != nil {
		return err
	}
	if stale > 0 {
		return errStale
	}
	return nil
}

// movedAtOnce is how many events one transaction moves.
const movedAtOnce = 2000

// finishReindex moves what is kept of the stale partitions, the oldest first, and drops them: what lies before the next
// record of its log. Logs grow only when that is done.
func (i *Index) finishReindex(ctx context.Context, d *database) error {
	for {
		parts, err := partitions(ctx, d.read)
		if err != nil {
			return fmt.Errorf("making the audit index anew: %w", err)
		}
		n := 0
		for n < len(parts) && !parts[n].stale {
			n++
		}
		if n == len(parts) {
			return nil
		}
		for done := false; !done; {
			if done, err = i.move(ctx, d, parts[n]); err != nil {
				return fmt.Errorf("making the audit index anew: %w", d.explain(err))
			}
		}
	}
}

// move moves some events of a stale partition, or drops it if none is left.
func (i *Index) move(ctx context.Context, d *database, p partition) (done bool, err error) {
	logs, err := kept(ctx, d, p.n)
	if isGone(err) {
		return true, nil // somebody else was faster
	}
	if err != nil {
		return false, err
	}
	records := map[int64][]prepared{} // by log
	for o, entries := range logs {
		if records[o.n], err = i.prepare(ctx, d, o.name, entries); err != nil {
			return false, err
		}
	}
	err = d.changeBy(ctx, func(conn *sql.Conn, tx *sql.Tx) error {
		parts, err := partitions(ctx, tx)
		if err != nil {
			return err
		}
		for _, q := range parts {
			if q.n == p.n && q.stale {
				done = len(records) == 0
				return i.moveIn(ctx, &inserter{d, conn, tx, true}, &q, records)
			}
		}
		done = true
		return nil
	})
	return done, err
}

func (i *Index) moveIn(ctx context.Context, in *inserter, from *partition, records map[int64][]prepared) error {
	if len(records) == 0 {
		return from.drop(ctx, in.tx)
	}
	for origin, list := range records {
		left := list[:0]
		for _, r := range list {
			result, err := in.tx.ExecContext(ctx, "DELETE FROM "+eventsTable(from.n)+" WHERE origin = $1 AND place = $2", origin, int64(r.place)) //nolint:gosec // no log has that many records
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil || n > 0 { // else somebody else has moved it
				left = append(left, r)
			}
		}
		if err := in.insert(ctx, origin, left, i.c.PartitionEvents); err != nil {
			return err
		}
	}
	return nil
}

// kept reads some of the events of a partition that are to be kept, the oldest first, by their logs.
func kept(ctx context.Context, d *database, partition int64) (map[*origin][]audit.Entry, error) {
	all, err := origins(ctx, d.read)
	if err != nil {
		return nil, err
	}
	byNumber := map[int64]*origin{}
	for _, o := range all {
		byNumber[o.n] = o
	}
	rows, err := d.read.QueryContext(ctx, "SELECT e.id, e.origin, e.place, e.record FROM "+eventsTable(partition)+" e JOIN audit_origins o ON o.n = e.origin "+ //nolint:gosec // a table of ours
		"WHERE e.place < o.next ORDER BY e.id LIMIT $1", movedAtOnce)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	list := map[*origin][]audit.Entry{}
	for rows.Next() {
		var n int64
		var e audit.Entry
		var name, line []byte
		if err := rows.Scan(&name, &n, &e.Index, &line); err != nil {
			return nil, err
		}
		at, err := toID(name)
		if err != nil {
			return nil, err
		}
		e.Record = decode(at, line)
		list[byNumber[n]] = append(list[byNumber[n]], e)
	}
	return list, rows.Err()
}
