package audit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/transparency-dev/merkle/compact"
)

// logVerifier walks one log.
type logVerifier struct {
	w         *verifier
	c         *chain
	sealsFile string
	stations  []Checkpoint   // what the log is held against, by size
	whole     *compact.Range // of the records so far
	report    Verified
	failed    bool
	// statements are what records say of what retention dropped.
	statements []statement
}

// statement is what a record says: of a replica, which segment is the first that is kept.
type statement struct {
	record  uint64
	replica string
	number  uint64
}

// fault notes the log's first fault: behind it nothing can be told.
func (l *logVerifier) fault(f Fault) {
	f.Origin, l.failed = l.c.origin, true
	l.w.fault(f)
}

func (l *logVerifier) size() uint64 { return l.whole.End() }

func (l *logVerifier) verify() error {
	l.report = Verified{Origin: l.c.origin, Replica: l.c.replica}
	l.collect()
	slices.SortStableFunc(l.stations, func(a, b Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
	for i, p := range l.c.parts {
		if l.failed {
			break
		}
		var next *part
		if i+1 < len(l.c.parts) {
			next = l.c.parts[i+1]
		}
		if err := l.part(p, next); err != nil {
			return err
		}
	}
	if !l.failed {
		l.end()
	}
	for _, s := range l.statements {
		if s.record < l.report.Proven { // anybody could have added it behind
			place := filepath.Join(l.c.directory, s.replica)
			l.w.kept[place] = max(l.w.kept[place], s.number)
		}
	}
	l.report.Records = l.size()
	l.w.logs = append(l.w.logs, l.report)
	return nil
}

// collect takes the checkpoints of seals.
func (l *logVerifier) collect() {
	for _, p := range l.c.parts {
		if p.seal == nil || p.seal.Checkpoint == "" {
			continue
		}
		c, err := l.w.v.Keys.Open([]byte(p.seal.Checkpoint))
		if err == nil && (c.Origin != l.c.origin || c.Size != p.seal.Size) {
			err = errors.New("its checkpoint is of something else")
		}
		if err != nil {
			l.w.fault(Fault{Origin: l.c.origin, File: l.sealsFile, What: fmt.Sprintf("the seal of %s: %v", p.seal.Segment, err)})
			continue
		}
		l.stations = append(l.stations, c)
	}
}

// end looks at what should have followed.
func (l *logVerifier) end() {
	for _, s := range l.stations {
		if s.Size > l.size() {
			f := Fault{Record: l.size(), What: fmt.Sprintf("%d records follow here that are gone: a checkpoint says that there were %d", s.Size-l.size(), s.Size)}
			if last := l.c.parts[len(l.c.parts)-1]; last.path != "" {
				f.File = last.path
				f.Line = int(l.size()-last.first) + 1 //nolint:gosec // lines of a file
				if info, err := os.Stat(last.path); err == nil {
					f.Byte = info.Size()
				}
			}
			l.fault(f)
			return
		}
	}
}

// part verifies one segment, or takes what its seal says.
func (l *logVerifier) part(p, next *part) error {
	if p.path == "" {
		l.dropped(p)
		return nil
	}
	l.report.Segments++
	if p.header == nil && p.seal == nil {
		p.first = l.size()
	}
	if p.first != l.size() {
		l.fault(Fault{File: p.path, Line: 1, Record: l.size(), What: fmt.Sprintf("the segment says that it begins with record %d, and record %d is due; what is between them is not here, nor is its seal", p.first, l.size())})
		return nil
	}
	saved, err := readLeaves(p.path)
	if err != nil {
		return err
	}
	t := &text{path: p.path, first: p.first}
	if err := t.read(l.statement); err != nil {
		return err
	}
	return l.hold(p, next, t, saved)
}

// dropped takes a seal for the records that it stands for.
func (l *logVerifier) dropped(p *part) {
	r, err := p.seal.spans()
	if err == nil && p.first != l.size() {
		err = fmt.Errorf("it begins with record %d and not with %d", p.first, l.size())
	}
	if err == nil {
		l.whole, err = join(l.whole, r)
	}
	if err != nil {
		l.fault(Fault{File: l.sealsFile, Record: l.size(), What: fmt.Sprintf("the seal of %s: %v", p.seal.Segment, err)})
		return
	}
	root, err := rootOf(l.whole)
	for len(l.stations) > 0 && l.stations[0].Size <= l.size() {
		s := l.stations[0]
		l.stations = l.stations[1:]
		switch {
		case s.Size < l.size() && s.Size > p.first:
			l.report.Skipped = append(l.report.Skipped, s.Size)
		case s.Size == l.size() && (err != nil || root != s.Root):
			l.fault(Fault{File: l.sealsFile, Record: p.first, What: fmt.Sprintf("the seal of %s contradicts a checkpoint of its end", p.seal.Segment)})
			return
		case s.Size == l.size():
			l.report.Proven = s.Size
		}
	}
	l.report.Dropped = l.size()
	l.w.dropped = append(l.w.dropped, droppedSegment{filepath.Join(l.c.directory, l.c.replica), p.seal})
}

// statement takes note of a record that says what retention dropped.
func (l *logVerifier) statement(record uint64, line []byte) {
	if !bytes.HasPrefix(line, []byte(`{"type":"`+typeAdmin+`"`)) || !bytes.Contains(line, []byte(actionDrop)) {
		return
	}
	if r, err := Decode(line); err == nil && r.Admin != nil && r.Admin.Action == actionDrop {
		if replica, number, ok := parseFirstKept(r.Admin.Object); ok {
			l.statements = append(l.statements, statement{record, replica, number})
		}
	}
}

// text is a segment's records, hashed.
type text struct {
	path   string
	first  uint64
	leaves []Hash
	starts []int64 // of each line, and where the last ends
	torn   int64
}

func (t *text) read(each func(record uint64, line []byte)) (err error) {
	h := sha256.New()
	t.starts = []int64{0}
	t.torn, err = scanLines(t.path, -1, func(l line) bool {
		t.leaves = append(t.leaves, Hash{})
		hashLeaf(h, l.text, &t.leaves[len(t.leaves)-1])
		t.starts = append(t.starts, l.start+int64(len(l.text))+1)
		each(t.first+uint64(len(t.leaves))-1, l.text)
		return true
	})
	return err
}

// at is a fault in the i-th record.
func (t *text) at(i int, what string) *Fault {
	f := &Fault{File: t.path, Line: i + 1, Byte: t.starts[min(i, len(t.leaves))], Record: t.first + uint64(i), What: what} //nolint:gosec // lines of a file
	_, _ = scanLines(t.path, -1, func(l line) bool {
		if l.start == f.Byte {
			f.ID = idOf(l.text)
		}
		return l.start < f.Byte
	})
	return f
}

// idOf is the id of a record that may not be one.
func idOf(line []byte) string {
	_, rest, found := bytes.Cut(line, []byte(`"id":"`))
	if id, _, ends := bytes.Cut(rest, []byte{'"'}); found && ends && len(id) <= 64 && !bytes.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return string(id)
	}
	return ""
}
