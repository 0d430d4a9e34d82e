package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// hashLeaf appends to nothing and allocates nothing: h is a SHA-256 that is used over and over.
func hashLeaf(h hash.Hash, line []byte, into *Hash) {
	h.Reset()
	h.Write(leafPrefix[:]) // a hash.Hash never returns an error
	h.Write(line)
	h.Sum(into[:0])
}

var leafPrefix = [1]byte{0} // RFC 6962 §2.1: a leaf is no node

// line is one line of a segment.
type line struct {
	text  []byte // without its end; good until the next
	start int64  // in bytes from the file's beginning
}

// scanLines calls f with each whole line of a file, as far as limit bytes (all if it is negative), until f says that it is
// enough. It returns how many bytes stand behind the last whole line.
func scanLines(path string, limit int64, f func(line) bool) (torn int64, err error) {
	return scanPart(path, 0, limit, f)
}

// scanFrom is scanLines from an offset on, where a line begins.
func scanFrom(path string, offset int64, f func(line) bool) error {
	_, err := scanPart(path, offset, -1, f)
	return err
}

func scanPart(path string, offset, limit int64, f func(line) bool) (torn int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return 0, err
	}
	var source io.Reader = file
	if limit >= 0 {
		source = io.LimitReader(file, limit)
	}
	lines := bufio.NewReaderSize(source, int(max(min(info.Size()-offset+1, 256<<10), 16)))
	at := offset
	var long []byte // a line that is longer than the buffer
	for {
		part, err := lines.ReadSlice('\n')
		text := part
		if len(long) > 0 || errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, part...)
			text = long
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return int64(len(text)), nil
		case err != nil:
			return 0, err
		}
		l := line{text: text[:len(text)-1], start: at}
		at += int64(len(text))
		if !f(l) {
			return 0, nil
		}
		long = long[:0]
	}
}

// readHeader reads the record that a segment begins with. It is nil where the segment begins with another or with none, or
// where that record is damaged: an error is of the disk.
func readHeader(path string) (header *SegmentRecord, err error) {
	_, err = scanLines(path, -1, func(l line) bool {
		if !bytes.HasPrefix(l.text, []byte(headerStart)) {
			return false
		}
		if r, e := Decode(l.text); e == nil {
			header = r.Segment
		}
		return false
	})
	if err != nil {
		return nil, fmt.Errorf("reading the beginning of a segment: %w", err)
	}
	if header != nil {
		if _, e := header.before(); e != nil {
			return nil, nil //nolint:nilnil // as it says
		}
	}
	return header, nil
}

const headerStart = `{"type":"` + typeSegment + `"`
