package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
)

// Entry is a record in its place in a log.
type Entry struct {
	Record
	// Origin names the log, Index is the record's place in it, from 0, and Leaf its hash there.
	Origin string
	Index  uint64
	Leaf   Hash
	// Offset is where its line begins in File, in bytes.
	Offset int64
}

// Follow goes through the records [from, c.Size) of the log that c is of, which stands in directory: all of them on disk,
// and covered by c. It does not verify them: hashes and checkpoint are there for whoever will. A reader keeps, with what
// it made of the records, the place that is next, and comes back with it and a newer checkpoint.
//
// ErrDropped says that from is past its retention; [FirstKept] says where the log begins now.
func Follow(directory string, c Checkpoint, from uint64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := follow(directory, c, from, yield); err != nil {
			yield(Entry{}, fmt.Errorf("following the audit log: %w", err))
		}
	}
}

// ErrDropped is of a place in a log whose record is past its retention.
var ErrDropped = errors.New("the record is past its retention")

func follow(directory string, c Checkpoint, from uint64, yield func(Entry, error) bool) error {
	if from >= c.Size {
		return nil
	}
	replica, err := replicaOf(c.Origin)
	if err != nil {
		return err
	}
	log, err := openChain(directory, replica, c.Origin)
	if err != nil {
		return err
	}
	h := sha256.New()
	for i, p := range log.parts {
		end := c.Size
		if i+1 < len(log.parts) {
			end = min(end, p.size) // what stands behind it is not of the log
		}
		if from < p.first || from >= end {
			continue
		}
		if p.path == "" {
			return fmt.Errorf("record %d: %w", from, ErrDropped)
		}
		at, more := p.first, true
		_, err := scanLines(p.path, -1, func(l line) bool {
			if at >= from && at < end {
				e := Entry{Origin: c.Origin, Index: at, Offset: l.start}
				hashLeaf(h, l.text, &e.Leaf)
				var err error
				if e.Record, err = Decode(bytes.Clone(l.text)); err != nil {
					err = fmt.Errorf("%s:%d: %w", filepath.Base(p.path), at-p.first+1, err)
				}
				e.File, e.Line = p.path, int(at-p.first)+1 //nolint:gosec // lines of a file
				more = yield(e, err)
			}
			at++
			return more && at < end
		})
		if err != nil || !more {
			return err
		}
		if at < end {
			return fmt.Errorf("%s ends with record %d; %d are due", filepath.Base(p.path), at, end)
		}
		from = end
	}
	if from < c.Size {
		return fmt.Errorf("records %d to %d are not in %s", from, c.Size-1, directory)
	}
	return nil
}

// FirstKept is the place of the first record of a log that retention has left.
func FirstKept(directory, origin string) (uint64, error) {
	replica, err := replicaOf(origin)
	if err != nil {
		return 0, err
	}
	log, err := openChain(directory, replica, origin)
	if err != nil {
		return 0, err
	}
	for _, p := range log.parts {
		if p.path != "" {
			return p.first, nil
		}
	}
	return 0, ErrDropped
}

// Checkpoint is the log's newest: of what is on disk, and at most a second old while records come.
func (l *Log) Checkpoint() Checkpoint { return l.notary.checkpoint() }

// Await returns a checkpoint of more than size records, as soon as there is one.
func (l *Log) Await(ctx context.Context, origin string, size uint64) (Checkpoint, error) {
	for {
		c, changed := l.notary.watch()
		if c.Size > size || c.Origin != origin {
			return c, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return c, ctx.Err()
		}
	}
}
