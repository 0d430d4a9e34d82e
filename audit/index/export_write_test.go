package index

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/lakegate/sts/audit"
)

// Partitions counts what is in the tables of each partition, the oldest first.
func (i *Index) Partitions(ctx context.Context) (events []int64, err error) {
	d, err := i.open(ctx)
	if err != nil {
		return nil, err
	}
	parts, err := partitions(ctx, d.read)
	for _, p := range parts {
		var n int64
		if err := d.read.QueryRowContext(ctx, "SELECT count(*) FROM "+eventsTable(p.n)).Scan(&n); err != nil {
			return nil, err
		}
		if n != p.events {
			return nil, fmt.Errorf("partition %d has %d events and says %d", p.n, n, p.events)
		}
		events = append(events, n)
	}
	return events, err
}

// Change runs a statement.
func (i *Index) Change(ctx context.Context, statement string, args ...any) error {
	d, err := i.open(ctx)
	if err != nil {
		return err
	}
	_, err = d.write.ExecContext(ctx, statement, args...)
	return err
}

// Count returns what a statement counts.
func (i *Index) Count(ctx context.Context, statement string, args ...any) (n int64, err error) {
	d, err := i.open(ctx)
	if err != nil {
		return 0, err
	}
	return n, d.read.QueryRowContext(ctx, statement, args...).Scan(&n)
}

// CountChanging is Count by who changes something.
func (i *Index) CountChanging(ctx context.Context, statement string) (n int64, err error) {
	d, err := i.open(ctx)
	if err != nil {
		return 0, err
	}
	return n, d.change(ctx, func(tx *sql.Tx) error { return tx.QueryRowContext(ctx, statement).Scan(&n) })
}

// BeginReindex is what a Reindex that is killed early leaves.
func (i *Index) BeginReindex(ctx context.Context, directory string) error {
	d, err := i.open(ctx)
	if err != nil {
		return err
	}
	again := map[string]extent{}
	if err := survey(directory, again); err != nil {
		return err
	}
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := i.beginReindex(ctx, tx, again); err != nil {
		return err
	}
	return tx.Commit()
}

// Tree is a tree of tiles in memory.
type Tree struct{ *tree }

// NewTree makes one that begins behind base records.
func NewTree(base uint64, before []audit.Hash) (Tree, error) {
	t, err := newTree(base, before, func(tile) ([]byte, error) { return nil, nil })
	return Tree{t}, err
}

// Put takes in the hash of a record.
func (t Tree) Put(at uint64, leaf audit.Hash) error {
	_, err := t.put(at, leaf, 0)
	return err
}

// Root is that of the tree of size records.
func (t Tree) Root(size uint64) (audit.Hash, error) { return t.root(size) }

// Inclusion proves the record at a place.
func (t Tree) Inclusion(at, size uint64) ([]audit.Hash, error) { return t.inclusion(at, size) }
