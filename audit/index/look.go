package index

import (
	"context"
	"database/sql"
	"fmt"
)

// planning makes PostgreSQL take the one plan that a search is written for: nested loops over indexes, in the order in
// which the tables are named, the driving term first. A planner that knows nothing of a new partition yet, or takes two
// terms that go together for independent, would rather scan it whole, or hash and sort what a LIMIT makes needless; and
// once a plan that it was told to avoid is priced prohibitively, JIT would compile it for longer than it runs.
const planning = `SET LOCAL join_collapse_limit = 1; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;
	SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_sort = off; SET LOCAL enable_material = off;
	SET LOCAL enable_memoize = off; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off`

// abortedTransaction is what PostgreSQL answers in one after an error, such as that of a missing table.
const abortedTransaction = "25P02"

// looks is how often a look is taken anew after a partition was dropped under it.
const looks = 3

// look lets f read what stands in the database at one moment. f may be called anew.
func (i *Index) look(ctx context.Context, f func(tx *sql.Tx) error) error {
	d, err := i.open(ctx)
	if err != nil {
		return err
	}
	for range looks {
		if err = d.look(ctx, f); !isGone(err) && !hasState(err, abortedTransaction) {
			break
		}
	}
	return err
}

func (d *database) look(ctx context.Context, f func(tx *sql.Tx) error) error {
	options := sql.TxOptions{ReadOnly: true}
	if !d.sqlite {
		options.Isolation = sql.LevelRepeatableRead // SQLite's is so by itself
	}
	tx, err := d.read.BeginTx(ctx, &options)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if !d.sqlite {
		if _, err := tx.ExecContext(ctx, planning); err != nil {
			return fmt.Errorf("fixing the plan: %w", err)
		}
	}
	return f(tx)
}

// each runs a statement and calls row with what scans the columns of each row.
func each(ctx context.Context, q queryer, statement string, args []any, row func(scan func(...any) error) error) error {
	rows, err := q.QueryContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
