package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// partition is a pair of tables, of events and of their terms: small enough that its indexes stay in memory while it
// grows, and dropped as a whole. Partitions overlap in time where one log is fed later than another.
type partition struct {
	n, events       int64
	least, greatest id
	// stale says that its events are being made anew ([Index.Reindex]).
	stale bool
}

// partitions are all there are, the oldest first.
func partitions(ctx context.Context, q queryer) ([]partition, error) {
	rows, err := q.QueryContext(ctx, "SELECT n, events, least, greatest, stale FROM audit_partitions ORDER BY n")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []partition
	for rows.Next() {
		var p partition
		var least, greatest []byte
		var stale int64
		if err := rows.Scan(&p.n, &p.events, &least, &greatest, &stale); err != nil {
			return nil, err
		}
		copy(p.least[:], least)
		copy(p.greatest[:], greatest)
		p.stale = stale != 0
		all = append(all, p)
	}
	return all, rows.Err()
}

// covers reports whether an event of p may have the id i.
func (p *partition) covers(i id) bool {
	return p.events > 0 && p.least.compare(i) <= 0 && i.compare(p.greatest) <= 0
}

// growing is the partition that new events go into: the newest, unless it is full or being made anew; then it is made.
func (d *database) growing(ctx context.Context, tx *sql.Tx, limit int64) (*partition, error) {
	p := partition{least: greatestID}
	var least, greatest []byte
	var stale int64
	err := tx.QueryRowContext(ctx, "SELECT n, events, least, greatest, stale FROM audit_partitions ORDER BY n DESC LIMIT 1").Scan(&p.n, &p.events, &least, &greatest, &stale)
	switch {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return nil, err
	case err == nil && stale == 0 && p.events < limit:
		copy(p.least[:], least)
		copy(p.greatest[:], greatest)
		return &p, nil
	}
	p = partition{n: p.n + 1, least: greatestID}
	for _, statement := range partitionTables {
		if _, err := tx.ExecContext(ctx, d.definition(statement, p.n)); err != nil {
			return nil, fmt.Errorf("making a partition: %w", d.explain(err))
		}
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO audit_partitions (n, events, least, greatest, stale) VALUES ($1, 0, $2, $3, 0)", p.n, p.least[:], p.greatest[:])
	return &p, err
}

// save writes how p has grown.
func (p *partition) save(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "UPDATE audit_partitions SET events = $1, least = $2, greatest = $3 WHERE n = $4", p.events, p.least[:], p.greatest[:], p.n)
	return err
}

// drop removes p and all that is in it.
func (p *partition) drop(ctx context.Context, tx *sql.Tx) error {
	for _, statement := range []string{"DROP TABLE " + termsTable(p.n), "DROP TABLE " + eventsTable(p.n)} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM audit_partitions WHERE n = $1", p.n)
	return err
}
