package audit

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/transparency-dev/merkle/compact"
)

// notary keeps a log's tree and signs for it. Only leaves whose records are on disk are handed to it, in order.
type notary struct {
	c       *Config
	metrics *metrics

	mu     sync.Mutex // guards what follows, and the order of the files beside the log
	origin string
	before *compact.Range // of the records before the present segment
	own    *compact.Range // of its own
	path   string         // the present segment's
	number uint64
	// unsaved are the hashes of the present segment's records behind the first saved ones.
	unsaved []Hash
	saved   uint64
	signed  time.Time // when newest was

	// told guards what follows too, of which only who holds mu changes newest and trouble: who asks how things are waits for
	// no disk.
	told    sync.Mutex
	newest  Checkpoint
	changed chan struct{} // closed when newest changes
	trouble error         // with the files beside the log
	faults  []string      // files that tell of logs that were given up
}

// pause is how long a checkpoint stands before the next is signed; with the log's interval, one a second.
const pause = 2*interval - interval/4

// size counts the records of which the notary knows.
func (n *notary) size() uint64 { return n.own.End() }

// start turns to a new segment.
func (n *notary) start(path string, number uint64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	whole, err := join(n.before, n.own)
	if err != nil {
		return err
	}
	n.before, n.own = whole, ranges.NewEmptyRange(whole.End())
	n.path, n.number, n.unsaved, n.saved = path, number, nil, 0
	return nil
}

// header is what the present segment's first record says.
func (n *notary) header() SegmentRecord {
	n.mu.Lock()
	defer n.mu.Unlock()
	return SegmentRecord{Origin: n.origin, Number: n.number, First: n.before.End(), Range: hashesOf(n.before)}
}

// fold takes leaves into the tree, and signs and saves what is due. It is called with held locked, which it unlocks once
// nobody else can come in between: writers don't wait for what it does.
func (n *notary) fold(held *sync.Mutex, leaves []Hash, now time.Time, atOnce bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	held.Unlock()
	n.add(leaves)
	n.keep(now, atOnce)
}

func (n *notary) add(leaves []Hash) {
	if err := extend(n.own, leaves); err != nil {
		n.failed(fmt.Errorf("folding records into the tree: %w", err))
		return
	}
	n.unsaved = append(n.unsaved, leaves...)
	n.metrics.leaves.Set(float64(n.size()))
}

// keep saves hashes and signs a checkpoint if the tree has grown and it is time, or if it is asked to at once.
func (n *notary) keep(now time.Time, atOnce bool) {
	var err error
	if len(n.unsaved) > 0 {
		if err = saveLeaves(n.path, n.saved, n.unsaved); err != nil {
			err = fmt.Errorf("saving hashes: %w", err) // which is no reason not to sign
		} else {
			n.saved, n.unsaved = n.saved+uint64(len(n.unsaved)), n.unsaved[:0]
		}
	}
	since := now.Sub(n.signed)
	signed := n.size() == n.newest.Size
	if due := atOnce || since < 0 || since >= pause; !signed && due {
		e := n.sign(now)
		err, signed = errors.Join(err, e), e == nil
	}
	switch {
	case err != nil:
		n.failed(err)
	case signed:
		n.well()
	}
}

// sign signs a checkpoint of the whole tree and puts it on disk.
func (n *notary) sign(now time.Time) error {
	whole, err := join(n.before, n.own)
	if err != nil {
		return err
	}
	root, err := rootOf(whole)
	if err != nil {
		return err
	}
	c, err := n.c.Key.sign(n.origin, whole.End(), root)
	if err != nil {
		return err
	}
	if err := replaceFile(checkpointPath(n.c.Directory, n.c.Replica), []byte(c.Note)); err != nil {
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

// cover signs for leaves and all before them at once.
func (n *notary) cover(leaves []Hash, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.add(leaves)
	n.keep(now, true)
}

// seal finishes the present segment: leaves are the last of its records.
func (n *notary) seal(leaves []Hash, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.add(leaves)
	if n.own.Begin() == n.own.End() {
		return
	}
	n.keep(now, true)
	if n.newest.Size != n.size() {
		return // which keep has told; the next start, or whoever verifies, does without
	}
	if err := appendSeal(n.c.Directory, n.c.Replica, n.sealed()); err != nil {
		n.failed(fmt.Errorf("sealing a segment: %w", err))
	}
}

func (n *notary) sealed() *seal {
	return &seal{
		Segment: filepath.Base(n.path), Number: n.number, Origin: n.origin,
		First: n.own.Begin(), Size: n.own.End(), Range: hashesOf(n.own), Checkpoint: n.newest.Note,
	}
}

// renew begins a log of a new origin, with the checkpoint of an empty tree: from here on a segment without a checkpoint
// beside it is one whose checkpoint is gone.
func (n *notary) renew(now time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var b [4]byte
	if _, err := n.c.Random.Read(b[:]); err != nil {
		return fmt.Errorf("naming a log: %w", err)
	}
	n.origin = n.c.Key.Name() + "/" + n.c.Replica + "/" + hex.EncodeToString(b[:])
	n.before, n.own = ranges.NewEmptyRange(0), ranges.NewEmptyRange(0)
	n.unsaved, n.saved = nil, 0
	return n.sign(now)
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

// behind is nil where the newest checkpoint is of the whole tree.
func (n *notary) behind() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.newest.Size != n.size() {
		return fmt.Errorf("no checkpoint can be kept: %w", n.trouble)
	}
	return nil
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

// giveUp leaves word of a log that is not continued, until somebody who has looked into it removes the file.
func (n *notary) giveUp(why string, now time.Time) {
	stem := n.faultStem(now)
	path := stem + faultSuffix
	n.c.Log.Error("the audit log contradicts its own checkpoint; it is left as it is, and a log of a new origin begins. "+
		"Look into it, then remove the file that says so", "fault", why, "file", path)
	if err := replaceFile(path, []byte(why+"\n")); err != nil {
		n.c.Log.Error("leaving word of it", "error", err)
	}
	// What it contradicts stays to be held against it.
	if err := os.Rename(checkpointPath(n.c.Directory, n.c.Replica), stem+checkpointSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		n.c.Log.Error("keeping the checkpoint of a log that was given up", "error", err)
	}
	n.told.Lock()
	defer n.told.Unlock()
	n.faults = append(n.faults, path)
}

// faultStem is what the names of a fault's files begin with. Nothing of an earlier fault is overwritten, also where the
// clock says the same time twice.
func (n *notary) faultStem(now time.Time) string {
	for ; ; now = now.Add(time.Second) {
		stem := filepath.Join(n.c.Directory, n.c.Replica+"."+now.UTC().Format(startLayout))
		_, err1 := os.Lstat(stem + faultSuffix)
		_, err2 := os.Lstat(stem + checkpointSuffix)
		if err1 != nil && err2 != nil {
			return stem
		}
	}
}

// findFaults looks for word of earlier ones.
func (n *notary) findFaults() error {
	entries, err := os.ReadDir(n.c.Directory)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		at, ok1 := strings.CutPrefix(name, n.c.Replica+".")
		at, ok2 := strings.CutSuffix(at, faultSuffix)
		if _, err := time.Parse(startLayout, at); ok1 && ok2 && err == nil { // another replica's name may begin with ours
			n.faults = append(n.faults, filepath.Join(n.c.Directory, name))
		}
	}
	return nil
}

// lookAtFaults forgets the faults whose files have been removed.
func (n *notary) lookAtFaults() {
	n.told.Lock()
	defer n.told.Unlock()
	n.faults = slices.DeleteFunc(n.faults, func(path string) bool {
		_, err := os.Lstat(path)
		return errors.Is(err, os.ErrNotExist)
	})
}

// health is nil where checkpoints are kept and no log was given up.
func (n *notary) health() error {
	n.told.Lock()
	defer n.told.Unlock()
	if len(n.faults) > 0 {
		return fmt.Errorf("the audit log contradicted its own checkpoint, and was begun anew; see %s, and remove it when you have", filepath.Base(n.faults[0]))
	}
	if n.trouble != nil {
		return errors.New("checkpoints of the audit log can't be kept") // the log says why
	}
	return nil
}
