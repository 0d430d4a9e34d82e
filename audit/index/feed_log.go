package index

import (
	"context"
	"errors"
	"fmt"

	"github.com/lakegate/sts/audit"
)

const (
	// batchRecords and batchBytes bound what one transaction takes in.
	batchRecords = 4000
	batchBytes   = 8 << 20
)

// fed is a log as far as it was fed.
type fed struct {
	origin   string
	follower *audit.Follower
	// next is the place of the record that is due, once known says so.
	next  uint64
	known bool
	// before are the hashes for what lies before it, where that was skipped.
	before []audit.Hash
	// short says that it has been told that the log lacks records.
	short bool
}

func (f *Feeder) log(origin string) *fed {
	l := f.logs[origin]
	if l == nil {
		l = &fed{origin: origin, follower: audit.NewFollower(f.c.Directory, origin)}
		f.logs[origin] = l
	}
	return l
}

// know asks the index how far it has come with a log.
func (f *Feeder) know(ctx context.Context, l *fed) (err error) {
	ctx, cancel := context.WithTimeout(ctx, addTime)
	defer cancel()
	if l.next, err = f.c.Index.Next(ctx, l.origin); err == nil {
		l.known, l.before = true, nil
	}
	return err
}

// feed brings the records of a log up to size into the index, with the newest checkpoint of it.
func (f *Feeder) feed(ctx context.Context, l *fed, c audit.Checkpoint, size uint64) error {
	if !l.known && size > 0 {
		if err := f.know(ctx, l); err != nil {
			return err
		}
	}
	for l.next < size {
		b, err := f.read(l, c, size)
		if errors.Is(err, audit.ErrDropped) {
			if err = f.skip(l, size); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		if len(b.Entries) == 0 {
			return nil
		}
		if err := f.add(ctx, l, b); err != nil {
			return err
		}
		if own := f.c.Log; own != nil && l.origin != own.Checkpoint().Origin {
			// Bringing in a long log of somebody else's takes minutes, in which ours goes on.
			if err := f.Own(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// read reads a batch.
func (f *Feeder) read(l *fed, c audit.Checkpoint, size uint64) (Batch, error) {
	b := Batch{Origin: l.origin, Checkpoint: c, Before: l.before}
	bytes := 0
	for e, err := range l.follower.Follow(audit.Checkpoint{Origin: l.origin, Size: size}, l.next) {
		switch {
		case err != nil && e.Origin == "" && len(b.Entries) > 0:
			return b, nil // the error comes again, once these are in
		case err != nil && e.Origin == "":
			return b, err
		case err != nil:
			f.c.Logger.Error("a line of the audit log is no record; it can't be found, but is in the tree", "origin", l.origin, "record", e.Index, "error", err)
		}
		b.Entries = append(b.Entries, e)
		if bytes += len(e.Raw); len(b.Entries) == batchRecords || bytes > batchBytes {
			break
		}
	}
	return b, nil
}

// add brings a batch in. After an error nobody knows whether it got in: the index is asked.
func (f *Feeder) add(ctx context.Context, l *fed, b Batch) error {
	l.known = false
	ctx, cancel := context.WithTimeout(ctx, addTime)
	defer cancel()
	added, err := f.c.Index.Add(ctx, b)
	var gap *GapError
	switch {
	case errors.As(err, &gap) && gap.Next < l.next: // somebody makes the index anew
		l.next, l.known, l.before = gap.Next, true, nil
		return nil
	case err != nil:
		return err
	case added.Contradicted:
		f.suspects(fmt.Errorf("the records of the log %s are not those that were signed for; run sts audit verify", l.origin))
	}
	l.next, l.known, l.before = added.Next, true, nil
	f.events.Add(float64(added.Events))
	return nil
}

// skip goes on behind records that retention dropped before they were fed.
func (f *Feeder) skip(l *fed, size uint64) error {
	next, ok, err := audit.NextKept(f.c.Directory, l.origin, l.next)
	if err != nil {
		return err
	}
	if !ok {
		next = size
	} else if l.before, err = audit.Before(f.c.Directory, l.origin, next); err != nil {
		return err
	}
	f.c.Logger.Warn("records of the audit log are past their retention and were never in the index", "origin", l.origin, "records", next-l.next)
	l.next = next
	return nil
}
