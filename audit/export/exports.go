package export

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cenkalti/backoff/v5"
)

// Exports are all exports of a process.
type Exports struct {
	c     Config
	owner owner
	all   []*exporter
}

// New makes them. Nothing is read or sent before Run.
func New(c Config) (*Exports, error) {
	if err := c.complete(); err != nil {
		return nil, fmt.Errorf("making the exports: %w", err)
	}
	e := &Exports{c: c}
	e.owner.directory = c.Directory
	metrics := newMetrics(c.Metrics)
	for _, export := range c.Exports {
		x := &exporter{Export: export, c: &e.c, log: c.Slog.With("export", export.Name), metrics: metrics.of(export.Name)}
		x.logs.c, x.logs.owner = &e.c, &e.owner
		x.state.pauses = backoff.ExponentialBackOff{
			InitialInterval: c.Retry.Least, MaxInterval: c.Retry.Most, Multiplier: 2, RandomizationFactor: 1. / 3,
		}
		e.all = append(e.all, x)
	}
	return e, nil
}

// Run exports until ctx ends.
func (e *Exports) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, x := range e.all {
		running.Go(func() { x.run(ctx) })
	}
	running.Wait()
}

// Finish is called when the log is closed, after Run has returned: it sends what is left, once, and gives up with ctx. What
// isn't taken then is sent by the next process, where the disk outlives this one.
func (e *Exports) Finish(ctx context.Context) error {
	errs := make([]error, len(e.all)+1)
	var running sync.WaitGroup
	for i, x := range e.all {
		running.Go(func() { errs[i] = x.finish(ctx) })
	}
	running.Wait()
	errs[len(e.all)] = e.owner.release()
	return errors.Join(errs...)
}

// Health is nil where all exports keep up.
func (e *Exports) Health() error {
	var errs []error
	for _, x := range e.all {
		errs = append(errs, x.state.health(x))
	}
	return errors.Join(errs...)
}
