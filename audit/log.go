package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"sync"
	"time"
	"weak"

	"github.com/lakegate/sts/audit/internal/recent"
	"github.com/lakegate/sts/exchange"
)

// remembered is how many hand-outs, subjects and first exchanges are remembered for certain. What is forgotten costs a
// repeated record or fsync, never a missing one.
const remembered = 1 << 16

// ErrLocked says that another process has the log open.
var ErrLocked = errors.New("another process writes this log")

// Log is the record on disk. Create one with [Open].
type Log struct {
	c       Config
	metrics metrics
	lock    *os.File
	ids     sync.Mutex // guards c.Random

	failures failures

	mu      sync.Mutex // guards what follows, and the order of records
	closed  bool
	segment *segment // nil after a failure, until the next record
	number  uint64   // of the newest segment
	line    encoder
	wrote   [8]string // types of the records in line
	records []string  // slice of wrote
	// leaves are those of the segment that the notary has not got yet, in order.
	leaves []leaf
	hasher hash.Hash // for leaves
	// carried are the lines of a file that was given up which were not on disk; they go to the next.
	carried []byte
	// announce is the record of a log that was given up, to be written first of all; disowned says that this one is to be.
	announce, disowned string
	// subjects are the subject records of this segment.
	subjects recent.Memory[subjectKey, string]
	// handed are the hand-outs whose record is on disk.
	handed recent.Memory[handOut, struct{}]
	// firsts are the exchanges of this segment that others may repeat.
	firsts recent.Memory[repeatKey, firstOf]
	key    keyBuilder
	fault  fault

	notary notary
	space  space

	attendants []*attendant
	attending  sync.WaitGroup

	// stop is closed to end the ticks, stopped when they have, ended when all is on disk.
	stop, stopped, ended chan struct{}
	// nearlyFull asks for a tick ahead of the end of a segment: what is on disk by then, its end need not wait for.
	nearlyFull chan struct{}
	ticks      sync.Mutex // one tick at a time
	swept      time.Time
}

var _ exchange.Recorder = (*Log)(nil)

// subjectKey is one verified token under one policy. The weak pointer names this very verification: a token that is
// verified anew, perhaps with another outcome, is recorded anew.
type subjectKey struct {
	who    weak.Pointer[exchange.Identity]
	policy string
}

// handOut is a token in the hands of a subject, and of who acts for him: the hash of token, issuers and subjects. A subject's own text would do, but
// it is a piece of its token's, which would be remembered with it.
type handOut [sha256.Size]byte

// Open opens the log of a replica: it repairs what a crash left, begins a new segment, and so proves that it can write.
func Open(c Config) (*Log, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	l := &Log{
		c: c, metrics: newMetrics(c.Metrics),
		subjects: recent.New[subjectKey, string](remembered), handed: recent.New[handOut, struct{}](remembered),
		firsts: recent.New[repeatKey, firstOf](remembered), hasher: sha256.New(),
		stop: make(chan struct{}), stopped: make(chan struct{}), ended: make(chan struct{}), nearlyFull: make(chan struct{}, 1),
	}
	l.notary.c, l.notary.metrics = &l.c, &l.metrics
	if err := l.open(); err != nil {
		if l.lock != nil {
			err = errors.Join(err, l.lock.Close())
		}
		return nil, fmt.Errorf("opening the audit log in %s: %w", c.Directory, err)
	}
	go l.run()
	l.attend()
	return l, nil
}

func (l *Log) open() (err error) {
	if err := makeDirectory(l.c.disk, l.c.Directory); err != nil {
		return err
	}
	if l.lock, err = lockReplica(l.c.Directory, l.c.Replica); err != nil {
		return err
	}
	segments, err := l.ownSegments()
	if err != nil {
		return err
	}
	if err := l.notary.findFaults(); err != nil {
		return err
	}
	now := l.c.Now()
	why, err := l.resume(segments, now)
	if unreadable(err) {
		// It can't be proven that the log goes on; another can be, and a service that doesn't start records nothing at all.
		why, err = fmt.Sprintf("it can't be read: %v", err), nil
	}
	if err != nil {
		return err
	}
	if why != "" {
		if err := l.renounce(why, now); err != nil {
			return err
		}
	}
	if l.segment == nil {
		if err := l.begin(); err != nil {
			return err
		}
	}
	return l.c.disk.SyncDirectory(l.c.Directory)
}

// unreadable reports whether a file that is there and could be opened can't be read: a damaged disk, and no wrong right.
func unreadable(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && p.Op == "read"
}

// ownSegments are this replica's segments; one that nothing was written to is removed.
func (l *Log) ownSegments() (own []segmentName, err error) {
	all, err := listSegments(l.c.Directory)
	if err != nil {
		return nil, err
	}
	for _, n := range all {
		if n.replica != l.c.Replica {
			continue
		}
		l.number = n.number
		info, err := os.Stat(n.path)
		if err == nil && info.Size() == 0 {
			err = l.c.disk.Remove(n.path)
		} else if err == nil {
			own = append(own, n)
		}
		if err != nil {
			return nil, err
		}
	}
	return own, nil
}

// Record implements exchange.Recorder.
func (l *Log) Record(_ context.Context, e *exchange.Event) error {
	s, end, err := l.append(e)
	if err != nil {
		l.refused()
		return fmt.Errorf("writing an audit record: %w", err)
	}
	if s == nil {
		return nil
	}
	if err := s.sync(end, l.metrics.timed); err != nil {
		l.failed(s, err)
		l.refused()
		return fmt.Errorf("putting an audit record on disk: %w", err)
	}
	l.remember(e)
	return nil
}

// append writes e. It returns the segment and the place in it that must be on disk before e is accepted, nil if none.
func (l *Log) append(e *exchange.Event) (*segment, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return nil, 0, err
	}
	l.encode(e)
	if err := l.write(); err != nil {
		return nil, 0, err
	}
	if !l.awaits(e) {
		return nil, 0, nil
	}
	l.leaves[len(l.leaves)-1].awaited = true
	return l.segment, l.segment.written.Load(), nil
}

// awaits reports whether e must be on disk before it is accepted.
func (l *Log) awaits(e *exchange.Event) bool {
	switch l.c.Sync {
	case SyncAlways:
		return true
	case SyncMint:
		h, ok := handOutOf(e)
		if !ok {
			return false
		}
		_, known := l.handed.Get(h)
		return !known
	default:
		return false
	}
}

func (l *Log) remember(e *exchange.Event) {
	if h, ok := handOutOf(e); ok && l.c.Sync == SyncMint {
		l.mu.Lock()
		l.handed.Put(h, struct{}{})
		l.mu.Unlock()
	}
}

func handOutOf(e *exchange.Event) (handOut, bool) {
	a := e.Exchange
	if a == nil || a.Err != nil || a.Subject == nil {
		return handOut{}, false
	}
	var scratch [256]byte
	b := append(scratch[:0], a.Token.SHA256[:]...)
	b = append(b, a.Subject.Issuer...)
	b = append(b, 0) // in no issuer, which is configured
	b = append(b, a.Subject.Subject...)
	if a.Actor != nil { // by whom she has it, is as much as that she has it
		b = append(b, 0) // in no subject, none of which has a control character
		b = append(b, a.Actor.Issuer...)
		b = append(b, 0)
		b = append(b, a.Actor.Subject...)
	}
	return sha256.Sum256(b), true
}

// encode adds e's line to the buffer, behind those of the subjects it is the first in this segment to speak of.
func (l *Log) encode(e *exchange.Event) {
	switch {
	case e.Exchange != nil:
		a := e.Exchange
		subject, actor := l.subject(e, a.Subject), ""
		if !a.ActorTold {
			actor = l.subject(e, a.Actor)
		}
		if first := l.repeats(a, subject, actor); first != nil {
			l.start(typeRepeat, e.ID, e.Time)
			l.line.repeat(a, first)
			break
		}
		l.start(typeExchange, e.ID, e.Time)
		l.line.exchange(a, subject, actor)
	case e.Mint != nil:
		l.start(typeMint, e.ID, e.Time)
		l.line.mint(e.ID, e.Mint)
	default:
		l.start(typeAdmin, e.ID, e.Time)
		if e.Admin != nil {
			l.line.admin(e.Admin)
		}
	}
	l.line.end()
}

func (l *Log) start(kind, id string, at time.Time) {
	l.records = append(l.records, kind)
	l.line.begin(kind, id, at, l.c.Replica)
}

// subject returns the id of who's record in this segment, and writes it if there is none.
func (l *Log) subject(e *exchange.Event, who *exchange.Identity) string {
	if who == nil {
		return ""
	}
	decision := &e.Exchange.Decision
	k := subjectKey{weak.Make(who), decision.Policy}
	if id, ok := l.subjects.Get(k); ok {
		return id
	}
	id := l.newID()
	l.start(typeSubject, id, e.Time)
	l.line.subject(who, decision.ReadsClaims, l.c.RecordClaims)
	l.line.end()
	l.subjects.Put(k, id)
	return id
}

// RecordFailure implements exchange.Recorder. It never waits for the disk: summaries are written when their second is
// over, so a crash may lose those of the last one.
func (l *Log) RecordFailure(f exchange.Failure) string {
	return l.failures.count(&f, l.c.Now(), l.newID)
}

func (l *Log) newID() string {
	l.ids.Lock()
	defer l.ids.Unlock()
	id, err := exchange.NewID(l.c.Now(), l.c.Random)
	if err != nil {
		l.c.Log.Error("no randomness for the id of an audit record", "error", err)
	}
	return id
}

// Close writes the summaries that are still open, puts everything on disk, and brings the last checkpoint to the
// witnesses. Records are refused from then on.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	close(l.stop)
	select {
	case <-l.stopped:
	case <-ctx.Done():
		return fmt.Errorf("closing the audit log: %w", ctx.Err())
	}
	err := l.end()
	close(l.ended)
	witnessed := make(chan struct{})
	go func() {
		l.attending.Wait()
		close(witnessed)
	}()
	select {
	case <-witnessed:
	case <-ctx.Done():
		err = errors.Join(err, errors.New("the last checkpoint of the audit log did not reach all witnesses"))
	}
	return err
}
