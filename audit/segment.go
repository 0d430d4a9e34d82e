package audit

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// file is what a segment needs of the operating system.
type file interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Close() error
}

// segment is one file of the log. Only its log writes to it, under the log's mutex; anybody may wait for its disk.
type segment struct {
	path    string
	file    file
	started time.Time
	// written is the length of the whole records in the file.
	written atomic.Int64

	disk    sync.Mutex // held during an fsync, so that those who wait meanwhile share the next
	durable int64      // the length that is on disk
	lost    error      // the fsync that failed
	failed  atomic.Bool
}

var errLost = errors.New("an earlier fsync of this file failed")

// append writes whole records by one write(2).
func (s *segment) append(records []byte) error {
	n, err := s.file.Write(records)
	if err == nil && n < len(records) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return err
	}
	s.written.Add(int64(n))
	return nil
}

// sync returns when everything up to end is on disk. It syncs all that is written by then, so that of those who wait
// together one works for all.
func (s *segment) sync(end int64, observe func(func() error) error) error {
	s.disk.Lock()
	defer s.disk.Unlock()
	if s.durable >= end {
		return nil
	}
	if s.lost != nil {
		// The kernel reports a failed write-back once and then calls the pages clean: a second fsync that succeeds
		// would prove nothing.
		return s.lost
	}
	written := s.written.Load()
	if err := observe(s.file.Sync); err != nil {
		s.lost = fmt.Errorf("%w: %w", errLost, err)
		s.failed.Store(true)
		return s.lost
	}
	s.durable = written
	return nil
}

// finish closes the file for good, with everything on disk.
func (s *segment) finish(observe func(func() error) error) error {
	return errors.Join(s.sync(s.written.Load(), observe), s.file.Close())
}

// abandon closes a file that failed, without what was half written, and saves what can be saved.
func (s *segment) abandon(observe func(func() error) error) error {
	if s.failed.Load() {
		return s.file.Close()
	}
	return errors.Join(s.file.Truncate(s.written.Load()), s.finish(observe))
}
