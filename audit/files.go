package audit

import (
	"cmp"
	"fmt"
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
