package audit

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lakegate/sts/exchange"
)

var errClosed = errors.New("the audit log is closed")

// fault is a log's present trouble. A nil err is none.
type fault struct {
	err     error
	since   time.Time
	refused int64 // records that were not accepted since
}

// Health is nil while records are accepted, else what is wrong.
func (l *Log) Health() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	return l.fault.err
}

// ready makes sure that there is a segment to write to, and starts the buffer anew. After a fault it starts with a
// record of the gap.
func (l *Log) ready() error {
	if l.closed {
		return errClosed
	}
	l.line.buf, l.records = l.line.buf[:0], l.wrote[:0]
	now := l.c.Now()
	switch s := l.segment; {
	case s == nil:
	case s.failed.Load():
		l.abandon(errLost)
	case l.disowned != "" || s.written.Load() > 0 && l.over(s, now):
		l.finish()
	}
	if l.disowned != "" {
		_ = l.notary.keep(now, true) // which tells; it is the last of that log
		if err := l.renounce(l.disowned, now); err != nil {
			l.broken(err)
			return err
		}
	}
	if l.segment == nil {
		if err := l.begin(); err != nil {
			l.broken(err)
			return err
		}
	}
	if l.segment.written.Load() == 0 {
		l.head(now)
	}
	if l.fault.err != nil {
		l.start(typeAdmin, l.newID(), now)
		l.line.admin(&exchange.Admin{
			Action: "audit.resume", Object: l.c.Replica,
			Detail: fmt.Sprintf("not writable since %s; %d records were refused, and so were their requests", l.fault.since.UTC().Format(time.RFC3339), l.fault.refused),
		})
		l.line.end()
	}
	return nil
}

// over reports whether a segment is full or old, and has it put on disk while it is only nearly full.
func (l *Log) over(s *segment, now time.Time) bool {
	written := s.written.Load()
	if written >= l.c.SegmentBytes || now.Sub(s.started) >= l.c.SegmentAge {
		return true
	}
	if written >= l.c.SegmentBytes-l.c.SegmentBytes/16 && !s.announced {
		s.announced = true
		select {
		case l.nearlyFull <- struct{}{}:
		default: // a tick is due anyway
		}
	}
	return false
}

// begin opens the next segment. Subjects and repeated exchanges are recorded anew in each, so that it can be read by
// itself.
func (l *Log) begin() error {
	now := l.c.Now()
	path := segmentPath(l.c.Directory, l.c.Replica, l.number+1, now)
	f, err := l.c.disk.Open(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND)
	if err != nil {
		return err
	}
	l.number++
	l.segment = &segment{path: path, file: f, disk: l.c.disk, started: now}
	l.subjects.Clear()
	l.firsts.Clear()
	l.notary.start(path, l.number)
	return nil
}

// head adds what stands first of all in a segment: where it stands in the log, what is carried over from a file that was
// given up, and word of a log that was.
func (l *Log) head(now time.Time) {
	header := l.notary.header()
	l.start(typeSegment, l.newID(), now)
	l.line.segment(&header)
	l.line.end()
	l.line.buf = append(l.line.buf, l.carried...)
	if l.announce != "" {
		l.start(typeAdmin, l.newID(), now)
		l.line.admin(&exchange.Admin{Action: "audit.renew", Object: header.Origin, Detail: l.announce})
		l.line.end()
	}
}

// renounce gives the log up, because of why, and turns to one of a new origin. If that fails it is to be called again,
// and doesn't leave its word twice. What is carried over goes to the new log: it was accepted.
func (l *Log) renounce(why string, now time.Time) error {
	if l.announce != why {
		l.notary.giveUp(why, now)
		l.announce = why
	}
	if err := l.notary.renew(now); err != nil {
		return err
	}
	l.disowned = ""
	return nil
}

// write appends the buffer. A segment that fails is given up: the next record tries another.
func (l *Log) write() error {
	at := l.segment.written.Load()
	if err := l.segment.append(l.line.buf); err != nil {
		l.abandon(err)
		return err
	}
	l.addLeaves(at)
	l.carried, l.announce = nil, ""
	for _, kind := range l.records {
		l.metrics.records[kind].Inc()
	}
	l.metrics.bytes.Add(float64(len(l.line.buf)))
	if l.fault.err != nil {
		l.c.Log.Warn("the audit log is writable again", "refused_records", l.fault.refused)
		l.fault = fault{}
	}
	return nil
}

// finish ends a segment that is full. Its last records are put on disk first: the next segment begins with the hashes of
// all that came before. That fsync is the only one that writers wait for here; its checkpoint and seal follow at the next
// tick, and the next one's name with its first fsync.
func (l *Log) finish() {
	s := l.segment
	l.segment = nil
	if err := s.finish(l.metrics.timed); err != nil {
		l.broken(err)
	}
	l.retire(s)
}

// abandon gives the segment up because of cause, and keeps of it what was whole.
func (l *Log) abandon(cause error) {
	s := l.segment
	l.segment = nil
	if err := s.abandon(l.metrics.timed); err != nil {
		l.c.Log.Error("giving up a failed segment of the audit log", "file", s.path, "error", err)
	}
	l.retire(s)
	l.broken(cause)
}

// broken notes a fault, and says so once.
func (l *Log) broken(err error) {
	l.metrics.errors.Inc()
	if l.fault.err == nil {
		l.fault.since = l.c.Now()
		l.c.Log.Error("the audit log can't be written; requests are refused until it can", "error", err)
	}
	l.fault.err = err
}

// failed notes a failed fsync of s: the writer gives it up when it comes by. Who learns of it late, when another has
// taken its place, changes nothing.
func (l *Log) failed(s *segment, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.segment == s && l.fault.err == nil {
		l.broken(err)
	}
}

// refused counts a record that was not accepted.
func (l *Log) refused() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault.err != nil {
		l.fault.refused++
	}
}
