package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/transparency-dev/merkle/compact"
)

// Beside its segments a replica keeps what proves them. Nothing here is the truth: it is checked against the records and
// against signatures, and what can be made of the records again is.
//
//	<replica>.checkpoint    the newest checkpoint, replaced by each one
//	<replica>.seals         one line of JSON for each finished segment, kept when the segment is dropped
//	<segment>.leaves        the hash of each record of a segment, 32 bytes each
//	<replica>.<time>.fault  why a log was given up; removed by who has looked into it
//	<replica>.<time>.checkpoint  the newest checkpoint of that log
const (
	checkpointSuffix = ".checkpoint"
	sealsSuffix      = ".seals"
	leavesSuffix     = ".leaves"
	faultSuffix      = ".fault"
)

func checkpointPath(directory, replica string) string {
	return filepath.Join(directory, replica+checkpointSuffix)
}

func sealsPath(directory, replica string) string {
	return filepath.Join(directory, replica+sealsSuffix)
}

func leavesPath(segment string) string { return strings.TrimSuffix(segment, suffix) + leavesSuffix }

// seal is what is kept of a finished segment for ever: which records it held, and the hashes that stand for them.
type seal struct {
	Segment string `json:"segment"` // its file's name
	Number  uint64 `json:"number"`
	Origin  string `json:"origin"`
	First   uint64 `json:"first"`
	Size    uint64 `json:"size"` // of the tree at its end
	// Range is the compact range of its records, [First, Size).
	Range []Hash `json:"range"`
	// Checkpoint is the signed note at Size.
	Checkpoint string `json:"checkpoint"`
}

// spans is the seal's range.
func (s *seal) spans() (*compact.Range, error) { return makeRange(s.First, s.Size, s.Range) }

// appendSeal writes one line.
func appendSeal(d disk, directory, replica string, s *seal) (err error) {
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	end, err := mendSeals(d, directory, replica)
	if err != nil {
		return err
	}
	f, err := d.Open(sealsPath(directory, replica), os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(append(line, '\n'), end); err != nil {
		return err
	}
	return f.Sync()
}

// mendSeals cuts off what a power failure left of a last seal, and says where the seals end.
func mendSeals(d disk, directory, replica string) (end int64, err error) {
	path := sealsPath(directory, replica)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	end, err = wholeLines(f, info.Size())
	if err == nil && end < info.Size() {
		err = cutFile(d, path, end)
	}
	return end, err
}

// wholeLines finds the end of the last whole line. After a power failure a file may end in a torn line, and also in blocks
// of zeros or in old lines of another file: only a line that is a JSON object counts.
func wholeLines(r io.ReaderAt, size int64) (int64, error) {
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
			if isObject(tail[start:end]) {
				return size - window + int64(end) + 1, nil
			}
		}
		if window == size {
			return 0, nil
		}
	}
}

// isObject reports whether a line is a JSON object, as all of ours are.
func isObject(line []byte) bool { return len(line) > 0 && line[0] == '{' && json.Valid(line) }

// readSeals reads a replica's seals, in the order in which they were written. What is no seal is handed to bad, with its
// line.
func readSeals(directory, replica string, bad func(line int, err error)) ([]*seal, error) {
	f, err := os.Open(sealsPath(directory, replica))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var seals []*seal
	lines := bufio.NewReader(f)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if len(line) > 0 {
				bad(number, errors.New("a line without its end"))
			}
			return seals, nil
		}
		if err != nil {
			return seals, err
		}
		s := new(seal)
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(s); err != nil {
			bad(number, fmt.Errorf("not a seal: %w", err))
			continue
		}
		if again, err := json.Marshal(s); err != nil || !bytes.Equal(append(again, '\n'), line) {
			bad(number, errors.New("not written as this program writes it"))
			continue
		}
		if _, err := s.spans(); err != nil {
			bad(number, fmt.Errorf("not a seal: %w", err))
			continue
		}
		if n, ok := parseSegmentName(s.Segment); !ok || n.replica != replica || n.number != s.Number {
			bad(number, errors.New("not a seal of a segment of this replica"))
			continue
		}
		seals = append(seals, s)
	}
}

// readCheckpoint reads a replica's newest checkpoint; ok is false where there is no file.
func readCheckpoint(directory, replica string, keys PublicKeys) (c Checkpoint, ok bool, err error) {
	text, err := os.ReadFile(checkpointPath(directory, replica))
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, err
	}
	c, err = keys.Open(text)
	return c, true, err
}

// saveLeaves writes hashes of a segment's records from the record from on, counted within the segment, and puts them on disk
// if they are its last. It is no loss if it fails: who needs them hashes the records.
func saveLeaves(d disk, segment string, from uint64, hashes []Hash, last bool) (err error) {
	flags := os.O_WRONLY | os.O_CREATE
	if from == 0 {
		flags |= os.O_TRUNC // a power failure may have left those of another segment of that name
	}
	f, err := d.Open(leavesPath(segment), flags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, 0, len(hashes)*len(Hash{}))
	for i := range hashes {
		b = append(b, hashes[i][:]...)
	}
	if _, err = f.WriteAt(b, int64(from)*int64(len(Hash{}))); err != nil || !last { //nolint:gosec // a segment's records fit a file
		return err
	}
	return f.Sync()
}

// readLeaves reads the hashes of a segment's records that were saved: perhaps fewer than it has records, perhaps none. The
// file of the last segment is not synced, so a power failure may leave zeros in it: they are no hash, and what follows is not
// read.
func readLeaves(segment string) ([]Hash, error) {
	b, err := os.ReadFile(leavesPath(segment))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	hashes := make([]Hash, len(b)/len(Hash{}))
	for i := range hashes {
		if copy(hashes[i][:], b[i*len(Hash{}):]); hashes[i] == (Hash{}) {
			return hashes[:i], nil
		}
	}
	return hashes, nil
}
