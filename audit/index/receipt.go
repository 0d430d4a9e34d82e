package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lakegate/sts/audit"
)

// Receipt makes the receipt of an event, out of the tiles of its log and its newest checkpoint; so it can also be made of a
// log whose disk is gone. It has been verified, but for the checkpoint's signature. ErrNotFound where there is no such event;
// ErrUncovered where no checkpoint covers it yet.
func (i *Index) Receipt(ctx context.Context, eventID string) (*audit.Receipt, error) {
	var r *audit.Receipt
	err := i.look(ctx, func(tx *sql.Tx) (err error) {
		r, err = receipt(ctx, tx, eventID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making a receipt: %w", err)
	}
	return r, nil
}

func receipt(ctx context.Context, tx *sql.Tx, eventID string) (*audit.Receipt, error) {
	r := new(audit.Receipt)
	o, err := locate(ctx, tx, eventID, r)
	if err != nil {
		return nil, err
	}
	r.Checkpoint = o.checkpoint
	if r.Checkpoint.Note == "" || r.Checkpoint.Size <= r.Index {
		return nil, ErrUncovered
	}
	t, err := o.tree(ctx, tx)
	if err != nil {
		return nil, err
	}
	if r.Proof, err = t.inclusion(r.Index, r.Checkpoint.Size); err != nil {
		return nil, err
	}
	return r, r.Verify()
}

// locate finds an event's line and place, and its log.
func locate(ctx context.Context, tx *sql.Tx, eventID string, r *audit.Receipt) (*origin, error) {
	wanted, ok := parseID(eventID)
	if !ok {
		return nil, ErrNotFound
	}
	parts, err := partitions(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if !p.covers(wanted) {
			continue
		}
		var log string
		err := tx.QueryRowContext(ctx, "SELECT o.name, e.place, e.record FROM "+eventsTable(p.n)+" e JOIN audit_origins o ON o.n = e.origin WHERE e.id = $1 LIMIT 1",
			wanted[:]).Scan(&log, &r.Index, &r.Line)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			continue
		case err != nil:
			return nil, err
		}
		return originBy(ctx, tx, log)
	}
	return nil, ErrNotFound
}

// Checkpoints are the newest of all logs that are in the index and have one, sorted by origin. Each covers only what is in
// the index, too.
func (i *Index) Checkpoints(ctx context.Context) ([]audit.Checkpoint, error) {
	d, err := i.open(ctx)
	if err != nil {
		return nil, err
	}
	all, err := origins(ctx, d.read)
	if err != nil {
		return nil, fmt.Errorf("reading the audit index: %w", err)
	}
	var list []audit.Checkpoint
	for _, o := range all {
		if o.checkpoint.Note != "" {
			list = append(list, o.checkpoint)
		}
	}
	return list, nil
}

// Next is the place of the first record of a log that is not in the index yet, 0 for a log that is not known.
func (i *Index) Next(ctx context.Context, log string) (uint64, error) {
	d, err := i.open(ctx)
	if err != nil {
		return 0, err
	}
	o, err := originBy(ctx, d.read, log)
	if err != nil {
		return 0, fmt.Errorf("reading the audit index: %w", err)
	}
	if o == nil {
		return 0, nil
	}
	return o.next, nil
}
