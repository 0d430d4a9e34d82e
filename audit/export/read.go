package export

import (
	"errors"
	"fmt"
	"iter"

	"github.com/lakegate/sts/audit"
)

// Read goes through the records of all logs in a directory, log by log, as an export would send them. What can't be read
// comes as a gap; an error that has none is the last.
func Read(directory string, f Format) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		logs, err := audit.Logs(directory)
		if err != nil {
			yield(Record{}, err)
			return
		}
		for _, l := range logs {
			more, err := read(directory, l, f, yield)
			if err != nil {
				yield(Record{}, fmt.Errorf("reading the log %s: %w", l.Origin, err))
				return
			}
			if !more {
				return
			}
		}
	}
}

func read(directory string, l audit.Standing, f Format, yield func(Record, error) bool) (more bool, err error) {
	first, size, err := audit.Extent(directory, l.Origin)
	if err != nil {
		return false, err
	}
	t := &track{directory: directory, origin: l.Origin, read: first, follower: audit.NewFollower(directory, l.Origin)}
	defer t.rest()
	for t.read < size {
		var r Record
		e, err := t.peek(size)
		if err == nil {
			r, err = t.whole.record(e, f)
			t.ahead = nil
		}
		var damaged *damagedError
		switch {
		case errors.As(err, &damaged):
			r = gapRecord(newBatch("", l.Origin, t.read, t.read+1), l.Replica, &gap{Cause: gapDamaged}, f)
		case err != nil:
			return false, err
		}
		if !yield(r, nil) {
			return false, nil
		}
		t.read++
	}
	return true, nil
}
