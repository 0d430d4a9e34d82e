package export

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/lakegate/sts/audit"
)

// track is one log, as far as one export has come with it.
type track struct {
	directory string
	origin    string
	replica   string
	live      bool   // it is this process's present log
	size      uint64 // it may be read so far

	cursor kept
	loaded bool

	// pending are records [cursor.Next, read) that are gathered for the next batch, and bytes their lines; full says that
	// no more go into it.
	pending []Record
	bytes   int
	read    uint64
	full    bool

	whole    whole
	follower *audit.Follower
	next     func() (audit.Entry, error, bool) // nil where nothing is being read
	end      func()
	ahead    *audit.Entry // read, and not in pending
}

// load reads the cursor. A log that was never exported begins with what there is of it.
func (t *track) load(ctx context.Context) error {
	if t.loaded {
		return nil
	}
	t.stop()
	found, err := t.cursor.load(ctx)
	if err != nil {
		return &Failure{Class: ClassLedger, Err: err}
	}
	if !found {
		t.cursor.Next, err = audit.FirstKept(t.directory, t.origin)
		if err != nil {
			return &Failure{Class: ClassLog, Err: err}
		}
	}
	t.loaded, t.read = true, t.cursor.Next
	return nil
}

// lag is how many records are not known to be taken.
func (t *track) lag() uint64 {
	if !t.loaded || t.size < t.cursor.Next {
		return 0
	}
	return t.size - t.cursor.Next
}

// stop forgets what was read and not sent.
func (t *track) stop() {
	t.close()
	t.pending, t.bytes, t.full, t.read = nil, 0, false, t.cursor.Next
}

// rest lets go of what is only of use while there is something to read.
func (t *track) rest() {
	t.close()
	t.whole = whole{}
}

func (t *track) close() {
	if t.end != nil {
		t.end()
	}
	t.next, t.end, t.ahead = nil, nil, nil
}

// peek returns the record at t.read, which is below limit.
func (t *track) peek(limit uint64) (*audit.Entry, error) {
	if t.ahead != nil {
		return t.ahead, nil
	}
	for range 2 {
		if t.next == nil {
			t.next, t.end = iter.Pull2(t.follower.Follow(audit.Checkpoint{Origin: t.origin, Size: limit}, t.read))
		}
		e, err, ok := t.next()
		switch {
		case !ok: // this reading began when there were fewer
			t.close()
			continue
		case err != nil && e.Origin == "":
			t.close()
			return nil, err
		case err != nil:
			t.close() // to meet it again, where there is something to send before it
			return nil, &damagedError{err}
		case e.Index != t.read:
			t.close()
			return nil, fmt.Errorf("record %d is read where %d is due", e.Index, t.read)
		}
		t.ahead = &e
		return &e, nil
	}
	return nil, errors.New("the log ends before it should")
}

// damagedError is of a line that is no record.
type damagedError struct{ error }

func (e *damagedError) Unwrap() error { return e.error }
