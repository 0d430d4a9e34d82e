package audit_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/audit"
)

// tree is the root of a Merkle tree as RFC 6962 §2.1 defines it, word for word.
func tree(leaves [][]byte) (root audit.Hash) {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		left, right := tree(leaves[:k]), tree(leaves[k:])
		return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
	}
}

// A checkpoint's root is that of all lines of all segments.
func TestRootIsRFC6962(t *testing.T) {
	for _, n := range []int{8, 12, 28, 40} {
		dir := logOf(t, n, 4)
		var leaves [][]byte
		for _, path := range segments(t, dir) {
			leaves = append(leaves, bytes.Split(bytes.TrimSuffix(mustRead(t, path), []byte("\n")), []byte("\n"))...)
		}
		if c := newest(t, dir); c.Root != tree(leaves) || c.Size != uint64(n) || len(leaves) != n {
			t.Errorf("%d records: %+v", n, c)
		}
	}
}

// Every record has a receipt under every checkpoint that covers it, from any segment, with or without what is kept beside.
func TestReceipts(t *testing.T) {
	dir := logOf(t, 40, 4)
	c := newest(t, dir)
	check := func(name string) {
		t.Helper()
		_, all := lines(t, dir)
		for i := range all {
			r, err := audit.MakeReceipt(dir, c, uint64(i))
			if err != nil {
				t.Errorf("%s: record %d: %v", name, i, err)
				continue
			}
			opened, err := testKey().Public().OpenReceipt(r.Text())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(r, opened); diff != "" {
				t.Error(diff)
			}
		}
	}
	check("all there")
	for _, pattern := range []string{"*.leaves", "*.seals"} {
		paths, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, path := range paths {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		check("without " + pattern)
	}
	if _, err := audit.MakeReceipt(dir, c, 40); err == nil {
		t.Error("a receipt of no record")
	}
}

// Records that retention left have receipts, although most of the tree is gone.
func TestReceiptsAfterRetention(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir, func(c *audit.Config) { c.SegmentAge, c.Retention = 24*time.Hour, 72*time.Hour })
	for day := range 9 {
		mustJot(t, l, fmt.Sprint("morning-", day), fmt.Sprint("evening-", day))
		c.Add(24 * time.Hour)
		l.Tick()
	}
	mustClose(t, l)
	newest := newest(t, dir)
	first, err := audit.FirstKept(dir, newest.Origin)
	if err != nil || first < 10 {
		t.Fatal(first, err)
	}
	for i := first; i < newest.Size; i++ {
		if _, err := audit.MakeReceipt(dir, newest, i); err != nil {
			t.Errorf("record %d: %v", i, err)
		}
	}
	if _, err := audit.MakeReceipt(dir, newest, first-1); err == nil || !strings.Contains(err.Error(), "past its retention") {
		t.Errorf("%v", err)
	}
	for _, err := range audit.Follow(dir, newest, 0) {
		if !errors.Is(err, audit.ErrDropped) {
			t.Errorf("%v", err)
		}
	}
}

// A receipt with any byte changed proves nothing, or the same.
func TestEveryByteOfAReceipt(t *testing.T) {
	dir := logOf(t, 40, 2)
	r, err := audit.MakeReceipt(dir, newest(t, dir), 11)
	if err != nil {
		t.Fatal(err)
	}
	text := r.Text()
	for i := range text {
		edited := bytes.Clone(text)
		edited[i] ^= 1
		if _, err := testKey().Public().OpenReceipt(edited); err == nil {
			t.Errorf("byte %d can be edited:\n%s", i, edited)
		}
	}
	// Not the record, and no other's place.
	for name, edit := range map[string]func(*audit.Receipt){
		"another record":  func(r *audit.Receipt) { r.Line = append([]byte(" "), r.Line...) },
		"another place":   func(r *audit.Receipt) { r.Index++ },
		"a place outside": func(r *audit.Receipt) { r.Index = 40 },
		"a shorter proof": func(r *audit.Receipt) { r.Proof = r.Proof[1:] },
	} {
		wrong := *r
		edit(&wrong)
		if _, err := testKey().Public().OpenReceipt(wrong.Text()); err == nil {
			t.Error(name)
		}
	}
}

func TestFindRecord(t *testing.T) {
	dir := logOf(t, 40, 4)
	origin, index, err := audit.FindRecord(dir, "id-2-3")
	if err != nil || index != 24 || origin != newest(t, dir).Origin {
		t.Errorf("%s %d %v", origin, index, err)
	}
	if _, _, err := audit.FindRecord(dir, "id-9-9"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// A reader that follows a log gets every record of a checkpoint once, in its place, from wherever it left off.
func TestFollow(t *testing.T) {
	dir := logOf(t, 40, 4)
	c := newest(t, dir)
	for from := range uint64(41) {
		next := from
		for e, err := range audit.Follow(dir, c, from) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Index != next || e.Origin != c.Origin || e.Leaf != audit.LeafHash(e.Raw) {
				t.Errorf("%d: %+v", next, e)
			}
			next++
		}
		if next != 40 {
			t.Errorf("from %d to %d", from, next)
		}
	}
	for _, err := range audit.Follow(dir, c, 0) {
		if err != nil {
			t.Error(err)
		}
		break // and no panic
	}
	if err := os.Remove(segments(t, dir)[3]); err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range audit.Follow(dir, c, 0) {
		last = err
	}
	if last == nil {
		t.Error("ends early and says nothing")
	}
}

// A log that is written is followed as far as its newest checkpoint.
func TestFollowAsItGrows(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir, func(c *audit.Config) { c.SegmentAge = time.Minute })
	follower := audit.NewFollower(dir, l.Checkpoint().Origin)
	var got, again []string
	next, came := uint64(0), uint64(0)
	for round := range 5 {
		mustJot(t, l, fmt.Sprint("a-", round), fmt.Sprint("b-", round))
		c.Add(30 * time.Second)
		l.Tick()
		newest, err := l.Await(t.Context(), l.Checkpoint().Origin, next)
		if err != nil {
			t.Fatal(err)
		}
		mustJot(t, l, fmt.Sprint("late-", round)) // in no checkpoint yet
		for e, err := range audit.Follow(dir, newest, next) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Admin != nil {
				got = append(got, e.ID)
			}
			next = e.Index + 1
		}
		for range 2 { // from wherever it comes back
			for e, err := range follower.Follow(newest, came) {
				if err != nil {
					t.Fatal(err)
				}
				if e.Index != came {
					t.Errorf("record %d where %d is due", e.Index, came)
				}
				if e.Admin != nil {
					again = append(again, e.ID)
				}
				if came = e.Index + 1; came%3 == 0 {
					break
				}
			}
		}
	}
	for e, err := range follower.Follow(l.Checkpoint(), came) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Admin != nil {
			again = append(again, e.ID)
		}
	}
	if diff := cmp.Diff(got, again); diff != "" {
		t.Errorf("a follower: %s", diff)
	}
	want := []string{"a-0", "b-0", "late-0", "a-1", "b-1", "late-1", "a-2", "b-2", "late-2", "a-3", "b-3", "late-3", "a-4", "b-4"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
