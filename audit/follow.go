package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
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
// it made of the records, the place that is next, and comes back with it and a newer checkpoint; one that comes back
// often does so to a [Follower].
//
// A line that is no record comes with an error and its place, and the next one follows. Behind an error without an Origin
// nothing follows. ErrDropped says that from is past its retention; [FirstKept] says where the log begins now.
func Follow(directory string, c Checkpoint, from uint64) iter.Seq2[Entry, error] {
	return NewFollower(directory, c.Origin).Follow(c, from)
}

// ErrDropped is of a place in a log whose record is past its retention.
var ErrDropped = errors.New("the record is past its retention")

// Follower follows one log, and remembers how it is put together and where in a file it has come to. It is for one
// goroutine.
type Follower struct {
	directory, origin string

	log *chain // nil where it is not known, or has changed
	// newest is the number of the replica's newest segment, by which it is seen that log has changed.
	newest uint64
	spot   spot
}

// spot is where a record begins.
type spot struct {
	path   string
	offset int64
	place  uint64
}

// NewFollower makes a Follower of a log that stands in directory.
func NewFollower(directory, origin string) *Follower {
	return &Follower{directory: directory, origin: origin}
}

// Follow is [Follow], for what it costs to read the records and to list the directory.
func (f *Follower) Follow(c Checkpoint, from uint64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		err := f.follow(c, from, yield)
		if errors.Is(err, fs.ErrNotExist) {
			f.log = nil // retention was here
		}
		if err != nil {
			yield(Entry{}, fmt.Errorf("following the audit log: %w", err))
		}
	}
}

func (f *Follower) follow(c Checkpoint, from uint64, yield func(Entry, error) bool) error {
	if from >= c.Size {
		return nil
	}
	if err := f.refresh(); err != nil {
		return err
	}
	for i, p := range f.log.parts {
		end := c.Size
		if i+1 < len(f.log.parts) {
			end = min(end, p.size) // what stands behind it is not of the log
		}
		if from < p.first || from >= end {
			continue
		}
		if p.path == "" {
			return fmt.Errorf("record %d: %w", from, ErrDropped)
		}
		at, more, err := f.scan(p, from, end, yield)
		if err != nil || !more {
			return err
		}
		if at < end {
			return fmt.Errorf("%s ends with record %d; %d are due", filepath.Base(p.path), at, end)
		}
		from = end
	}
	if from < c.Size {
		return fmt.Errorf("records %d to %d are not in %s", from, c.Size-1, f.directory)
	}
	return nil
}

// refresh reads how the log is put together, unless that is known. A log whose newest segment is the one that it was has
// not changed: what a checkpoint covers that was signed before the look is in the segments that the look saw.
func (f *Follower) refresh() error {
	replica, err := replicaOf(f.origin)
	if err != nil {
		return err
	}
	newest, err := newestSegment(f.directory, replica)
	if err != nil {
		return err
	}
	if f.log != nil && newest == f.newest {
		return nil
	}
	f.log, f.spot = nil, spot{}
	log, err := openChain(f.directory, replica, f.origin)
	if err == nil {
		f.log, f.newest = log, newest
	}
	return err
}

// newestSegment is the number of a replica's newest segment that something was written to: one that is empty belongs to no
// log yet.
func newestSegment(directory, replica string) (uint64, error) {
	names, err := listSegments(directory)
	if err != nil {
		return 0, err
	}
	for _, n := range slices.Backward(names) {
		if n.replica != replica {
			continue
		}
		info, err := os.Stat(n.path)
		if err == nil && info.Size() > 0 {
			return n.number, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	return 0, nil
}

// scan yields the records [from, end) of a part, and returns how far it came, and whether more are wanted.
func (f *Follower) scan(p *part, from, end uint64, yield func(Entry, error) bool) (at uint64, more bool, err error) {
	if f.spot.path != p.path || f.spot.place > from {
		f.spot = spot{path: p.path, place: p.first}
	}
	h := sha256.New()
	begin := f.spot
	more = true
	err = scanFrom(p.path, begin.offset, func(l line) bool {
		at := f.spot.place
		f.spot.offset, f.spot.place = l.start+int64(len(l.text))+1, at+1
		if at < from {
			return true
		}
		e := Entry{Origin: f.origin, Index: at, Offset: l.start}
		hashLeaf(h, l.text, &e.Leaf)
		text := bytes.Clone(l.text)
		var err error
		if e.Record, err = Decode(text); err != nil {
			err = fmt.Errorf("%s:%d: %w", filepath.Base(p.path), at-p.first+1, err)
			e.Raw = text
		}
		e.File, e.Line = p.path, int(at-p.first)+1 //nolint:gosec // lines of a file
		more = yield(e, err)
		return more && at+1 < end
	})
	return f.spot.place, more, err
}

// Before are the hashes that stand for the records before a segment that begins with the record at first, as the segment
// has them: the compact range of [0, first).
func Before(directory, origin string, first uint64) ([]Hash, error) {
	log, err := chainOf(directory, origin)
	if err != nil {
		return nil, err
	}
	for _, p := range log.parts {
		if p.header != nil && p.first == first {
			return p.header.Range, nil
		}
	}
	return nil, fmt.Errorf("no segment of %s in %s begins with record %d", origin, directory, first)
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
