package index

import (
	"os"
	"strings"
	"time"

	"github.com/lakegate/sts/audit"
)

// quiet is how long a log that isn't ours must not have grown to be taken for one that nobody writes: whoever writes signs
// for it every second.
const quiet = time.Minute

// shelf is the directory of the logs. It is read as seldom as may be: of each segment the first record has to be.
type shelf struct {
	directory string
	names     string // of the segments, when logs was made
	logs      []*standing
}

// standing is a log that stands in the directory.
type standing struct {
	audit.Standing
	// former says that its replica has another now.
	former bool
	// ended says that nobody writes it, so that all its records may be read, also those that no checkpoint covers: there
	// are so many.
	ended   bool
	records uint64
	counted os.FileInfo // its newest segment, when records were counted
}

// list lists the logs.
func (s *shelf) list(now time.Time) ([]*standing, error) {
	entries, err := os.ReadDir(s.directory)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".jsonl") {
			b.WriteString(e.Name() + "/")
		}
	}
	if names := b.String(); names != s.names {
		if err := s.read(); err != nil {
			return nil, err
		}
		s.names = names
	}
	for _, l := range s.logs {
		if err := l.look(s.directory, now); err != nil {
			return nil, err
		}
	}
	return s.logs, nil
}

func (s *shelf) read() error {
	logs, err := audit.Logs(s.directory)
	if err != nil {
		return err
	}
	s.logs = nil
	newest := map[string]string{} // of each replica
	for _, l := range logs {
		newest[l.Replica] = max(newest[l.Replica], l.Newest) // numbers have one width
	}
	for _, l := range logs {
		s.logs = append(s.logs, &standing{Standing: l, former: l.Newest != newest[l.Replica]})
	}
	return nil
}

// look sees whether somebody writes the log, and counts its records if not, once.
func (l *standing) look(directory string, now time.Time) error {
	info, err := os.Stat(l.Newest)
	if err != nil {
		return nil //nolint:nilerr // retention was here; the next look tells
	}
	l.ended = l.former || now.Sub(info.ModTime()) > quiet
	if !l.ended || l.counted != nil && l.counted.Size() == info.Size() && l.counted.ModTime().Equal(info.ModTime()) {
		return nil
	}
	l.records, err = audit.CountRecords(directory, l.Origin)
	if err == nil {
		l.counted = info
	}
	return err
}
