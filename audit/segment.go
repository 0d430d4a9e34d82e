package audit

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// segment is one file of the log. Only its log writes to it, under the log's mutex; anybody may wait for its disk.
type segment struct {
	path    string
	file    file
	disk    disk
	started time.Time
	// written is the length of the whole records in the file.
	written atomic.Int64
	// announced says that it has been told to be nearly full; the log's mutex guards it.
	announced bool

	mu      sync.Mutex    // guards what follows; nobody holds it during an fsync
	syncing chan struct{} // closed when the fsync that is under way ends; nil if none is
	durable int64         // the length that is on disk
	lost    error         // the fsync that failed
	named   bool          // the file's name is on disk; only who syncs asks
	failed  atomic.Bool   // lost is set
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

// sync returns when everything up to end is on disk. One of those who wait works for all: an fsync covers what is
// written when it begins, and whoever came later shares the next.
func (s *segment) sync(end int64, observe func(func() error) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.durable < end && s.lost == nil && s.syncing != nil {
		under := s.syncing
		s.mu.Unlock()
		<-under
		s.mu.Lock()
	}
	if s.durable >= end {
		return nil
	}
	if s.lost != nil {
		// The kernel reports a failed write-back once and then calls the pages clean: a second fsync that succeeds
		// would prove nothing.
		return s.lost
	}
	s.syncing = make(chan struct{})
	written := s.written.Load()
	s.mu.Unlock()
	err := observe(s.flush)
	s.mu.Lock()
	close(s.syncing)
	s.syncing = nil
	if err != nil {
		s.lost = fmt.Errorf("%w: %w", errLost, err)
		s.failed.Store(true)
		return s.lost
	}
	s.durable = written
	return nil
}

// flush puts the file on disk, and the first time its name, too: so that it is made without waiting for a disk.
func (s *segment) flush() error {
	if err := s.file.Sync(); err != nil || s.named {
		return err
	}
	err := s.disk.SyncDirectory(filepath.Dir(s.path))
	s.named = err == nil
	return err
}

// onDisk is the length that is on disk.
func (s *segment) onDisk() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.durable
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
