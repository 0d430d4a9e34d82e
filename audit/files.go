package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A segment's name is "<replica>.<number>.<start>.jsonl": numbers rise, whatever the clock does.
const (
	suffix      = ".jsonl"
	startLayout = "20060102T150405Z"
)

type segmentName struct {
	path    string
	replica string
	number  uint64
	started time.Time
}

func segmentPath(directory, replica string, number uint64, started time.Time) string {
	return filepath.Join(directory, fmt.Sprintf("%s.%010d.%s%s", replica, number, started.UTC().Format(startLayout), suffix))
}

func parseSegmentName(path string) (n segmentName, ok bool) {
	base, ok := strings.CutSuffix(filepath.Base(path), suffix)
	if !ok {
		return n, false
	}
	// A replica's name may hold dots, the rest can't.
	rest, start, ok1 := cutLast(base, '.')
	replica, number, ok2 := cutLast(rest, '.')
	if !ok1 || !ok2 || replica == "" {
		return n, false
	}
	n.path, n.replica = path, replica
	var err error
	if n.number, err = strconv.ParseUint(number, 10, 64); err != nil {
		return n, false
	}
	n.started, err = time.Parse(startLayout, start)
	return n, err == nil
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// listSegments gives a directory's segments by replica, then by number.
func listSegments(directory string) ([]segmentName, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, err
	}
	var names []segmentName
	for _, entry := range entries {
		if n, ok := parseSegmentName(filepath.Join(directory, entry.Name())); ok && entry.Type().IsRegular() {
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(a, b segmentName) int {
		if c := strings.Compare(a.replica, b.replica); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(a.number, b.number), strings.Compare(a.path, b.path))
	})
	return names, nil
}

// createFile makes a segment's file, which must not be there yet, and makes its name durable.
func createFile(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syncDirectory(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return f, nil
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// repairTail cuts off what a crash left behind the last whole record, says how many bytes that was, and puts the rest on
// disk: a checkpoint is about to be signed of it.
func repairTail(path string) (cut int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	end, err := wholeRecords(f, info.Size())
	if err != nil {
		return 0, err
	}
	if end < info.Size() {
		if err := f.Truncate(end); err != nil {
			return 0, err
		}
	}
	return info.Size() - end, f.Sync()
}

// wholeRecords finds the end of the last whole record. After a power failure a file may end in a torn line, and also
// in blocks of zeros or in old lines of another file: only a line that is a JSON object counts.
func wholeRecords(r io.ReaderAt, size int64) (int64, error) {
	for window := int64(64 << 10); ; window *= 4 {
		window = min(window, size)
		tail := make([]byte, window)
		if _, err := r.ReadAt(tail, size-window); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for end := bytes.LastIndexByte(tail, '\n'); end >= 0; end = bytes.LastIndexByte(tail[:end], '\n') {
			start := bytes.LastIndexByte(tail[:end], '\n') + 1
			if start == 0 && window < size {
				break // the line may begin before the window
			}
			if line := tail[start:end]; len(line) > 0 && line[0] == '{' && json.Valid(line) {
				return size - window + int64(end) + 1, nil
			}
		}
		if window == size {
			return 0, nil
		}
	}
}
