package audit

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/transparency-dev/merkle/compact"
)

// notary keeps a log's tree and signs for it. Only leaves whose records are on disk are handed to it, in order.
//
// A writer, who holds the log's mutex, hands it leaves and turns it to the next segment, and waits for no disk here. What
// is to be written beside the log, keep writes.
type notary struct {
	c       *Config
	metrics *metrics

	files  sync.Mutex // the order of the files beside the log; held through their fsyncs, and taken before mu
	signed time.Time  // when newest was; guarded by files

	mu      sync.Mutex // guards the tree; held for moments
	origin  string
	section *section   // the present segment's
	ended   []*section // those that have no seal yet, oldest first
	waiting []Hash     // leaves behind those in section

	// told guards what is told of all this, to those who wait for no disk either.
	told    sync.Mutex
	newest  Checkpoint // changed only by who holds files
	changed chan struct{}
	trouble error    // with the files beside the log
	faults  []string // files that tell of logs that were given up
}

// section is a segment's part of the tree.
type section struct {
	path   string
	number uint64
	before *compact.Range // of the records before it
	own    *compact.Range // of its own
	// unsaved are the hashes of its records behind the first saved ones.
	unsaved []Hash
	saved   uint64
	note    string // the checkpoint of its end, once it has one; guarded by notary.files
}

// pause is how long a checkpoint stands before the next is signed; with the log's interval, one a second.
const pause = 2*interval - interval/4

// open takes a log up where a checkpoint of its own and the records before a segment say.
func (n *notary) open(newest Checkpoint, before *compact.Range) {
	n.origin, n.newest = newest.Origin, newest
	n.section = &section{before: before, own: ranges.NewEmptyRange(before.End())}
}

// start names the segment that the next leaves are of.
func (n *notary) start(path string, number uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.section.path, n.section.number = path, number
}

// header is what the present segment's first record says.
func (n *notary) header() SegmentRecord {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.section
	return SegmentRecord{Origin: n.origin, Number: s.number, First: s.before.End(), Range: hashesOf(s.before)}
}

// take takes leaves over, and the slice that holds them.
func (n *notary) take(leaves []Hash) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waiting) == 0 {
		n.waiting = leaves
		return
	}
	n.waiting = append(n.waiting, leaves...)
}

// fold folds what waits into the tree.
func (n *notary) fold() {
	s := n.section
	if err := extend(s.own, n.waiting); err != nil {
		n.failed(fmt.Errorf("folding records into the tree: %w", err))
	}
	s.unsaved = append(s.unsaved, n.waiting...)
	n.waiting = nil // and not n.waiting[:0]: the range keeps the hashes where they are
	n.metrics.leaves.Set(float64(s.own.End()))
}

// end ends the present segment: leaves are its last. It is sealed when keep comes by.
func (n *notary) end(leaves []Hash) {
	n.take(leaves)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fold()
	if n.section.own.Begin() == n.section.own.End() {
		return
	}
	whole, err := join(n.section.before, n.section.own)
	if err != nil {
		n.failed(err)
		return
	}
	n.ended = append(n.ended, n.section)
	n.section = &section{before: whole, own: ranges.NewEmptyRange(whole.End())}
}

// keep seals the segments that have ended, saves hashes, and signs a checkpoint if the tree has grown and it is time, or if
// it is asked to at once. Nobody who writes records waits for it.
func (n *notary) keep(now time.Time, atOnce bool) error {
	n.files.Lock()
	defer n.files.Unlock()
	err := n.keepInOrder(now, atOnce)
	if err != nil {
		n.failed(err)
	} else if n.newest.Size == n.size() {
		n.well()
	}
	return err
}

func (n *notary) keepInOrder(now time.Time, atOnce bool) error {
	n.mu.Lock()
	n.fold()
	ended, present := n.ended, n.section
	whole, err := join(present.before, present.own)
	n.mu.Unlock()
	if err != nil {
		return err
	}
	for _, s := range ended {
		if err := n.signEnd(s, now); err != nil {
			return err // what comes behind it is not signed before it
		}
	}
	err = errors.Join(n.save(present, false), n.seal(ended)) // if that fails, it is no reason not to sign
	since := now.Sub(n.signed)
	if due := atOnce || since < 0 || since >= pause; due && whole.End() != n.newest.Size {
		err = errors.Join(err, n.sign(whole, now))
	}
	return err
}

// signEnd signs for the end of a segment.
func (n *notary) signEnd(s *section, now time.Time) error {
	if s.note != "" {
		return nil
	}
	whole, err := join(s.before, s.own)
	if err != nil {
		return err
	}
	if whole.End() != n.newest.Size {
		if err := n.sign(whole, now); err != nil {
			return err
		}
	}
	s.note = n.newest.Note
	return nil
}

// seal writes the seals of segments that have ended and been signed for.
func (n *notary) seal(ended []*section) (err error) {
	for _, s := range ended {
		err = errors.Join(err, n.save(s, true))
		if e := appendSeal(n.c.disk, n.c.Directory, n.c.Replica, &seal{
			Segment: filepath.Base(s.path), Number: s.number, Origin: n.origin,
			First: s.own.Begin(), Size: s.own.End(), Range: hashesOf(s.own), Checkpoint: s.note,
		}); e != nil {
			return errors.Join(err, fmt.Errorf("sealing a segment: %w", e))
		}
		n.mu.Lock()
		n.ended = n.ended[1:]
		n.mu.Unlock()
	}
	return err
}

// size counts the records in the tree.
func (n *notary) size() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.section.own.End()
}

// save saves the hashes of a section that are not saved yet; last says that there will be no more.
func (n *notary) save(s *section, last bool) error {
	n.mu.Lock()
	unsaved, from := s.unsaved, s.saved
	n.mu.Unlock()
	if len(unsaved) == 0 && !last {
		return nil
	}
	if err := saveLeaves(n.c.disk, s.path, from, unsaved, last); err != nil {
		return fmt.Errorf("saving hashes: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s.unsaved, s.saved = append(s.unsaved[:0], s.unsaved[len(unsaved):]...), from+uint64(len(unsaved))
	return nil
}

// sign signs a checkpoint of the whole tree and puts it on disk.
func (n *notary) sign(whole *compact.Range, now time.Time) error {
	root, err := rootOf(whole)
	if err != nil {
		return err
	}
	c, err := n.c.Key.sign(n.origin, whole.End(), root)
	if err != nil {
		return err
	}
	if err := replaceFile(n.c.disk, checkpointPath(n.c.Directory, n.c.Replica), []byte(c.Note)); err != nil {
		return fmt.Errorf("keeping a checkpoint: %w", err)
	}
	n.signed = now
	n.told.Lock()
	defer n.told.Unlock()
	n.newest = c
	if n.changed != nil {
		close(n.changed)
		n.changed = nil
	}
	n.metrics.checkpoints.Inc()
	return nil
}

// renew begins a log of a new origin, with the checkpoint of an empty tree: from here on a segment without a checkpoint
// beside it is one whose checkpoint is gone.
func (n *notary) renew(now time.Time) error {
	n.files.Lock()
	defer n.files.Unlock()
	var b [4]byte
	if _, err := n.c.Random.Read(b[:]); err != nil {
		return fmt.Errorf("naming a log: %w", err)
	}
	n.mu.Lock()
	n.origin = n.c.Key.Name() + "/" + n.c.Replica + "/" + hex.EncodeToString(b[:])
	empty := ranges.NewEmptyRange(0)
	n.section, n.ended, n.waiting = &section{before: empty, own: ranges.NewEmptyRange(0)}, nil, nil
	n.mu.Unlock()
	if err := n.sign(empty, now); err != nil {
		return err
	}
	return n.c.disk.SyncDirectory(n.c.Directory)
}

// checkpoint is the newest.
func (n *notary) checkpoint() Checkpoint {
	n.told.Lock()
	defer n.told.Unlock()
	return n.newest
}

// watch returns the newest checkpoint, and a channel that is closed when it is no more.
func (n *notary) watch() (Checkpoint, <-chan struct{}) {
	n.told.Lock()
	defer n.told.Unlock()
	if n.changed == nil {
		n.changed = make(chan struct{})
	}
	return n.newest, n.changed
}

// failed notes trouble beside the log, and says so once. Records are accepted all the same: checkpoints are of what is
// on disk, and come late.
func (n *notary) failed(err error) {
	n.told.Lock()
	defer n.told.Unlock()
	if n.trouble == nil {
		n.c.Log.Error("checkpoints of the audit log can't be kept", "error", err)
	}
	n.trouble = err
}

func (n *notary) well() {
	n.told.Lock()
	defer n.told.Unlock()
	if n.trouble != nil {
		n.c.Log.Info("checkpoints of the audit log are kept again")
		n.trouble = nil
	}
}
