package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lakegate/sts/audit"
)

// origin is a log as the index has it.
type origin struct {
	n    int64
	name string
	// next is the place of the first record that is not here yet.
	next uint64
	// checkpoint is the newest one that next has reached and the tree bears out; its note is "" where there is none.
	checkpoint audit.Checkpoint
	// base is where the log began for us; before are the hashes that stand for the records before it.
	base   uint64
	before []audit.Hash
}

const originColumns = "SELECT n, name, next, size, root, note, base, before FROM audit_origins"

// origins are all logs, by name.
func origins(ctx context.Context, q queryer) ([]*origin, error) {
	rows, err := q.QueryContext(ctx, originColumns+" ORDER BY name")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []*origin
	for rows.Next() {
		o, err := scanOrigin(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, rows.Err()
}

// originBy is one log, nil where there is none.
func originBy(ctx context.Context, q queryer, name string) (*origin, error) {
	o, err := scanOrigin(q.QueryRowContext(ctx, originColumns+" WHERE name = $1", name))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // as it says
	}
	return o, err
}

func scanOrigin(row interface{ Scan(into ...any) error }) (*origin, error) {
	o := new(origin)
	var root, before []byte
	if err := row.Scan(&o.n, &o.name, &o.next, &o.checkpoint.Size, &root, &o.checkpoint.Note, &o.base, &before); err != nil {
		return nil, err
	}
	o.checkpoint.Origin = o.name
	copy(o.checkpoint.Root[:], root)
	var err error
	if o.before, err = splitHashes(before); err != nil {
		return nil, fmt.Errorf("the log %s: %w", o.name, err)
	}
	return o, nil
}

// tree is the log's.
func (o *origin) tree(ctx context.Context, q queryer) (*tree, error) {
	return newTree(o.base, o.before, loader(ctx, q, o.n))
}

// register makes the row of a log.
func register(ctx context.Context, tx *sql.Tx, name string) (*origin, error) {
	o := &origin{name: name, checkpoint: audit.Checkpoint{Origin: name}}
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(n), 0) + 1 FROM audit_origins").Scan(&o.n); err != nil {
		return nil, err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO audit_origins (n, name, next, size, root, note, base, before) VALUES ($1, $2, 0, 0, $3, '', 0, $3)",
		o.n, name, []byte{})
	return o, err
}

// save writes what has changed.
func (o *origin) save(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "UPDATE audit_origins SET next = $1, size = $2, root = $3, note = $4, base = $5, before = $6 WHERE n = $7",
		int64(o.next), int64(o.checkpoint.Size), o.checkpoint.Root[:], o.checkpoint.Note, int64(o.base), joinHashes(o.before), o.n) //nolint:gosec // no log has that many records
	return err
}
