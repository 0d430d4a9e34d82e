package export

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lakegate/sts/exchange"
)

// batch sends what is due of a log, one batch. done is false where nothing is.
func (x *exporter) batch(ctx context.Context, t *track) (done bool, err error) {
	if t.cursor.Intent == nil {
		if intended, err := x.intend(ctx, t); err != nil || !intended {
			return false, err
		}
	}
	b, err := x.make(ctx, t)
	if err != nil {
		return false, err
	}
	if err := x.send(ctx, b); err != nil {
		return false, err
	}
	if err := x.advance(ctx, t); err != nil {
		return false, err
	}
	return true, nil
}

// intend writes down the batch that is due, before anything of it is sent.
func (x *exporter) intend(ctx context.Context, t *track) (bool, error) {
	if t.cursor.Next >= t.size {
		return false, nil
	}
	hole, err := x.gather(t, t.size, x.Destination.Limits())
	if err != nil {
		return false, err
	}
	in := intent{To: t.read}
	switch {
	case hole != nil && len(t.pending) > 0: // which comes next
	case hole != nil:
		in = intent{To: hole.to, Gap: &gap{Cause: hole.cause, Time: x.c.Now().UTC().Truncate(time.Microsecond)}}
	case !x.due(t, x.c.Now()):
		return false, nil
	}
	if m, ok := x.Destination.(Marker); ok {
		if in.Mark, err = m.Mark(ctx); err != nil {
			return false, err
		}
	}
	return true, x.keep(ctx, t, cursor{Next: t.cursor.Next, Intent: &in})
}

// make makes the batch that is intended: of what has just been gathered, or, after a crash or a failure, of the log.
func (x *exporter) make(ctx context.Context, t *track) (*Batch, error) {
	in := t.cursor.Intent
	b := newBatch(x.Name, t.origin, t.cursor.Next, in.To)
	b.Mark = in.Mark
	if in.Gap == nil && t.read != in.To {
		t.stop()
		if err := x.again(ctx, t); err != nil {
			return nil, err
		}
		in = t.cursor.Intent
	}
	if b.Records = t.pending; in.Gap != nil {
		b.Records = []Record{gapRecord(b, t.replica, in.Gap, x.Format)}
	}
	return b, nil
}

// again gathers what was intended once more. Where some of it has become unreadable, the whole is a gap: nobody can tell
// any more what of it was taken.
func (x *exporter) again(ctx context.Context, t *track) error {
	in := *t.cursor.Intent
	hole, err := x.gather(t, in.To, Limits{Records: math.MaxInt, Bytes: math.MaxInt})
	if hole == nil || err != nil {
		return err
	}
	t.stop()
	in.Gap = &gap{Cause: hole.cause, Time: x.c.Now().UTC().Truncate(time.Microsecond)}
	return x.keep(ctx, t, cursor{Next: t.cursor.Next, Intent: &in})
}

// send takes a batch to its destination, within its time.
func (x *exporter) send(ctx context.Context, b *Batch) error {
	ctx, cancel := context.WithTimeout(ctx, x.Destination.Limits().Timeout)
	defer cancel()
	err := x.Destination.Send(ctx, b)
	var rejected *RejectedError
	if errors.As(err, &rejected) {
		x.metrics.dropped.Add(float64(rejected.Records))
		x.log.Error("the far end of an export took a batch, but rejected some of its records", "batch", b.ID, "rejected", rejected.Records)
		err = nil
	}
	return err
}

// advance moves the cursor behind the batch that was taken.
func (x *exporter) advance(ctx context.Context, t *track) error {
	in, from := t.cursor.Intent, t.cursor.Next
	if err := x.keep(ctx, t, cursor{Next: in.To}); err != nil {
		return err
	}
	t.pending, t.bytes, t.full, t.read = nil, 0, false, in.To
	if in.Gap != nil {
		t.close()
		x.metrics.dropped.Add(float64(in.To - from))
		x.log.Error("records could not be exported; the far end was told so", "origin", t.origin, "first", from, "records", in.To-from, "cause", in.Gap.Cause)
		return nil
	}
	x.metrics.records.Add(float64(in.To - from))
	return nil
}

// keep puts a cursor into the ledger. Where somebody else did, or nobody knows, it is read anew.
func (x *exporter) keep(ctx context.Context, t *track, c cursor) error {
	if err := t.cursor.put(ctx, c); err != nil {
		t.loaded = false
		if errors.Is(err, exchange.ErrConflict) {
			err = fmt.Errorf("another process exports the same log under the same name: %w", err)
		}
		return &Failure{Class: ClassLedger, Err: err}
	}
	return nil
}
