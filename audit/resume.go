package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/transparency-dev/merkle/compact"
)

// resume finds out where a replica's log stands: it proves that what is there continues the newest checkpoint, cuts off
// a torn end behind it, and seals what a crash left open. A log that does not continue its checkpoint is not touched:
// why is not empty then, and a new one is to be begun.
func (l *Log) resume(segments []segmentName, now time.Time) (why string, err error) {
	newest, kept, err := readCheckpoint(l.c.Directory, l.c.Replica, PublicKeys{l.c.Key.Public()})
	if kept && err != nil {
		return fmt.Sprintf("the newest checkpoint is %v", err), nil
	}
	if err != nil {
		return "", err
	}
	var last segmentName
	var header *SegmentRecord
	if len(segments) > 0 {
		last = segments[len(segments)-1]
		if header, err = readHeader(last.path); err != nil {
			return "", err
		}
	}
	if header == nil && last.path != "" {
		if whole, err := wholeLength(last.path, false); err != nil || whole == 0 {
			return l.resumeBefore(segments, now, err)
		}
	}
	switch {
	case !kept && header == nil: // nothing yet, or segments from before there was a tree
		if err := l.repair(last.path); err != nil {
			return "", err
		}
		return "", l.notary.renew(now)
	case !kept:
		return "the newest checkpoint is gone", nil
	case header == nil && last.path != "":
		return last.path + " does not begin with the record that says where it stands in the log", nil
	case header == nil || header.Origin != newest.Origin:
		if newest.Size > 0 {
			return fmt.Sprintf("%d records have gone, all of the log %s", newest.Size, newest.Origin), nil
		}
		l.notary.open(newest, ranges.NewEmptyRange(0)) // it was named and then nothing was written
		return "", nil
	}
	return l.resumeIn(last, header, newest, now)
}

// resumeBefore is for a last segment without a single whole record, which a power failure may leave behind. It goes if the
// log is whole without it.
func (l *Log) resumeBefore(segments []segmentName, now time.Time, err error) (string, error) {
	if err != nil {
		return "", err
	}
	last := segments[len(segments)-1].path
	why, err := l.resume(segments[:len(segments)-1], now)
	if why != "" || err != nil {
		return why, err
	}
	l.c.Log.Warn("the audit log ended in a torn record, which nobody was promised; its segment held no other, and was removed", "file", last)
	return "", os.Remove(last)
}

// resumeIn goes through the last segment.
func (l *Log) resumeIn(last segmentName, header *SegmentRecord, newest Checkpoint, now time.Time) (why string, err error) {
	before, err := header.before()
	if err != nil {
		return err.Error(), nil
	}
	if header.Number != last.number || header.Replica != l.c.Replica {
		return fmt.Sprintf("%s says that it is segment %d of %s", last.path, header.Number, header.Replica), nil
	}
	s, err := l.sealOf(last, header)
	if err != nil {
		return "", err
	}
	whole, err := wholeLength(last.path, s != nil)
	if err != nil {
		return "", err
	}
	leaves, torn, err := hashLines(last.path, whole)
	if err != nil {
		return "", err
	}
	size := header.First + uint64(len(leaves))
	if why, err := l.continues(last.path, before, leaves, newest); why != "" || err != nil {
		return why, err
	}
	if s != nil {
		if s.Size != size || torn > 0 {
			return fmt.Sprintf("%s was sealed with %d records and has another end now", last.path, s.Size-s.First), nil
		}
	} else if err := l.repair(last.path); err != nil {
		return "", err
	}
	l.notary.open(newest, before)
	if err := l.notary.start(last.path, last.number); err != nil {
		return "", err
	}
	switch {
	case s != nil:
		return "", extend(l.notary.own, leaves)
	case l.c.Continue:
		return "", l.proceed(last, leaves, now)
	default:
		l.notary.seal(leaves, now)
		return "", nil
	}
}

// proceed goes on in the last segment, whose records, with these leaves, are on disk.
func (l *Log) proceed(last segmentName, leaves []Hash, now time.Time) error {
	f, err := os.OpenFile(last.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.segment = &segment{path: last.path, file: f, started: last.started, durable: info.Size()}
	l.segment.written.Store(info.Size())
	l.notary.cover(leaves, now)
	return nil
}

// open takes a log up where a checkpoint of its own and the records before a segment say.
func (n *notary) open(newest Checkpoint, before *compact.Range) {
	n.origin, n.newest = newest.Origin, newest
	n.before, n.own = before, ranges.NewEmptyRange(before.End())
}

// continues says what contradicts the newest checkpoint, "" if nothing does.
func (l *Log) continues(path string, before *compact.Range, leaves []Hash, newest Checkpoint) (why string, err error) {
	size := before.End() + uint64(len(leaves))
	if newest.Size > size {
		return fmt.Sprintf("%d records are there of the %d of the newest checkpoint; %s ends early", size, newest.Size, path), nil
	}
	var root Hash
	if newest.Size >= before.End() {
		root, err = rootWith(before, leaves[:newest.Size-before.End()])
	} else {
		// The segment's beginning was never followed by a checkpoint: the newest is of an earlier segment.
		var c *chain
		if c, err = openChain(l.c.Directory, l.c.Replica, newest.Origin); err == nil {
			root, err = c.strictly().root(newest.Size)
		}
	}
	if err != nil {
		return fmt.Sprintf("the root at the newest checkpoint can't be found: %v", err), nil
	}
	if root != newest.Root {
		return fmt.Sprintf("the first %d records are not those of the newest checkpoint; `sts audit verify` tells which is wrong", newest.Size), nil
	}
	return "", nil
}

func (l *Log) sealOf(last segmentName, header *SegmentRecord) (found *seal, err error) {
	seals, err := readSeals(l.c.Directory, l.c.Replica, func(number int, err error) {
		l.c.Log.Error("a damaged seal of the audit log", "line", number, "error", err)
	})
	for _, s := range seals {
		if s.Number == last.number && s.Origin == header.Origin {
			found = s
		}
	}
	return found, err
}

// repair cuts off what a crash left behind the last whole record of a segment, and puts the rest on disk.
func (l *Log) repair(path string) error {
	if path == "" {
		return nil
	}
	cut, err := repairTail(path)
	if err != nil {
		return fmt.Errorf("repairing %s: %w", path, err)
	}
	if cut > 0 {
		l.c.Log.Warn("the audit log ended in a torn record, which nobody was promised; it was cut off", "file", path, "bytes", cut)
	}
	return nil
}

// wholeLength is where a segment's whole records end: of a sealed one, all its lines.
func wholeLength(path string, sealed bool) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if sealed {
		return info.Size(), nil
	}
	return wholeRecords(f, info.Size())
}

// hashLines hashes the records of a segment, as far as limit bytes (all if it is negative), and says how many bytes there
// are behind the last.
func hashLines(path string, limit int64) (leaves []Hash, torn int64, err error) {
	h := sha256.New()
	torn, err = scanLines(path, limit, func(l line) bool {
		leaves = append(leaves, Hash{})
		hashLeaf(h, l.text, &leaves[len(leaves)-1])
		return true
	})
	return leaves, torn, err
}
