package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sort"

	"github.com/lakegate/sts/audit"
)

// Batch is some records of one log, in order and without a gap.
type Batch struct {
	Origin string
	// Entries are the records, each with its place, its leaf and its line. One whose line is no record has an id of "".
	Entries []audit.Entry
	// Checkpoint is the log's newest, or empty; it may be of more than these records, which are then to follow.
	Checkpoint audit.Checkpoint
	// Before are the hashes that stand for what lies before the first of them. They are needed where that is not in the index
	// and won't come any more, since it is past its retention.
	Before []audit.Hash
}

// Added is what became of a batch.
type Added struct {
	// Next is the place of the first record of the log that is not in the index yet.
	Next uint64
	// Events counts what was new.
	Events int
	// Contradicted says that the records are not those that a checkpoint is of: somebody has changed them, here or there.
	Contradicted bool
}

// GapError is of a batch before which records are missing.
type GapError struct {
	// Next is the place of the first of them.
	Next uint64
}

func (e *GapError) Error() string {
	return fmt.Sprintf("records are missing in the audit index from record %d on", e.Next)
}

// Add takes records in, all or none. What is in already is passed over, so that whoever doesn't know whether a batch got in
// brings it again.
func (i *Index) Add(ctx context.Context, b Batch) (Added, error) {
	d, err := i.open(ctx)
	if err != nil {
		return Added{}, err
	}
	records, err := i.prepare(ctx, d, b.Origin, b.Entries)
	if err != nil {
		return Added{}, fmt.Errorf("reading the audit index: %w", err)
	}
	var added Added
	do := func(careful bool) error {
		return d.changeBy(ctx, func(conn *sql.Conn, tx *sql.Tx) (err error) {
			if err := checkStale(ctx, tx); err != nil {
				return err
			}
			added, err = i.add(ctx, &inserter{d, conn, tx, careful}, &b, records)
			return err
		})
	}
	err = do(false)
	if errors.Is(err, errStale) {
		if err := i.finishReindex(ctx, d); err != nil {
			return Added{}, err
		}
		err = do(false)
	}
	if hasState(err, "23505") { // two records of one id, which somebody has copied
		err = do(true)
	}
	if err != nil {
		return Added{}, fmt.Errorf("writing the audit index: %w", d.explain(err))
	}
	return added, nil
}

// add is Add within the transaction, which nobody else writes beside.
func (i *Index) add(ctx context.Context, in *inserter, b *Batch, records []prepared) (added Added, err error) {
	o, err := originBy(ctx, in.tx, b.Origin)
	if err == nil && o == nil {
		o, err = register(ctx, in.tx, b.Origin)
	}
	if err != nil {
		return added, err
	}
	if len(b.Entries) > 0 && b.Entries[0].Index > o.next {
		if b.Before == nil {
			return added, &GapError{o.next}
		}
		o.next, o.base, o.before = b.Entries[0].Index, b.Entries[0].Index, b.Before
	}
	t, err := o.tree(ctx, in.tx)
	if err != nil {
		return added, err
	}
	begin := o.next
	for n := range b.Entries {
		if b.Entries[n].Index != o.next {
			continue // in already
		}
		kept, err := t.put(o.next, b.Entries[n].Leaf, o.checkpoint.Size)
		if err != nil {
			return added, err
		}
		added.Contradicted = added.Contradicted || kept
		o.next++
	}
	records = records[sort.Search(len(records), func(n int) bool { return records[n].place >= begin }):]
	added.Events = len(records)
	if err := in.insert(ctx, o.n, records, i.c.PartitionEvents); err != nil {
		return added, err
	}
	if c := b.Checkpoint; c.Note != "" && c.Size <= o.next && (c.Size > o.checkpoint.Size || o.checkpoint.Note == "") {
		root, err := t.root(c.Size)
		if err != nil {
			return added, err
		}
		if root == c.Root {
			o.checkpoint = c
		} else {
			added.Contradicted = true
		}
	}
	added.Next = o.next
	if err := t.save(ctx, in.tx, o.n); err != nil {
		return added, err
	}
	return added, o.save(ctx, in.tx)
}
