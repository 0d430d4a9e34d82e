package export

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// places remembers where the exchanges and subjects of the segment that is being read stand in their file: later records
// refer to them. It costs about 30 bytes each, and a segment has 400,000 at most. Those of the segment before are kept,
// too: after a failed fsync a repeat may stand in the segment behind that of its exchange.
type places struct {
	now, before segment
}

type segment struct {
	path string
	at   map[uuid.UUID]int64
}

// kinds are what a line begins with that is worth remembering.
var kinds = [][]byte{[]byte(`{"type":"exchange","id":"`), []byte(`{"type":"subject","id":"`)}

const idLength = 36

func (s *segment) note(line []byte, at int64) {
	for _, kind := range kinds {
		rest, ok := bytes.CutPrefix(line, kind)
		if !ok || len(rest) < idLength {
			continue
		}
		if id, err := uuid.ParseBytes(rest[:idLength]); err == nil {
			s.at[id] = at
		}
	}
}

// note remembers a line that stands at an offset of a file. The first time that it hears of a file, it reads what stands
// before. A file that retention has dropped since it was opened goes without.
func (p *places) note(path string, at int64, line []byte) error {
	if p.now.path != path {
		p.before = p.now
		p.now = segment{path: path, at: map[uuid.UUID]int64{}}
		if err := p.now.read(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.now = segment{}
			return err
		}
	}
	p.now.note(line, at)
	return nil
}

// read notes the lines of a file as far as limit bytes, all if it is negative.
func (s *segment) read(limit int64) error {
	if limit == 0 {
		return nil
	}
	f, err := os.Open(s.path)
	if err != nil {
		return fmt.Errorf("reading a segment: %w", err)
	}
	defer func() { _ = f.Close() }()
	var source io.Reader = f
	if limit > 0 {
		source = io.LimitReader(f, limit)
	}
	lines := bufio.NewReaderSize(source, 64<<10)
	var at int64
	for start := true; ; {
		part, err := lines.ReadSlice('\n')
		if start {
			s.note(part, at)
		}
		at += int64(len(part))
		start = err == nil // else the line goes on, or it was the last
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("reading a segment: %w", err)
		}
	}
}

// line returns the line of a record, nil where it isn't known, or retention has dropped its file: who reads a file that is
// gone can't look up in it, and must not wait for it.
func (p *places) line(id string) ([]byte, error) {
	key, err := uuid.Parse(id)
	if err != nil {
		return nil, nil //nolint:nilerr // then no line has it
	}
	if at, ok := p.now.at[key]; ok {
		return lineAt(p.now.path, at)
	}
	if p.before.path == "" {
		before, err := segmentBefore(p.now.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		p.before = before
	}
	if at, ok := p.before.at[key]; ok {
		return lineAt(p.before.path, at)
	}
	return nil, nil
}

// segmentBefore reads the segment of the same replica before the one at path; there may be none.
func segmentBefore(path string) (segment, error) {
	s := segment{path: path, at: map[uuid.UUID]int64{}}
	replica := filepath.Base(path)
	for range 3 { // <replica>.<number>.<start>.jsonl, and a replica's name may have dots
		replica = strings.TrimSuffix(replica, filepath.Ext(replica))
	}
	siblings, err := filepath.Glob(filepath.Join(filepath.Dir(path), replica+".[0-9]*.[0-9]*.jsonl"))
	if err != nil {
		return s, err
	}
	slices.Sort(siblings) // numbers have a fixed length
	if i := slices.Index(siblings, path); i > 0 {
		s.path = siblings[i-1]
		return s, s.read(-1)
	}
	return s, nil
}

// longestLine bounds a line that is looked up; a subject of 100,000 groups has less.
const longestLine = 16 << 20

func lineAt(path string, at int64) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a record again: %w", err)
	}
	defer func() { _ = f.Close() }()
	line, err := bufio.NewReader(io.NewSectionReader(f, at, longestLine)).ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("reading a record again: %w", err)
	}
	return line[:len(line)-1], nil
}
