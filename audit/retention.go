package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/lakegate/sts/exchange"
)

// actionDrop is the action of the record that says what retention drops; its object is the first segment of a replica that
// is kept, "<replica>.<number>". It is written before the files go, and again, for all replicas, whenever a file goes: so
// that it is never itself past its retention while somebody asks where the beginning of a log went.
const actionDrop = "audit.drop"

func firstKept(replica string, number uint64) string {
	return fmt.Sprintf("%s.%010d", replica, number)
}

func parseFirstKept(object string) (replica string, number uint64, ok bool) {
	replica, text, ok := cutLast(object, '.')
	number, err := strconv.ParseUint(text, 10, 64)
	return replica, number, ok && err == nil && replica != ""
}

// sweep drops old segments, once an hour of our clock, and when that was set back.
func (l *Log) sweep(now time.Time) {
	if since := now.Sub(l.swept); since >= 0 && since < time.Hour {
		return
	}
	l.swept = now
	dropped, err := l.drop(now.Add(-l.c.Retention), now)
	if err != nil {
		l.c.Log.Error("dropping old segments of the audit log", "error", err)
	}
	if dropped > 0 {
		l.c.Log.Info("dropped segments of the audit log that are past their retention", "files", dropped)
	}
}

// drop drops the segments that ended before deadline, of all replicas, and keeps their seals. One that can't be sealed
// stays, and holds up no other: the disk would fill.
func (l *Log) drop(deadline, now time.Time) (dropped int, err error) {
	names, err := listSegments(l.c.Directory)
	if err != nil {
		return 0, err
	}
	old := pastRetention(names, deadline)
	var sealed []segmentName
	for _, n := range old {
		if e := l.sealOld(n); e != nil {
			err = errors.Join(err, fmt.Errorf("sealing %s: %w", n.path, e))
			continue
		}
		sealed = append(sealed, n)
	}
	if len(sealed) == 0 {
		return 0, err
	}
	if e := l.recordDrop(names, old, now); e != nil {
		return 0, errors.Join(err, e)
	}
	// A segment's seal is all that is left of it.
	if e := l.c.disk.SyncDirectory(l.c.Directory); e != nil {
		return 0, errors.Join(err, e)
	}
	for _, n := range sealed {
		// The hashes first: without their segment nobody would come by for them again.
		if e := l.c.disk.Remove(leavesPath(n.path)); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		if e := l.c.disk.Remove(n.path); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
			continue
		}
		dropped++
	}
	return dropped, err
}

// pastRetention are the segments that ended before deadline: those whose successor started before it, and they
// themselves too, since a clock that was behind may have named the successor. The last of each replica stays, whoever's
// it is.
func pastRetention(names []segmentName, deadline time.Time) (old []segmentName) {
	deadline = deadline.Truncate(time.Second) // as the starts in names are
	for i := range len(names) - 1 {
		if next := names[i+1]; next.replica == names[i].replica && next.started.Before(deadline) && names[i].started.Before(deadline) {
			old = append(old, names[i])
		}
	}
	return old
}

// sealOld makes a seal, without a checkpoint, for a segment that has none: where the disk was full when it ended.
func (l *Log) sealOld(n segmentName) error {
	seals, err := readSeals(l.c.Directory, n.replica, func(int, error) {})
	if err != nil || slices.ContainsFunc(seals, func(s *seal) bool { return s.Number == n.number }) {
		return err
	}
	header, err := readHeader(n.path)
	if err != nil {
		return err
	}
	if header == nil {
		if info, err := os.Stat(n.path); err != nil || info.Size() == 0 {
			return err // nothing was ever in it
		}
		return errors.New("it does not begin with the record that says where it stands in the log")
	}
	leaves, _, err := hashLines(n.path, -1)
	if err != nil {
		return err
	}
	r, err := rangeOf(header.First, leaves)
	if err != nil {
		return err
	}
	return appendSeal(l.c.disk, l.c.Directory, n.replica, &seal{
		Segment: filepath.Base(n.path), Number: n.number, Origin: header.Origin, First: header.First, Size: r.End(), Range: hashesOf(r),
	})
}

// recordDrop records, for each replica of which segments are dropped or were, which is the first that is kept, puts that
// on disk, and has it signed: whoever verifies believes no such record that no checkpoint covers.
func (l *Log) recordDrop(names, old []segmentName, now time.Time) error {
	var seen string
	for _, n := range names {
		if n.replica == seen || slices.Contains(old, n) {
			continue
		}
		seen = n.replica // n is the first that is kept
		seals, err := readSeals(l.c.Directory, n.replica, func(int, error) {})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(seals, func(s *seal) bool { return s.Number < n.number }) {
			continue
		}
		s, end, err := l.append(&exchange.Event{ID: l.newID(), Time: now, Admin: &exchange.Admin{
			Action: actionDrop, Object: firstKept(n.replica, n.number),
			Detail: fmt.Sprintf("the segments before this one are past their retention of %v", l.c.Retention),
		}})
		if err != nil {
			return err
		}
		if s == nil {
			s, end = l.current(), 0
			if s != nil {
				end = s.written.Load()
			}
		}
		if s == nil {
			return errors.New("the audit log can't be written")
		}
		if err := s.sync(end, l.metrics.timed); err != nil {
			l.failed(s, err)
			return err
		}
	}
	return l.sign(now)
}

// sign has all that is on disk signed for at once.
func (l *Log) sign(now time.Time) error {
	return l.fold(now, true)
}
