package export

import (
	"errors"
	"io/fs"
	"time"

	"github.com/lakegate/sts/audit"
)

// gather adds records to t.pending until a batch is full, or there are no more before limit. The hole is what comes next
// and can't be read.
func (x *exporter) gather(t *track, limit uint64, limits Limits) (*hole, error) {
	for !t.full && t.read < limit {
		e, err := t.peek(limit)
		if err != nil {
			return x.holeAt(t, limit, err)
		}
		r, err := t.whole.record(e, x.Format)
		if err != nil {
			return nil, &Failure{Class: ClassLog, Err: err}
		}
		if t.bytes > 0 && t.bytes+len(r.Line)+1 > limits.Bytes {
			t.full = true
			break
		}
		t.pending, t.bytes, t.ahead = append(t.pending, r), t.bytes+len(r.Line)+1, nil
		t.read++
		t.full = len(t.pending) >= limits.Records || t.bytes >= limits.Bytes
	}
	return nil, nil
}

// due reports whether what is gathered is to be sent now.
func (x *exporter) due(t *track, now time.Time) bool {
	if len(t.pending) == 0 {
		return false
	}
	age := now.Sub(t.pending[0].Time)
	return t.full || x.finishing || !t.live || age < 0 || age >= x.Destination.Limits().Wait
}

// hole is a stretch [t.read, to) of a log that can't be read.
type hole struct {
	to    uint64
	cause string
}

// holeAt finds how far what can't be read goes. Where it is the disk that fails, that is no hole: it is tried again.
func (x *exporter) holeAt(t *track, limit uint64, err error) (*hole, error) {
	var damaged *damagedError
	var disk *fs.PathError
	switch {
	case errors.As(err, &damaged):
		return &hole{t.read + 1, gapDamaged}, nil
	case errors.As(err, &disk) && !errors.Is(err, fs.ErrNotExist):
		return nil, &Failure{Class: ClassLog, Err: err}
	}
	next, ok, e := audit.NextKept(t.directory, t.origin, t.read+1)
	if e != nil {
		return nil, &Failure{Class: ClassLog, Err: errors.Join(err, e)}
	}
	cause := gapMissing
	if errors.Is(err, audit.ErrDropped) {
		cause = gapRetention
	}
	if !ok || next > limit {
		if t.live {
			return nil, &Failure{Class: ClassLog, Err: err} // what is being written will be there
		}
		next = limit
	}
	return &hole{next, cause}, nil
}
