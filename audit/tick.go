package audit

import (
	"errors"
	"time"
)

// interval is how often the log looks after itself. Everything is on disk within two of them and an fsync.
const interval = 400 * time.Millisecond

func (l *Log) run() {
	defer close(l.stopped)
	t := time.NewTicker(interval)
	defer t.Stop()
	l.look(l.c.Now())
	for {
		select {
		case <-l.stop:
			return
		case <-t.C:
			l.tick()
		case <-l.nearlyFull:
			l.tick()
		}
	}
}

// tick writes the summaries whose second is over, puts the log on disk, folds what is there into the tree and signs for
// it, brings a failed log back, drops old files, and looks how much room there is.
func (l *Log) tick() {
	l.ticks.Lock()
	defer l.ticks.Unlock()
	now := l.c.Now()
	l.flush(now)
	if s := l.current(); s != nil {
		if err := s.sync(s.written.Load(), l.metrics.timed); err != nil {
			l.failed(s, err)
		}
	}
	_ = l.fold(now, false) // CheckpointHealth tells
	l.notary.lookAtFaults()
	l.sweep(now)
	l.look(now)
}

func (l *Log) current() *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.segment
}

// flush writes what is due. On a log that failed it writes even if nothing is: the record of the gap is its probe.
func (l *Log) flush(now time.Time) {
	due := l.failures.due(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(due) == 0 && l.fault.err == nil && l.disowned == "" && l.announce == "" {
		return
	}
	if err := l.writeSummaries(due); err != nil {
		l.failures.keep(due)
	}
}

func (l *Log) writeSummaries(due []*summary) error {
	if err := l.ready(); err != nil {
		return err
	}
	for _, s := range due {
		l.start(typeFailures, s.id, s.first)
		l.line.failures(s)
		l.line.end()
	}
	if len(l.records) == 0 {
		return nil
	}
	return l.write()
}

// end writes what is left to write and closes the files, once nothing ticks any more.
func (l *Log) end() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = false // for these last writes
	defer func() { l.closed = true }()
	var err error
	due := l.failures.due(time.Time{})
	if len(due) > 0 || len(l.carried) > 0 {
		err = l.writeSummaries(due)
	}
	err = errors.Join(err, l.endSegment())
	if len(l.carried) > 0 { // out of that segment, if its last fsync failed: one more may do
		err = errors.Join(err, l.writeSummaries(nil), l.endSegment())
	}
	if len(l.carried) > 0 {
		l.c.Log.Error("records of the audit log were lost with their file, which could not be put on disk; none was awaited", "bytes", len(l.carried))
	}
	return errors.Join(err, l.lock.Close())
}

func (l *Log) endSegment() error {
	s := l.segment
	if s == nil {
		return nil
	}
	l.segment = nil
	err := s.finish(l.metrics.timed)
	if l.c.Continue && err == nil && s.onDisk() > 0 {
		l.notary.take(l.takeLeaves(s.onDisk()))
	} else {
		l.retire(s)
	}
	return errors.Join(err, l.notary.keep(l.c.Now(), true))
}
