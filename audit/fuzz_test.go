package audit_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/audit"
)

// A line is read as exactly one kind of record, which its type names, or not at all.
func FuzzDecode(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(paths) == 0 {
		f.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			f.Add(bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	f.Add([]byte(`{"type":"segment","id":"a","time":"2026-11-24T10:00:00Z","replica":"r","origin":"o/r/1","number":1,"first":2,"range":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}`))
	f.Add([]byte(`{"type":"repeat","id":"a","of":"b"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := audit.Decode(line)
		if err != nil {
			return
		}
		kinds := map[string]bool{
			"exchange": r.Exchange != nil, "mint": r.Mint != nil, "subject": r.Subject != nil, "admin": r.Admin != nil,
			"failures": r.Failures != nil, "repeat": r.Repeat != nil, "segment": r.Segment != nil,
		}
		for kind, is := range kinds {
			if is != (kind == r.Type) {
				t.Errorf("a record of type %q is read as %s", r.Type, kind)
			}
		}
		if !json.Valid(line) || !bytes.Equal(r.Raw, line) {
			t.Errorf("%q is read as %q", line, r.Raw)
		}
	})
}

// What opens was signed: it says what its note says, and no other text of the same says so.
func FuzzCheckpoint(f *testing.F) {
	dir := logOf(f, 8, 2)
	good := mustRead(f, filepath.Join(dir, "sts-0.checkpoint"))
	f.Add(good)
	f.Add(bytes.Replace(good, []byte("\n8\n"), []byte("\n08\n"), 1))
	f.Add(bytes.Replace(good, []byte("\n\n"), []byte("\nextension\n\n"), 1))
	f.Add(append(bytes.Clone(good), "— other.example/w AAAAAAAA\n"...))
	f.Add([]byte("a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— a AAAAAAAA\n"))
	body, _, _ := strings.Cut(string(good), "\n\n")
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := testKey().Public().Open(text)
		if err != nil {
			return
		}
		if got, _, _ := strings.Cut(string(text), "\n\n"); got != body || c.Size != 8 || c.Note != string(text) {
			t.Errorf("%q opens as %+v", text, c)
		}
	})
}

// What opens was signed, and says what its note says in the one way in which it can be said.
func FuzzRetirement(f *testing.F) {
	dir := logOf(f, 8, 2)
	kept := newest(f, dir)
	r := audit.Retirement{Origin: kept.Origin, At: start.Truncate(time.Second), By: "ops@host", Reason: "gone with its disk", Size: kept.Size, Root: kept.Root}
	good, err := r.Sign(testKey())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(kept.Note))
	f.Add(bytes.Replace(good, []byte("\n8\n"), []byte("\n9\n"), 1))
	f.Add(append(bytes.Clone(good), "— other.example/w AAAAAAAA\n"...))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := testKey().Public().OpenRetirement(text)
		if err == nil && got != r {
			t.Errorf("%q opens as %+v", text, got)
		}
		if _, err := testKey().Public().Open(text); err == nil && bytes.Contains(text, []byte("retirement")) {
			t.Errorf("%q opens as a checkpoint", text)
		}
	})
}

// What opens proves the record that it shows, which is the one that is in the log at that place.
func FuzzReceipt(f *testing.F) {
	dir := logOf(f, 8, 2)
	_, all := lines(f, dir)
	var texts [][]byte
	var records []string
	for i := range all {
		r, err := audit.MakeReceipt(dir, newest(f, dir), uint64(i))
		if err != nil {
			f.Fatal(err)
		}
		records = append(records, string(r.Line))
		texts = append(texts, r.Text())
		f.Add(r.Text())
	}
	f.Add(bytes.Replace(texts[3], []byte("index 3"), []byte("index 4"), 1))
	f.Add(bytes.Replace(texts[3], []byte("index 3"), []byte("index 03"), 1))
	f.Add([]byte("c2sp.org/tlog-proof@v1\nindex 0\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := testKey().Public().OpenReceipt(text)
		if err != nil {
			return
		}
		if r.Index >= uint64(len(records)) || string(r.Line) != records[r.Index] {
			t.Errorf("%q proves record %d, %q", text, r.Index, r.Line)
		}
		if again := r.Text(); !bytes.Equal(again, text) {
			t.Errorf("%q has a second form, %q", text, again)
		}
	})
}

// Whatever stands in a segment in the place of what was written, verify finds it; and whatever stands beside it, verify
// ends with an answer.
func FuzzVerify(f *testing.F) {
	dir := logOf(f, 8, 2)
	paths, err := filepath.Glob(filepath.Join(dir, "sts-0.*"))
	if err != nil {
		f.Fatal(err)
	}
	paths = slices.DeleteFunc(paths, func(path string) bool { return strings.HasSuffix(path, ".lock") })
	for i, path := range paths {
		text := mustRead(f, path)
		f.Add(uint8(i), text[:len(text)/2])
		f.Add(uint8(i), append(bytes.Clone(text), text...))
		for j, other := range paths {
			if i != j {
				f.Add(uint8(i), mustRead(f, other))
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, text []byte) {
		copied := crashed(t, dir)
		path := filepath.Join(copied, filepath.Base(paths[int(which)%len(paths)]))
		was := mustRead(t, path)
		mustWrite(t, path, text)
		_, faults := verify(t, copied)
		if strings.HasSuffix(path, ".jsonl") && !bytes.Equal(was, text) && len(faults) == 0 {
			t.Errorf("%s holds something else and is sound", filepath.Base(path))
		}
		if bytes.Equal(was, text) && len(faults) > 0 {
			t.Error(faults)
		}
	})
}
