package audit

import (
	"crypto/sha256"
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
		if whole, _, _, err := hashWhole(last.path, 0); err != nil || len(whole) == 0 {
			return l.resumeBefore(segments, now, err)
		}
	}
	switch {
	case !kept && header == nil: // nothing yet, or segments from before there was a tree
		return "", l.notary.renew(now)
	case !kept && l.notary.leftWord(header.Origin) != "": // this process was killed while it gave that log up
		l.announce = l.notary.leftWord(header.Origin)
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
		l.announce = l.notary.leftWord("")             // which is the reason, if there was a log before it
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
	return "", l.c.disk.Remove(last)
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
	firm := uint64(0) // records of this segment that are not to be cut off
	switch {
	case s != nil:
		firm = allRecords
	case newest.Size > header.First:
		firm = newest.Size - header.First
	}
	leaves, end, length, err := hashWhole(last.path, firm)
	if err != nil {
		return "", err
	}
	if why, err := l.continues(last.path, before, leaves, newest); why != "" || err != nil {
		return why, err
	}
	if s != nil {
		if s.Size != header.First+uint64(len(leaves)) || end != length {
			return fmt.Sprintf("%s was sealed with %d records and has another end now", last.path, s.Size-s.First), nil
		}
		whole, err := rangeOf(before.End(), leaves)
		if err != nil {
			return "", err
		}
		if whole, err = join(before, whole); err != nil {
			return "", err
		}
		l.notary.open(newest, whole)
		return "", nil
	}
	if err := l.repair(last.path, end, length); err != nil {
		return "", err
	}
	l.notary.open(newest, before)
	l.notary.start(last.path, last.number)
	if l.c.Continue {
		l.notary.take(leaves)
		err = l.proceed(last, end)
	} else {
		l.notary.end(leaves)
	}
	_ = l.notary.keep(now, true) // CheckpointHealth tells
	return "", err
}

// proceed goes on in the last segment, which is on disk and ends there.
func (l *Log) proceed(last segmentName, end int64) error {
	f, err := l.c.disk.Open(last.path, os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return err
	}
	l.segment = &segment{path: last.path, file: f, disk: l.c.disk, started: last.started, durable: end}
	l.segment.written.Store(end)
	return nil
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

// repair cuts off what a crash left behind the last whole record of a segment, and puts the rest on disk: a checkpoint is
// about to be signed of it.
func (l *Log) repair(path string, end, length int64) error {
	if err := cutFile(l.c.disk, path, end); err != nil {
		return fmt.Errorf("repairing %s: %w", path, err)
	}
	if end < length {
		l.c.Log.Warn("the audit log ended in a torn record, which nobody was promised; it was cut off", "file", path, "bytes", length-end)
	}
	return nil
}

// allRecords is more than any segment has.
const allRecords = 1 << 62

// hashWhole hashes the records of a segment up to the first, behind the first firm ones, that is not whole, and says where
// that begins and how long the file is. After a power failure there may be a torn line, blocks of zeros, or old lines of
// another file, at the end or anywhere in what was not synced; what was is all before it.
func hashWhole(path string, firm uint64) (leaves []Hash, end, length int64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, 0, err
	}
	h := sha256.New()
	_, err = scanLines(path, -1, func(l line) bool {
		if uint64(len(leaves)) >= firm && !isObject(l.text) {
			return false
		}
		leaves = append(leaves, Hash{})
		hashLeaf(h, l.text, &leaves[len(leaves)-1])
		end = l.start + int64(len(l.text)) + 1
		return true
	})
	return leaves, end, info.Size(), err
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
