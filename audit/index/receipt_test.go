package index_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
)

// proves checks that a record has a receipt that the key verifies, and no other record has it.
func proves(t *testing.T, i *index.Index, l *logbook, n int) {
	t.Helper()
	r, err := i.Receipt(t.Context(), l.entries[n].ID)
	if err != nil {
		t.Errorf("record %d: %v", n, err)
		return
	}
	read, err := l.key.OpenReceipt(r.Text())
	if err != nil || read.Index != uint64(n) || string(read.Line) != string(l.entries[n].Raw) {
		t.Errorf("record %d: %v", n, err)
	}
	for name, edit := range map[string]func(*audit.Receipt){
		"line":  func(r *audit.Receipt) { r.Line = append(slices.Clone(r.Line), ' ') },
		"place": func(r *audit.Receipt) { r.Index ^= 1 },
		"proof": func(r *audit.Receipt) {
			if r.Proof = slices.Clone(r.Proof); len(r.Proof) == 0 {
				r.Proof = make([]audit.Hash, 1)
			}
			r.Proof[0][0] ^= 1
		},
	} {
		wrong := *r
		edit(&wrong)
		if _, err := l.key.OpenReceipt(wrong.Text()); err == nil {
			t.Errorf("record %d is proven with another %s", n, name)
		}
	}
}

// Records have receipts, wherever they stand, at every size of a log at which its tiles begin or end.
func TestReceipts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		i := b.open(t)
		for _, size := range []int{0, 1, 2, 255, 256, 257, 511, 513} {
			l := newLogbook(t, fmt.Sprint("sts-", size))
			for range size {
				l.write(t, "admin", fields{"action": "policy.load"})
			}
			for from := 0; from < size || from == 0; from += 100 {
				if _, err := i.Add(t.Context(), l.batch(t, from, min(from+100, size))); err != nil {
					t.Fatal(err)
				}
			}
			for n := range size {
				if size < 3 || n%17 == 0 || n < 3 || n > size-3 || n >= 254 && n <= 257 {
					proves(t, i, l, n)
				}
			}
		}
	})
}

// The same in a tree with a tile on the third level. Most of its leaves are of lines that are no records.
func TestReceiptsOfALongLog(t *testing.T) {
	t.Parallel()
	l := newLogbook(t, "sts-0")
	records := map[int]bool{0: true, 255: true, 256: true, 40_000: true, 65_279: true, 65_535: true, 65_536: true, 65_537: true}
	for n := range 65_538 {
		if records[n] {
			l.exchange(t, "alice")
		} else {
			l.line(t, binary.BigEndian.AppendUint32(nil, uint32(n)))
		}
	}
	onEach(t, func(t *testing.T, b *backend) {
		i := b.open(t)
		for from := 0; from < len(l.entries); from += 10_000 {
			if added, err := i.Add(t.Context(), l.batch(t, from, min(from+10_000, len(l.entries)))); err != nil || added.Contradicted {
				t.Fatal(added, err)
			}
		}
		for n := range records {
			proves(t, i, l, n)
		}
	})
}

func TestNoReceipt(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		i := b.open(t)
		l := fill(t, newLogbook(t, "sts-0"), 10)
		batch := l.batch(t, 0, 10)
		fill(t, l, 5)
		batch.Entries = l.entries // five of which the checkpoint does not cover
		if _, err := i.Add(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		proves(t, i, l, 9)
		for eventID, want := range map[string]error{
			l.entries[10].ID: index.ErrUncovered, "0197d0f8-0000-7000-8000-000000000001": index.ErrNotFound, "": index.ErrNotFound, "x": index.ErrNotFound,
		} {
			if _, err := i.Receipt(t.Context(), eventID); !errors.Is(err, want) {
				t.Errorf("%q: %v", eventID, err)
			}
		}
		// A damaged tree hands out nothing.
		if err := i.Change(t.Context(), "UPDATE audit_tiles SET hashes = $1", make([]byte, 15*32)); err != nil {
			t.Fatal(err)
		}
		if r, err := i.Receipt(t.Context(), l.entries[3].ID); err == nil {
			t.Errorf("%+v", r)
		}
	})
}

// FuzzTree grows a tree that begins behind records that nobody has any more, and proves a record of it.
func FuzzTree(f *testing.F) {
	for _, base := range []uint16{0, 1, 255, 256, 257, 300, 4096, 5000} {
		f.Add(base, uint16(1), uint16(0))
		f.Add(base, uint16(700), uint16(300))
	}
	f.Fuzz(func(t *testing.T, base, more, at uint16) {
		base, more = base%6000, more%1000+1
		size := uint64(base) + uint64(more)
		place := uint64(base) + uint64(at%more)
		leaf := func(n uint64) audit.Hash { return audit.LeafHash(binary.BigEndian.AppendUint64(nil, n)) }
		whole := newLogbook(t, "sts-0").tree
		var before []audit.Hash
		for n := range size {
			if n == uint64(base) {
				for _, h := range whole.Hashes() {
					before = append(before, audit.Hash(h))
				}
			}
			h := leaf(n)
			if err := whole.Append(h[:], nil); err != nil {
				t.Fatal(err)
			}
		}
		root, err := whole.GetRootHash(nil)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := index.NewTree(uint64(base), before)
		if err != nil {
			t.Fatal(err)
		}
		for n := uint64(base); n < size; n++ {
			if err := tree.Put(n, leaf(n)); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := tree.Root(size); err != nil || got != audit.Hash(root) {
			t.Fatalf("root %v, %v", got, err)
		}
		hashes, err := tree.Inclusion(place, size)
		if err != nil {
			t.Fatal(err)
		}
		path := make([][]byte, len(hashes))
		for n := range hashes {
			path[n] = hashes[n][:]
		}
		h := leaf(place)
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, place, size, h[:], path, root); err != nil {
			t.Fatal(err)
		}
	})
}
