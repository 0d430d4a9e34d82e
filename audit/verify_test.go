package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/exchange"
)

// jot writes a short record.
func jot(l *audit.Log, id string) error {
	return l.Record(context.Background(), &exchange.Event{ID: id, Time: start, Admin: &exchange.Admin{Action: "note"}})
}

// logOf makes a log of n records in segments of the same length, one for each life.
func logOf(t testing.TB, n, lives int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for life := range lives {
		l, _ := open(t, dir, nil)
		for i := range n/lives - 1 { // and a header
			if err := jot(l, fmt.Sprintf("id-%d-%d", life, i)); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, l)
	}
	return dir
}

// verify verifies one directory, against outside checkpoints if there are any.
func verify(t testing.TB, dir string, outside ...audit.Checkpoint) ([]audit.Verified, []audit.Fault) {
	t.Helper()
	logs, faults, err := audit.Verify(audit.Verification{Directories: []string{dir}, Keys: audit.PublicKeys{testKey().Public()}, Checkpoints: outside})
	if err != nil {
		t.Fatal(err)
	}
	return logs, faults
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func mustWrite(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// newest is the newest checkpoint of the one log in dir.
func newest(t testing.TB, dir string) audit.Checkpoint {
	t.Helper()
	c, err := testKey().Public().Open(mustRead(t, filepath.Join(dir, "sts-0.checkpoint")))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestVerifySound(t *testing.T) {
	dir := logOf(t, 40, 4)
	logs, faults := verify(t, dir, newest(t, dir))
	want := []audit.Verified{{Origin: "sts.acme.example/audit/sts-0/01000000", Replica: "sts-0", Segments: 4, Records: 40, Proven: 40}}
	if diff := cmp.Diff(want, logs); diff != "" || len(faults) > 0 {
		t.Errorf("%v\n-want +got:\n%s", faults, diff)
	}
}

// Every byte of every segment.
func TestEveryByte(t *testing.T) { everyByte(t, logOf(t, 40, 2), all) }

// all edits every byte.
func all(int, int) bool { return true }

// everyByte edits those bytes of a log's segments that it is to, by line and column, and wants the record to be named.
func everyByte(t *testing.T, dir string, edit func(line, column int) bool) {
	first := 0
	for _, path := range segments(t, dir) {
		eachByte(t, path, edit, func(i, line int) {
			if _, faults := verify(t, dir); len(faults) == 0 || faults[0].File != path || faults[0].Line != line {
				t.Fatalf("%s: byte %d of line %d is edited, and the faults are %v", filepath.Base(path), i, line, faults)
			} else if f := faults[0]; f.Record != uint64(first+line-1) && line > 1 {
				t.Fatalf("record %d is edited, and the fault is %v", first+line-1, f)
			}
		})
		first += bytes.Count(mustRead(t, path), []byte("\n"))
	}
	if _, faults := verify(t, dir); len(faults) > 0 {
		t.Fatalf("put back as it was: %v", faults)
	}
}

// eachByte edits those bytes of a file that it is to, one at a time. Lines count from 1, columns from 0.
func eachByte(t *testing.T, path string, edit func(line, column int) bool, try func(i, line int)) {
	t.Helper()
	whole := mustRead(t, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	put := func(i int, b byte) {
		if _, err := f.WriteAt([]byte{b}, int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	line, column := 1, 0
	for i, b := range whole {
		if edit(line, column) {
			put(i, b^1)
			try(i, line)
			put(i, b)
		}
		if column++; b == '\n' {
			line, column = line+1, 0
		}
	}
}

func TestEveryByteBesideTheLog(t *testing.T) {
	dir := logOf(t, 40, 2)
	for _, pattern := range []string{"*.checkpoint", "*.seals", "*.leaves"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatal(pattern, err)
		}
		path := paths[len(paths)-1]
		eachByte(t, path, all, func(i, _ int) {
			if _, faults := verify(t, dir); len(faults) == 0 {
				t.Fatalf("byte %d of %s can be edited", i, filepath.Base(path))
			}
		})
	}
}

// recordAt is a record's place: its segment, and its line from 0.
type recordAt struct{ segment, line int }

// lines are a log's records, by segment.
func lines(t testing.TB, dir string) (files [][][]byte, all []recordAt) {
	t.Helper()
	for i, path := range segments(t, dir) {
		list := bytes.SplitAfter(mustRead(t, path), []byte("\n"))
		list = list[:len(list)-1]
		files = append(files, list)
		for j := range list {
			all = append(all, recordAt{i, j})
		}
	}
	return files, all
}

// Every cut, swap and copy of records is found, and the first record that is wrong is named.
func TestEveryCutSwapAndCopy(t *testing.T) { everyCutSwapAndCopy(t, logOf(t, 40, 4)) }

func everyCutSwapAndCopy(t *testing.T, dir string) {
	files, all := lines(t, dir)
	paths := segments(t, dir)
	try := func(name string, at recordAt, what string, edit func(files [][][]byte)) {
		t.Helper()
		edited := make([][][]byte, len(files))
		for i := range files {
			edited[i] = slices.Clone(files[i])
		}
		edit(edited)
		for i := range edited {
			if !slices.EqualFunc(edited[i], files[i], bytes.Equal) {
				mustWrite(t, paths[i], bytes.Join(edited[i], nil))
			}
		}
		if _, faults := verify(t, dir); len(faults) == 0 {
			t.Errorf("%s: not found", name)
		} else if f := faults[0]; f.File != paths[at.segment] || f.Line != at.line+1 || !strings.Contains(f.What, what) {
			t.Errorf("%s: wrong is %s:%d, %q; found: %v", name, filepath.Base(paths[at.segment]), at.line+1, what, f)
		}
		for i := range edited {
			mustWrite(t, paths[i], bytes.Join(files[i], nil))
		}
	}
	for i, at := range all {
		last := at.line == len(files[at.segment])-1
		gone := "the record that was here is gone"
		if last {
			gone = "gone from the end"
		}
		try(fmt.Sprintf("without record %d", i), at, gone, func(f [][][]byte) { f[at.segment] = slices.Delete(f[at.segment], at.line, at.line+1) })
		if at.line > 0 {
			try(fmt.Sprintf("cut before record %d", i), at, "gone from the end", func(f [][][]byte) { f[at.segment] = f[at.segment][:at.line] })
		}
		again := recordAt{at.segment, at.line + 1}
		try(fmt.Sprintf("record %d twice", i), again, "", func(f [][][]byte) {
			f[at.segment] = slices.Insert(f[at.segment], at.line, f[at.segment][at.line])
		})
		end := len(files[len(files)-1])
		try(fmt.Sprintf("record %d again at the end", i), recordAt{len(files) - 1, end}, "", func(f [][][]byte) {
			f[len(f)-1] = append(f[len(f)-1], f[at.segment][at.line])
		})
		try(fmt.Sprintf("a foreign record before record %d", i), at, "", func(f [][][]byte) {
			f[at.segment] = slices.Insert(f[at.segment], at.line, []byte("{\"type\":\"admin\",\"id\":\"x\"}\n"))
		})
		for j := i + 1; j < len(all); j += 1 + (j-i)*2 {
			to := all[j]
			try(fmt.Sprintf("records %d and %d in each other's place", i, j), at, "", func(f [][][]byte) {
				f[at.segment][at.line], f[to.segment][to.line] = f[to.segment][to.line], f[at.segment][at.line]
			})
		}
	}
}

// A log that ends early and whose own checkpoint was put back, too, is found by one that was kept elsewhere.
func TestTruncationNeedsAnOutsideCheckpoint(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir, nil)
	for i := range 5 {
		if err := jot(l, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	c.Add(time.Second)
	l.Tick()
	early := crashed(t, dir)
	for i := range 5 {
		if err := jot(l, fmt.Sprint(5+i)); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, l)
	outside := newest(t, dir)
	if _, faults := verify(t, early); len(faults) > 0 {
		t.Errorf("by itself it is sound: %v", faults)
	}
	_, faults := verify(t, early, outside)
	if len(faults) != 1 || faults[0].File != segments(t, early)[0] || faults[0].Line != 7 || faults[0].Record != 6 || !strings.Contains(faults[0].What, "there were 11") {
		t.Errorf("%v", faults)
	}
	_, faults = verify(t, t.TempDir(), outside)
	if len(faults) != 1 || faults[0].Origin != outside.Origin || !strings.Contains(faults[0].What, "missing") {
		t.Errorf("no log at all: %v", faults)
	}
	if _, faults := verify(t, dir, newest(t, early), outside); len(faults) > 0 {
		t.Errorf("an early and a late checkpoint: %v", faults)
	}
}

func TestSegmentsThatAreGone(t *testing.T) {
	for i := range 4 {
		dir := logOf(t, 40, 4)
		path := segments(t, dir)[i]
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, faults := verify(t, dir); len(faults) != 1 || faults[0].File != filepath.Base(path) || !strings.Contains(faults[0].What, "the segment is gone") {
			t.Errorf("without segment %d: %v", i, faults)
		}
		if err := os.Remove(filepath.Join(dir, "sts-0.seals")); err != nil {
			t.Fatal(err)
		}
		if _, faults := verify(t, dir); len(faults) == 0 {
			t.Errorf("without segment %d and all seals: sound", i)
		}
	}
	dir := logOf(t, 40, 4)
	for _, path := range segments(t, dir) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, faults := verify(t, dir); len(faults) == 0 {
		t.Error("without any segment: sound")
	}
	if err := os.Remove(filepath.Join(dir, "sts-0.seals")); err != nil {
		t.Fatal(err)
	}
	if _, faults := verify(t, dir); len(faults) == 0 {
		t.Error("with a checkpoint alone: sound")
	}
}

// Who edits a record and its saved hash is found all the same, only not so exactly.
func TestEditWithItsHash(t *testing.T) {
	dir := logOf(t, 40, 4)
	path := segments(t, dir)[1]
	whole := mustRead(t, path)
	mustWrite(t, path, bytes.Replace(whole, []byte("note"), []byte("nope"), 1))
	leaves := strings.TrimSuffix(path, ".jsonl") + ".leaves"
	if err := os.Remove(leaves); err != nil {
		t.Fatal(err)
	}
	_, faults := verify(t, dir)
	if len(faults) == 0 || faults[0].File != path {
		t.Fatalf("%v", faults)
	}
	var forged []byte
	for _, line := range bytes.Split(bytes.TrimSuffix(mustRead(t, path), []byte("\n")), []byte("\n")) {
		h := audit.LeafHash(line)
		forged = append(forged, h[:]...)
	}
	mustWrite(t, leaves, forged)
	if _, faults := verify(t, dir); len(faults) == 0 || faults[0].File != path || !strings.Contains(faults[0].What, "which can't be told") {
		t.Errorf("%v", faults)
	}
}

// Another's key proves nothing.
func TestVerifyWithAnotherKey(t *testing.T) {
	dir := logOf(t, 40, 4)
	other, err := audit.NewKey(bytes.NewReader(bytes.Repeat([]byte{7}, 64)), "sts.acme.example/audit")
	if err != nil {
		t.Fatal(err)
	}
	_, faults, err := audit.Verify(audit.Verification{Directories: []string{dir}, Keys: audit.PublicKeys{other.Public()}})
	if err != nil || len(faults) == 0 {
		t.Errorf("%v, %v", faults, err)
	}
}

// What retention dropped is not missed, and what is left is proven; what somebody else dropped is missed.
func TestVerifyAfterRetention(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir, func(c *audit.Config) { c.SegmentAge, c.Retention = 24*time.Hour, 72*time.Hour })
	var early audit.Checkpoint
	for day := range 7 {
		if err := jot(l, fmt.Sprint("day-", day)); err != nil {
			t.Fatal(err)
		}
		c.Add(24 * time.Hour)
		if day == 1 {
			l.Tick()
			early = l.Checkpoint()
		}
	}
	l.Tick()
	mustClose(t, l)
	logs, faults := verify(t, dir, early)
	if len(faults) > 0 || len(logs) != 1 || logs[0].Dropped != 6 || logs[0].Proven != logs[0].Records {
		t.Errorf("%+v, %v", logs, faults)
	}
	if first, err := audit.FirstKept(dir, early.Origin); err != nil || first != 6 {
		t.Errorf("begins with %d, %v", first, err)
	}
	if err := os.Remove(segments(t, dir)[0]); err != nil {
		t.Fatal(err)
	}
	if _, faults := verify(t, dir); len(faults) != 1 || faults[0].Record != 6 {
		t.Errorf("%v", faults)
	}
}

// A log may be verified while it is written, and while nothing comes.
func TestVerifyAsItGrows(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir, func(c *audit.Config) { c.SegmentBytes = 4 << 10 })
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 2000 {
			if err := jot(l, fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
			if i%10 == 0 {
				c.Add(time.Second)
				l.Tick()
			}
		}
	}()
	for rounds := 0; ; rounds++ {
		if _, faults := verify(t, dir); len(faults) > 0 {
			t.Fatalf("round %d: %v", rounds, faults)
		}
		select {
		case <-done:
			if rounds < 3 {
				t.Errorf("only %d rounds", rounds)
			}
			mustClose(t, l)
			l, _ = open(t, dir, nil) // and has nothing to write
			if logs, faults := verify(t, dir); len(faults) > 0 || logs[0].Proven != logs[0].Records {
				t.Errorf("%+v, %v", logs, faults)
			}
			return
		default:
		}
	}
}

// A file that the log did not write is found, wherever its name puts it.
func TestFilesThatAreNotOfTheLog(t *testing.T) {
	tests := []struct {
		name, what string
		edit       func(t *testing.T, dir string)
	}{
		{"a second file of a segment", "a second file", func(t *testing.T, dir string) {
			mustWrite(t, filepath.Join(dir, "sts-0.0000000001.20261125T100000Z.jsonl"), []byte(`{"type":"admin","id":"x"}`+"\n"))
		}},
		{"a log without a checkpoint behind it", "it is the checkpoint of another log", func(t *testing.T, dir string) {
			forge(t, dir, "sts-0.0000000009.20261124T100000Z.jsonl", `"number":9`)
		}},
		{"a log without a checkpoint before it", "its last checkpoint is gone", func(t *testing.T, dir string) {
			forge(t, dir, "sts-0.0000000000.20261124T100000Z.jsonl", `"number":0`)
		}},
		{"another log's checkpoint", "it is the checkpoint of another log", func(t *testing.T, dir string) {
			l, _ := open(t, dir, func(c *audit.Config) { c.Replica = "sts-1" })
			mustJot(t, l, "x")
			mustClose(t, l)
			mustWrite(t, filepath.Join(dir, "sts-0.checkpoint"), mustRead(t, filepath.Join(dir, "sts-1.checkpoint")))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := logOf(t, 8, 2)
			test.edit(t, dir)
			if _, faults := verify(t, dir); len(faults) != 1 || !strings.Contains(faults[0].What, test.what) {
				t.Errorf("%v", faults)
			}
		})
	}
}

// forge puts a segment of a log that never was, which nobody signed for, into dir.
func forge(t *testing.T, dir, name, number string) {
	t.Helper()
	other := t.TempDir()
	l, _ := open(t, other, func(c *audit.Config) { c.Random = bytes.NewReader(bytes.Repeat([]byte{7}, 1000)) })
	mustJot(t, l, "forged")
	mustClose(t, l)
	text := bytes.Replace(mustRead(t, segments(t, other)[0]), []byte(`"number":1`), []byte(number), 1)
	mustWrite(t, filepath.Join(dir, name), text)
}

// Who removes segments and adds, where no checkpoint reaches yet, that their retention was over, is found.
func TestForgedRetention(t *testing.T) {
	dir := logOf(t, 40, 4)
	l, _ := open(t, dir, nil)
	mustJot(t, l, "a")
	dir = crashed(t, dir)
	all := segments(t, dir)
	last := all[len(all)-1]
	mustWrite(t, last, append(mustRead(t, last), `{"type":"admin","id":"x","time":"2026-11-24T10:00:00Z","replica":"sts-0","action":"audit.drop","object":"sts-0.0000000003"}`+"\n"...))
	for _, path := range all[:2] {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, faults := verify(t, dir); len(faults) != 2 || !strings.Contains(faults[0].What, "no record says that their retention was over") {
		t.Errorf("%v", faults)
	}
}

// Hashes that a power failure left as zeros are none: the records are as they were written.
func TestZerosInLeaves(t *testing.T) {
	dir := logOf(t, 40, 2)
	for _, path := range segments(t, dir) {
		leaves := strings.TrimSuffix(path, ".jsonl") + ".leaves"
		text := mustRead(t, leaves)
		clear(text[5*32:])
		mustWrite(t, leaves, text)
	}
	mustBeSound(t, dir, 40)
	if r, err := audit.MakeReceipt(dir, newest(t, dir), 17); err != nil || !bytes.Contains(r.Line, []byte(`"id":"id-0-16"`)) {
		t.Errorf("%v", err)
	}
}

// With another key another log begins, and both are proven with both keys.
func TestVerifyWithAKeyThatWasReplaced(t *testing.T) {
	dir := logOf(t, 8, 2)
	old := newest(t, dir)
	key, err := audit.NewKey(bytes.NewReader(bytes.Repeat([]byte{7}, 64)), "sts.acme.example/audit")
	if err != nil {
		t.Fatal(err)
	}
	store := newLedger()
	if err := audit.NewLedgerWitness(store, testKey().Public()).Keep(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	l, _ := open(t, dir, func(c *audit.Config) {
		c.Key, c.Random = key, bytes.NewReader(bytes.Repeat([]byte{9}, 1000))
	})
	mustJot(t, l, "a")
	mustClose(t, l)
	if err := audit.NewLedgerWitness(store, key.Public()).Keep(t.Context(), l.Checkpoint()); err != nil {
		t.Fatal(err)
	}
	both := audit.PublicKeys{key.Public(), testKey().Public()}
	registered, err := audit.NewLedgerWitness(store, both...).All(t.Context())
	if err != nil || len(registered) != 2 {
		t.Fatalf("%v, %v", registered, err)
	}
	for _, test := range []struct {
		keys  audit.PublicKeys
		sound bool
	}{{both, true}, {both[:1], false}, {both[1:], false}} {
		logs, faults, err := audit.Verify(audit.Verification{Directories: []string{dir}, Keys: test.keys, Checkpoints: registered})
		if err != nil || (len(faults) == 0) != test.sound || len(logs) != 2 {
			t.Errorf("%v: %+v, %v, %v", test.keys, logs, faults, err)
		}
	}
	c, err := audit.NewestCheckpoint(dir, old.Origin, both)
	if err != nil || c.Note != old.Note {
		t.Fatalf("%+v, %v", c, err)
	}
	r, err := audit.MakeReceipt(dir, c, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := both.OpenReceipt(r.Text()); err != nil {
		t.Error(err)
	}
}

// A segment that can't be sealed stays, and keeps no other from being dropped; nothing is left of what is dropped.
func TestRetentionWithADamagedSegment(t *testing.T) {
	for _, sealed := range []bool{true, false} {
		dir := t.TempDir()
		l, c := open(t, dir, func(c *audit.Config) { c.SegmentAge, c.Retention = 24*time.Hour, 72*time.Hour })
		mustJot(t, l, "day-0")
		damaged := segments(t, dir)[0]
		for day := range 7 {
			c.Add(24 * time.Hour)
			mustJot(t, l, fmt.Sprint("day-", day+1))
			if day > 0 {
				continue
			}
			l.Tick() // it is sealed then
			mustWrite(t, damaged, bytes.Replace(mustRead(t, damaged), []byte(`"number":1`), []byte(`"number":x`), 1))
			if !sealed {
				if err := os.Remove(filepath.Join(dir, "sts-0.seals")); err != nil {
					t.Fatal(err)
				}
			}
		}
		l.Tick()
		mustClose(t, l)
		left := segments(t, dir)
		hashes, err := filepath.Glob(filepath.Join(dir, "*.leaves"))
		want := 5
		if !sealed {
			want++
		}
		if len(left) != want || (left[0] == damaged) == sealed || err != nil || len(hashes) != want {
			t.Errorf("%v %v %v", left, hashes, err)
		}
		if _, faults := verify(t, dir); (len(faults) == 0) != sealed || !sealed && faults[0].File != damaged {
			t.Errorf("%v", faults)
		}
	}
}

// A log that was put back and grew to the same length again was signed twice, and both checkpoints are good.
func TestTwoHistories(t *testing.T) {
	dir := logOf(t, 8, 2)
	outside := checkpoints(t, "b", 7)[7]
	if _, faults := verify(t, dir, outside); len(faults) != 1 || !strings.Contains(faults[0].What, "two checkpoints of 8 records contradict each other") {
		t.Errorf("%v", faults)
	}
}

// A segment that says that it begins before the one before it is a fault like any.
func TestSegmentThatBeginsTooEarly(t *testing.T) {
	dir := logOf(t, 12, 3)
	if err := os.Remove(filepath.Join(dir, "sts-0.seals")); err != nil {
		t.Fatal(err)
	}
	path := segments(t, dir)[2]
	text := mustRead(t, path)
	from, to := bytes.Index(text, []byte(`"first":`)), bytes.Index(text, []byte("]}\n"))
	mustWrite(t, path, slices.Concat(text[:from], []byte(`"first":0,"range":[`), text[to:]))
	if _, faults := verify(t, dir); len(faults) != 1 || faults[0].File != path {
		t.Errorf("%v", faults)
	}
}
