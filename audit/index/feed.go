package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/lakegate/sts/audit"
)

// FeederConfig is what a Feeder is made of.
type FeederConfig struct {
	Index *Index
	// Directory holds the logs; all that stand in it are fed, those of other names and those that were given up, too.
	Directory string
	// Log is the one of them that this process writes; nil where it writes none.
	Log *audit.Log
	// Keys verify the checkpoints of the others.
	Keys audit.PublicKeys

	Now     func() time.Time // time.Now if it is left out
	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil for none
}

const (
	// lookEvery is how often the directory is looked at for logs of others.
	lookEvery = 5 * time.Second
	// sweepEvery is how often old partitions are looked for, by our clock.
	sweepEvery = time.Hour
	// firstRetry and lastRetry bound how long the feeder waits after a failure.
	firstRetry, lastRetry = 500 * time.Millisecond, 15 * time.Second
	// lateTime is how long records of the own log may be missing before that is told, whatever it is that takes so long.
	lateTime = 2 * time.Minute
	// addTime and sweepTime are how long the database may take: one that no longer answers is not waited for.
	addTime, sweepTime = 30 * time.Second, 10 * time.Minute
)

// Feeder brings the records of a directory's logs into the index as checkpoints come to cover them. Nobody waits for it:
// what it has not brought yet stands in the logs. It is for one goroutine, but for Health.
type Feeder struct {
	c      FeederConfig
	logs   map[string]*fed
	shelf  shelf
	looked time.Time
	swept  time.Time

	events prometheus.Counter
	errors prometheus.Counter

	next    atomic.Uint64 // of the own log
	current atomic.Int64  // when nothing of it was missing, in Unix nanoseconds
	// fault is why the last try failed, nil once one has succeeded; beside is that of the others' logs, which may be broken
	// for good. suspect says which log is not as its checkpoint is.
	fault, beside, suspect atomic.Pointer[error]
}

// NewFeeder makes a feeder; [Feeder.Run] runs it.
func NewFeeder(c FeederConfig) (*Feeder, error) {
	switch {
	case c.Index == nil:
		return nil, errors.New("index.FeederConfig.Index is missing")
	case c.Directory == "":
		return nil, errors.New("index.FeederConfig.Directory is missing")
	case c.Logger == nil:
		return nil, errors.New("index.FeederConfig.Logger is missing")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	f := &Feeder{c: c, logs: map[string]*fed{}, shelf: shelf{directory: c.Directory}}
	f.current.Store(c.Now().UnixNano())
	factory := promauto.With(c.Metrics) // a nil registerer registers nothing
	f.events = factory.NewCounter(prometheus.CounterOpts{Name: "sts_audit_index_events_total", Help: "Events that this replica brought into the audit index."})
	f.errors = factory.NewCounter(prometheus.CounterOpts{Name: "sts_audit_index_errors_total", Help: "Failed tries to bring events into the audit index."})
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sts_audit_index_lag_records", Help: "Records of this replica's log that are not in the audit index yet.",
	}, func() float64 { return float64(f.lag()) })
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sts_audit_index_lag_seconds", Help: "How long the audit index has lacked records of this replica's log; 0 while it lacks none.",
	}, func() float64 {
		return f.behind().Seconds()
	})
	return f, nil
}

// behind is for how long records of the own log have been missing.
func (f *Feeder) behind() time.Duration {
	if f.lag() == 0 {
		return 0
	}
	return max(0, f.c.Now().Sub(time.Unix(0, f.current.Load())))
}

func (f *Feeder) lag() uint64 {
	if f.c.Log == nil {
		return 0
	}
	size, next := f.c.Log.Checkpoint().Size, f.next.Load()
	return size - min(size, next)
}

// Run feeds the index until ctx is done. While the database is away it tries again and again.
func (f *Feeder) Run(ctx context.Context) {
	retry := firstRetry
	for ctx.Err() == nil {
		err := f.round(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			retry = firstRetry
			f.well()
			f.wait(ctx)
			continue
		}
		f.failed(err)
		select {
		case <-time.After(retry):
		case <-ctx.Done():
		}
		retry = min(2*retry, lastRetry)
	}
}

// wait returns when the own log has a newer checkpoint, or when it is time to look at the others.
func (f *Feeder) wait(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	if f.c.Log == nil {
		<-ctx.Done()
		return
	}
	if c := f.c.Log.Checkpoint(); c.Size <= f.next.Load() {
		_, _ = f.c.Log.Await(ctx, c.Origin, c.Size) // it ends with ctx
	}
}

// round feeds what is due.
func (f *Feeder) round(ctx context.Context) error {
	if err := f.Own(ctx); err != nil {
		return err
	}
	now := f.c.Now()
	if since := now.Sub(f.looked); since < 0 || since >= lookEvery {
		f.looked = now
		f.besides(ctx, f.others(ctx)) // which is no reason to leave our own log, or old partitions
	}
	if since := now.Sub(f.swept); since < 0 || since >= sweepEvery {
		limited, cancel := context.WithTimeout(ctx, sweepTime)
		defer cancel()
		events, err := f.c.Index.Sweep(limited)
		if err != nil {
			return err
		}
		f.swept = now
		if events > 0 {
			f.c.Logger.Info("dropped events of the audit index that are past their retention", "events", events)
		}
	}
	return nil
}

// CatchUp brings in once all that is due of all logs.
func (f *Feeder) CatchUp(ctx context.Context) error {
	return errors.Join(f.Own(ctx), f.others(ctx))
}

// Own brings in what is due of the own log: up to its newest checkpoint.
func (f *Feeder) Own(ctx context.Context) error {
	if f.c.Log == nil {
		return nil
	}
	c := f.c.Log.Checkpoint()
	l := f.log(c.Origin)
	if !l.known { // the index may have more of it than a checkpoint that is older than this look
		if err := f.know(ctx, l); err != nil {
			return err
		}
		if l.next > c.Size {
			f.suspects(fmt.Errorf("the log %s has %d records, and the audit index had %d of it: it was cut short, or is from a backup; run sts audit verify --all", c.Origin, c.Size, l.next))
		}
	}
	err := f.feed(ctx, l, c, c.Size)
	f.next.Store(l.next)
	if f.lag() == 0 {
		f.current.Store(f.c.Now().UnixNano())
	}
	return err
}

// others brings in what is due of the logs that this process does not write.
func (f *Feeder) others(ctx context.Context) error {
	logs, err := f.shelf.list(f.c.Now())
	if err != nil {
		return err
	}
	var own string
	if f.c.Log != nil {
		own = f.c.Log.Checkpoint().Origin
	}
	var errs []error
	for _, o := range logs {
		if o.Origin == own {
			continue
		}
		c, err := audit.NewestCheckpoint(f.c.Directory, o.Origin, f.c.Keys)
		if err != nil { // or it is signed by a key of before: its records are found, and have no receipts
			c = audit.Checkpoint{Origin: o.Origin}
		}
		l, size := f.log(o.Origin), c.Size
		if o.ended { // it may lack records that were signed for: for that it was given up
			size = o.records
			if c.Size > size && !l.short {
				l.short = true
				f.c.Logger.Warn("a log that nobody writes lacks records that were signed for; what is left of it is in the audit index",
					"origin", o.Origin, "records", size, "signed", c.Size)
			}
		}
		if err := f.feed(ctx, l, c, size); err != nil {
			errs = append(errs, fmt.Errorf("the log %s: %w", o.Origin, err))
		}
	}
	return errors.Join(errs...)
}

// Health is nil while the index takes records in, and is told no contradictions.
func (f *Feeder) Health() error {
	if fault := f.fault.Load(); fault != nil {
		return fmt.Errorf("the audit index lacks the newest records: %w", *fault)
	}
	if behind := f.behind(); behind > lateTime {
		return fmt.Errorf("the audit index has lacked the newest records for %s", behind.Truncate(time.Second))
	}
	if beside := f.beside.Load(); beside != nil {
		return fmt.Errorf("the audit index lacks records of other logs in the directory: %w", *beside)
	}
	if suspect := f.suspect.Load(); suspect != nil {
		return *suspect
	}
	return nil
}

func (f *Feeder) failed(err error) {
	f.errors.Inc()
	if f.fault.Swap(&err) == nil {
		f.c.Logger.Error("the audit index can't be fed; it is tried again and again, and nothing is lost", "error", err)
	}
}

func (f *Feeder) well() {
	if f.fault.Swap(nil) != nil {
		f.c.Logger.Info("the audit index is fed again")
	}
}

// besides notes how it went with the logs of others.
func (f *Feeder) besides(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err == nil:
		if f.beside.Swap(nil) != nil {
			f.c.Logger.Info("the logs of others are in the audit index again")
		}
	default:
		f.errors.Inc()
		if f.beside.Swap(&err) == nil {
			f.c.Logger.Error("logs of others can't be brought into the audit index; it is tried again and again", "error", err)
		}
	}
}

func (f *Feeder) suspects(err error) {
	if f.suspect.Swap(&err) == nil {
		f.c.Logger.Error("a log and the audit index contradict each other", "error", err)
	}
}
