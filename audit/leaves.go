package audit

import (
	"bytes"
	"errors"
	"os"
	"time"
)

// leaf is a record that is written and perhaps not on disk yet.
type leaf struct {
	hash Hash
	end  int64 // the segment's length with it
	// awaited says that its caller waits for the disk, and is refused if that fails.
	awaited bool
}

// maxCarried bounds, in bytes, what is carried over from a file whose fsync failed: as much as a busy second writes. On a
// disk that stays broken, the records of each try add up.
const maxCarried = 8 << 20

// addLeaves hashes the lines of the buffer, which stands in the segment from at.
func (l *Log) addLeaves(at int64) {
	for rest := l.line.buf; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		at += int64(end) + 1
		l.leaves = append(l.leaves, leaf{end: at})
		hashLeaf(l.hasher, rest[:end], &l.leaves[len(l.leaves)-1].hash)
		rest = rest[end+1:]
	}
}

// takeLeaves takes the leaves out that end within the first durable bytes of the segment.
func (l *Log) takeLeaves(durable int64) []Hash {
	n := 0
	for n < len(l.leaves) && l.leaves[n].end <= durable {
		n++
	}
	taken := make([]Hash, n)
	for i := range taken {
		taken[i] = l.leaves[i].hash
	}
	l.leaves = append(l.leaves[:0], l.leaves[n:]...)
	return taken
}

// fold hands the notary what is on disk; it signs for that when it is time, or at once.
func (l *Log) fold(now time.Time, atOnce bool) error {
	l.mu.Lock()
	if l.segment != nil {
		l.notary.take(l.takeLeaves(l.segment.onDisk()))
	}
	l.mu.Unlock()
	return l.notary.keep(now, atOnce)
}

// retire hands the notary a segment that is over. What is not on disk is cut off there, and carried over to the next: the
// tree is of what is on disk, and one more fsync of this file would prove nothing.
func (l *Log) retire(s *segment) {
	durable := s.onDisk()
	taken := l.takeLeaves(durable)
	if len(l.leaves) > 0 { // before the seal, behind which nothing may stand if this process is killed
		if err := l.carry(s, durable); err != nil {
			l.c.Log.Error("records of the audit log were lost with their file, which could not be put on disk; none was awaited",
				"file", s.path, "records", len(l.leaves), "error", err)
		}
		l.leaves = l.leaves[:0]
	}
	l.notary.end(taken)
	if durable == 0 { // a full disk would collect empty files
		if err := l.c.disk.Remove(s.path); err != nil {
			l.c.Log.Error("removing a segment of the audit log that holds nothing", "file", s.path, "error", err)
		}
	}
}

// carry takes the records behind the first durable bytes out of s.
func (l *Log) carry(s *segment, durable int64) error {
	defer func() {
		if err := cutFile(l.c.disk, s.path, durable); err != nil {
			l.c.Log.Error("cutting off what is not on disk", "file", s.path, "error", err)
		}
	}()
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	text := make([]byte, l.leaves[len(l.leaves)-1].end-durable)
	if len(text)+len(l.carried) > maxCarried {
		return errors.New("too many")
	}
	if _, err := f.ReadAt(text, durable); err != nil {
		return err
	}
	// The disk is not to be believed: only what reads as it was written is carried over. What was
	// awaited was refused; and the next has a header of its own.
	at := durable
	for i, leaf := range l.leaves {
		line := text[at-durable : leaf.end-1-durable]
		at = leaf.end
		if LeafHash(line) != leaf.hash {
			return errors.New("they don't read as they were written")
		}
		if header := i == 0 && durable == 0; header || leaf.awaited {
			continue
		}
		l.carried = append(append(l.carried, line...), '\n')
	}
	return nil
}
