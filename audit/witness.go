package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Witness keeps checkpoints where whoever has this host has no hand. Its consumer is the log, which calls it about once a
// second while records come, from one goroutine, and never makes a request wait for it.
type Witness interface {
	// Name names it in logs and metrics, in one word.
	Name() string
	// Keep returns when c is kept. Its error is a *ContradictedError where it has kept a checkpoint of the same origin that
	// can't be of the same log; any other means that it is to be tried again.
	Keep(ctx context.Context, c Checkpoint) error
}

// Rememberer is a witness that tells what it has kept.
type Rememberer interface {
	// Newest returns the newest checkpoint of an origin; ok is false where there is none.
	Newest(ctx context.Context, origin string) (c Checkpoint, ok bool, err error)
}

// ContradictedError says that a witness has kept another checkpoint than a log would have it keep.
type ContradictedError struct{ Kept Checkpoint }

func (e *ContradictedError) Error() string {
	return fmt.Sprintf("a checkpoint of %d records has been kept that does not go with this one", e.Kept.Size)
}

// contradicts reports whether a log that once signed kept can't have signed c after it.
func contradicts(kept, c Checkpoint) bool {
	return kept.Origin == c.Origin && (kept.Size > c.Size || kept.Size == c.Size && kept.Root != c.Root)
}

const (
	witnessEvery   = time.Second
	witnessTimeout = 5 * time.Second
	// witnessPatience is how long a witness may lack the newest checkpoint before that is told.
	witnessPatience = 10 * time.Second
)

// attendant brings checkpoints to one witness.
type attendant struct {
	l   *Log
	w   Witness
	lag prometheus.Gauge
	// kept is the last that it took, and asked the origin of which it has been asked what it has.
	kept  Checkpoint
	asked string

	mu     sync.Mutex // guards what follows
	behind time.Time  // since when it lacks something; zero while it doesn't
	err    error      // of the last try
}

// run works until the log has ended, and brings its last checkpoint then.
func (a *attendant) run() {
	t := time.NewTicker(witnessEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			a.bring()
		case <-a.l.ended:
			a.bring()
			return
		}
	}
}

// bring brings the newest checkpoint, if the witness lacks it.
func (a *attendant) bring() {
	c := a.l.Checkpoint()
	now := a.l.c.Now()
	if c.Note == a.kept.Note {
		a.done(now, nil)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), witnessTimeout)
	defer cancel()
	err := a.ask(ctx, c)
	if err == nil {
		err = a.w.Keep(ctx, c)
	}
	var contradicted *ContradictedError
	if errors.As(err, &contradicted) {
		// It is believed only if it shows what we have signed.
		switch k, e := a.l.c.Key.Public().Open([]byte(contradicted.Kept.Note)); {
		case e != nil || k.Origin != c.Origin:
			err = errors.New("it says that it has another checkpoint of this log, and shows none that our key signed")
		case a.contradicted(c, k):
			err = &ContradictedError{k}
			a.l.disown(c.Origin, fmt.Sprintf("the witness %s has a checkpoint of %d records that this log, with %d, does not continue", a.w.Name(), k.Size, c.Size))
		case k.Size >= c.Size: // the process after this one was faster, or a power failure put the log's own checkpoint back
			err = nil
		default:
			err = fmt.Errorf("it refuses this checkpoint for one of %d records, which this log does continue", k.Size)
		}
	}
	if err == nil {
		a.kept = c
	}
	a.done(now, err)
}

// ask asks a witness that remembers, once for each log that is taken up, whether the log goes on from what it has: if the
// host was put back to an earlier state, the log's own checkpoint was, too.
func (a *attendant) ask(ctx context.Context, c Checkpoint) error {
	r, ok := a.w.(Rememberer)
	if !ok || a.asked == c.Origin {
		return nil
	}
	kept, ok, err := r.Newest(ctx, c.Origin)
	if err != nil {
		return err
	}
	if ok && a.contradicted(c, kept) {
		return &ContradictedError{kept}
	}
	a.asked = c.Origin
	return nil
}

// contradicted reports whether the log, which has signed c, does not continue kept. Where the records are there, they
// decide: a power failure may have put the log's own checkpoint back, and of its records none that kept is of.
func (a *attendant) contradicted(c, kept Checkpoint) bool {
	switch {
	case kept.Origin != c.Origin:
		return false
	case kept.Size == c.Size:
		return kept.Root != c.Root
	}
	if log, err := openChain(a.l.c.Directory, a.l.c.Replica, c.Origin); err == nil {
		if root, err := log.strictly().root(kept.Size); err == nil {
			return root != kept.Root
		}
	}
	return kept.Size > c.Size
}

// done notes how a try ended, and tells of a change.
func (a *attendant) done(now time.Time, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	log := a.l.c.Log.With("witness", a.w.Name())
	switch {
	case err == nil && a.err != nil:
		log.Info("checkpoints of the audit log are witnessed again")
	case err != nil && a.err == nil:
		log.Warn("a checkpoint of the audit log did not reach its witness; it is tried again", "error", err)
	}
	if a.err = err; err == nil {
		a.behind = time.Time{}
		a.lag.Set(0)
		return
	}
	if a.behind.IsZero() || now.Before(a.behind) {
		a.behind = now
	}
	a.lag.Set(now.Sub(a.behind).Seconds())
}

func (a *attendant) health() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.behind.IsZero() || a.l.c.Now().Sub(a.behind) < witnessPatience {
		return nil
	}
	return fmt.Errorf("checkpoints of the audit log have not reached the witness %s since %s", a.w.Name(), a.behind.UTC().Format(time.RFC3339))
}

// attend starts an attendant for each witness.
func (l *Log) attend() {
	for _, w := range l.c.Witnesses {
		a := &attendant{l: l, w: w, lag: l.metrics.lag.WithLabelValues(w.Name())}
		l.attendants = append(l.attendants, a)
		l.attending.Go(a.run)
	}
}

// disown has the log of an origin given up and begun anew, because of why, as soon as something is written. Several
// witnesses may say the same; who comes late speaks of a log that was given up already.
func (l *Log) disown(origin, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.disowned == "" && l.notary.checkpoint().Origin == origin {
		l.disowned = why
	}
}

// CheckpointHealth is nil where checkpoints are kept, here and by the witnesses, and no log had to be given up.
func (l *Log) CheckpointHealth() error {
	if err := l.notary.health(); err != nil {
		return err
	}
	for _, a := range l.attendants {
		if err := a.health(); err != nil {
			return err
		}
	}
	return nil
}
