package mapping

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/strictyaml"
)

var _ exchange.Policy = (*Engine)(nil)

// Config is what an Engine is made of. What is not said to be optional is needed.
type Config struct {
	// Ledger remembers the accepted versions.
	Ledger exchange.Ledger
	// Recorder keeps the record of what was loaded and refused.
	Recorder exchange.Recorder
	// History is how many versions are remembered [20].
	History int

	Now     func() time.Time // [time.Now]
	Random  io.Reader
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

// Engine holds the policy in force. A bad file never replaces a good policy.
type Engine struct {
	cfg     Config
	metrics *metrics
	current atomic.Pointer[Policy]

	writing sync.Mutex // one change at a time; whoever only looks doesn't wait for the ledger

	mu       sync.Mutex // guards what follows
	refused  error      // why the files of now are not in force, nil where they are
	fallback bool       // what is in force was taken from the ledger when the files were refused at the start
	unkept   error      // why the ledger doesn't remember what is in force, nil where it does
}

// NewEngine makes an Engine without a policy: it refuses everything until one is started or loaded.
func NewEngine(cfg Config) (*Engine, error) {
	for _, need := range []struct {
		name    string
		missing bool
	}{{"Ledger", cfg.Ledger == nil}, {"Recorder", cfg.Recorder == nil}, {"Random", cfg.Random == nil}, {"Log", cfg.Log == nil}} {
		if need.missing {
			return nil, fmt.Errorf("mapping.Config.%s is missing", need.name)
		}
	}
	if cfg.History <= 0 {
		cfg.History = 20
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	e := &Engine{cfg: cfg}
	var err error
	if e.metrics, err = newMetrics(cfg.Metrics); err != nil {
		return nil, fmt.Errorf("registering the metrics of the policy: %w", err)
	}
	return e, nil
}

// Decide implements exchange.Policy with the policy in force.
func (e *Engine) Decide(a *exchange.Attempt) exchange.Decision {
	p := e.current.Load()
	if p == nil {
		return exchange.Decision{Denial: exchange.Refuse(exchange.CodeInternal, exchange.ReasonInternal, "no policy is in force")}
	}
	return p.Decide(a)
}

// Policy is the policy in force, nil where there is none.
func (e *Engine) Policy() *Policy { return e.current.Load() }

// Health says why the policy in force is not that of the files, or not yet in the ledger; nil where all is well.
func (e *Engine) Health() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.refused != nil && e.fallback:
		return fmt.Errorf("the policy's files are refused, so the last accepted version is in force, %s: %w", e.current.Load().digest, e.refused)
	case e.refused != nil:
		return fmt.Errorf("the policy's files are refused, so the version before is in force: %w", e.refused)
	case e.unkept != nil:
		return fmt.Errorf("the policy is in force, but the ledger doesn't remember it: %w", e.unkept)
	}
	return nil
}

// Prepare compiles files and runs their tests. It changes nothing: Commit puts the result in force, and Refuse tells
// of a failure. The error is a strictyaml.Faults.
func (e *Engine) Prepare(files []File, env *Environment) (*Policy, error) {
	p, err := Compile(files, env)
	if err != nil {
		return nil, err
	}
	var faults strictyaml.Faults
	for _, t := range RunTests(p, e.cfg.Now()) {
		if t.Failure != "" {
			faults.Add(t.Pos, "test "+strconv.Quote(t.Name), t.Failure, "")
		}
	}
	return p, faults.Err()
}

// Commit puts a prepared policy in force. It is remembered in the ledger and recorded first, unless it is only the
// environment that is new; where the record can't be written, nothing changes. A ledger that can't be written is told by
// Health: what is allowed must follow the files even then, and Remember tries again.
func (e *Engine) Commit(ctx context.Context, p *Policy) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	before := e.current.Load()
	unchanged := before != nil && before.digest == p.digest
	if !unchanged {
		if err := e.record(ctx, "policy.load", p.digest, fmt.Sprintf("%d rules", len(p.rules))); err != nil {
			return fmt.Errorf("recording the load of policy %s: %w", p.digest, err)
		}
	}
	unkept := e.keep(ctx, p)
	e.accept(p, unkept)
	if unkept != nil {
		e.cfg.Log.ErrorContext(ctx, "the ledger did not take the policy that is in force now", "policy", p.digest, "error", unkept)
	}
	if !unchanged {
		e.metrics.accept(p)
		e.cfg.Log.InfoContext(ctx, "a policy is in force", "policy", p.digest, "rules", len(p.rules))
	}
	return nil
}

// accept puts a policy in force.
func (e *Engine) accept(p *Policy, unkept error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.current.Store(p)
	e.refused, e.fallback, e.unkept = nil, false, unkept
}

// Remember tries again to have the policy in force remembered, if the ledger did not take it; otherwise it does nothing.
func (e *Engine) Remember(ctx context.Context) {
	e.writing.Lock()
	defer e.writing.Unlock()
	e.mu.Lock()
	owed := e.unkept != nil
	e.mu.Unlock()
	if !owed {
		return
	}
	p := e.current.Load()
	unkept := e.keep(ctx, p)
	e.mu.Lock()
	e.unkept = unkept
	e.mu.Unlock()
	if unkept == nil {
		e.cfg.Log.InfoContext(ctx, "the ledger remembers the policy in force again", "policy", p.digest)
	}
}

// Load prepares and commits. Where it fails, what was in force stays.
func (e *Engine) Load(ctx context.Context, files []File, env *Environment) error {
	p, err := e.Prepare(files, env)
	if err != nil {
		e.Refuse(ctx, files, err)
		return err
	}
	if err := e.Commit(ctx, p); err != nil {
		e.Refuse(ctx, files, err)
		return err
	}
	return nil
}

// Refuse tells of files that are not put in force: in Health until a Commit, in the log, the metrics and the record.
func (e *Engine) Refuse(ctx context.Context, files []File, reason error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	again := e.refused != nil && e.refused.Error() == reason.Error()
	e.refused = reason
	e.metrics.refuse()
	if again {
		return // a watcher asks every second: one record for one fault
	}
	e.cfg.Log.ErrorContext(ctx, "a policy is refused; the one in force stays", "error", reason)
	// The record says how much is wrong; what exactly, quotes the files, and stands in the log.
	detail := "it could not be put in force"
	var faults strictyaml.Faults
	if errors.As(reason, &faults) {
		detail = fmt.Sprintf("%d faults, the first at %s", len(faults), faults[0].Pos)
		if len(faults) == 1 {
			detail = "1 fault, at " + faults[0].Pos.String()
		}
	}
	if err := e.record(ctx, "policy.refuse", digestOf(files), detail); err != nil {
		e.cfg.Log.ErrorContext(ctx, "the refusal of a policy could not be recorded", "error", err)
	}
}

// Start loads the first policy. Where its files are bad, the last accepted version of the ledger is put in force, and
// Health says so; where there is none, or the ledger can't be read or written, it fails.
func (e *Engine) Start(ctx context.Context, files []File, env *Environment) error {
	if _, err := e.Versions(ctx); err != nil {
		return err
	}
	p, err := e.Prepare(files, env)
	if err == nil {
		if err := e.Commit(ctx, p); err != nil {
			return err
		}
		return e.Health()
	}
	return e.Resume(ctx, files, env, err)
}

// Resume is Start for files that can't be used, or not even be read, for a reason: the last accepted version of the
// ledger is put in force, and Health says so.
func (e *Engine) Resume(ctx context.Context, files []File, env *Environment, reason error) error {
	e.Refuse(ctx, files, reason)
	last, err := e.lastAccepted(ctx, env)
	if err != nil {
		return fmt.Errorf("the policy's files are refused, and there is no version to go on with (%w): %w", err, reason)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.current.Store(last)
	e.metrics.accept(last)
	e.fallback = true
	e.cfg.Log.ErrorContext(ctx, "starting with the last accepted policy, since the files are refused", "policy", last.digest, "error", reason)
	return nil
}

// lastAccepted compiles the newest version of the ledger. Its tests have passed when it was accepted; what they say
// today doesn't matter, since the alternative is no policy at all.
func (e *Engine) lastAccepted(ctx context.Context, env *Environment) (*Policy, error) {
	versions, err := e.Versions(ctx)
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		return nil, errors.New("no policy was ever accepted")
	}
	files, err := e.Content(ctx, versions[0].Digest)
	if err != nil {
		return nil, err
	}
	p, err := Compile(files, env)
	if err != nil {
		return nil, fmt.Errorf("the last accepted version doesn't fit the configuration of now: %w", err)
	}
	return p, nil
}

func (e *Engine) record(ctx context.Context, action, object, detail string) error {
	now := e.cfg.Now()
	id, err := exchange.NewID(now, e.cfg.Random)
	if err != nil {
		return err
	}
	return e.cfg.Recorder.Record(ctx, &exchange.Event{ID: id, Time: now, Admin: &exchange.Admin{Action: action, Object: object, Detail: detail}})
}
