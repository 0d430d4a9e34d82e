package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/lakegate/sts/audit"
)

// exporter is one export.
type exporter struct {
	Export

	c         *Config
	log       *slog.Logger
	metrics   exportMetrics
	logs      logs
	state     state
	finishing bool // what there is, is sent now
}

// run exports until ctx ends.
func (x *exporter) run(ctx context.Context) {
	for ctx.Err() == nil {
		worked, err := x.pass(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			wait(ctx, x.state.failed(x, err))
		default:
			x.state.well(x)
			if !worked {
				x.await(ctx)
			}
		}
	}
}

// pass goes through all logs once, and sends of each what is due. Whatever was intended comes first: a destination may
// stand in the middle of it. Trouble with one log holds up no other, unless that log has an intent.
func (x *exporter) pass(ctx context.Context) (worked bool, err error) {
	if err := x.logs.look(x.track); err != nil {
		return false, &Failure{Class: ClassLog, Err: err}
	}
	defer x.measure()
	for _, t := range x.logs.tracks {
		if err := t.load(ctx); err != nil {
			return false, err
		}
		if t.cursor.Intent == nil {
			continue
		}
		if worked, err = x.batch(ctx, t); err != nil {
			return false, err
		}
	}
	var trouble error
	for _, t := range x.logs.tracks {
		done := true
		for done && ctx.Err() == nil {
			if done, err = x.batch(ctx, t); err != nil {
				if failureOf(err).Class != ClassLog || t.cursor.Intent != nil {
					return false, err
				}
				trouble = err
			}
			if done && trouble == nil {
				x.state.well(x)
				x.measure()
			}
			worked = worked || done
		}
		if !t.live && t.lag() == 0 {
			t.rest()
		}
	}
	return worked, trouble
}

func (x *exporter) track(s audit.Standing) *track {
	return &track{
		directory: x.c.Directory, origin: s.Origin, replica: s.Replica,
		follower: audit.NewFollower(x.c.Directory, s.Origin),
		cursor:   kept{key: cursorKey(x.Name, s.Origin), ledger: x.c.Ledger},
	}
}

// await returns when there may be something to do: the present log has grown, or a second is over, in which what was
// gathered may have become old enough.
func (x *exporter) await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	read := uint64(0)
	for _, t := range x.logs.tracks {
		if t.live {
			read = t.read
		}
	}
	_, _ = x.c.Log.Await(ctx, x.logs.own, read) // its error is that of ctx
}

// measure tells how far behind the export is.
func (x *exporter) measure() {
	var lag uint64
	var oldest time.Time
	for _, t := range x.logs.tracks {
		lag += t.lag()
		if len(t.pending) > 0 && (oldest.IsZero() || t.pending[0].Time.Before(oldest)) {
			oldest = t.pending[0].Time
		}
	}
	x.metrics.lag.Set(float64(lag))
	x.state.behind(lag, oldest)
}

// finish sends what there is, without trying anything twice.
func (x *exporter) finish(ctx context.Context) error {
	x.finishing = true
	x.logs.looked = time.Time{}
	_, err := x.pass(ctx)
	for _, t := range x.logs.tracks {
		t.rest()
	}
	if c, ok := x.Destination.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	if err != nil {
		return fmt.Errorf("the export %s did not come to the end of the log: %w", x.Name, failureOf(err))
	}
	return nil
}

func wait(ctx context.Context, pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
