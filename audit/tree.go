package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

// Hash is a node of a log's Merkle tree (RFC 6962 §2.1, SHA-256). As text it is standard base64.
type Hash [sha256.Size]byte

// String returns h in base64.
func (h Hash) String() string { return base64.StdEncoding.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. There is one text for a hash, and no other is taken.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil || len(b) != len(h) || bytes.ContainsAny(text, "\r\n") { // which the decoder passes over
		return errors.New("not a SHA-256 in base64")
	}
	*h = Hash(b)
	return nil
}

// ranges makes compact ranges: the hashes of the largest whole subtrees that cover some consecutive leaves. Ranges that
// meet can be joined, and one that starts at leaf 0 has a root. Only ranges of one factory go together.
var ranges = &compact.RangeFactory{Hash: hashNode}

// hashNode is rfc6962's HashChildren with a quarter of the garbage.
func hashNode(left, right []byte) []byte {
	var b [1 + 2*sha256.Size]byte
	b[0] = rfc6962.RFC6962NodeHashPrefix
	copy(b[1:], left)
	copy(b[1+sha256.Size:], right)
	sum := sha256.Sum256(b[:])
	return sum[:]
}

// LeafHash is the hash of a record: of its line, without the line's end.
func LeafHash(line []byte) Hash {
	return Hash(rfc6962.DefaultHasher.HashLeaf(line))
}

// makeRange makes the range of leaves [begin, end) of its hashes.
func makeRange(begin, end uint64, hashes []Hash) (*compact.Range, error) {
	// The bound keeps the library's arithmetic within 64 bits; no log has that many records.
	if end < begin || end > 1<<62 {
		return nil, fmt.Errorf("records %d to %d are no range", begin, end)
	}
	list := make([][]byte, len(hashes))
	for i := range hashes {
		list[i] = hashes[i][:]
	}
	return ranges.NewRange(begin, end, list)
}

func hashesOf(r *compact.Range) []Hash {
	list := make([]Hash, len(r.Hashes()))
	for i, h := range r.Hashes() {
		list[i] = Hash(h)
	}
	return list
}

// join returns the range that left and right, which begins where left ends, are together. It leaves both alone.
func join(left, right *compact.Range) (*compact.Range, error) {
	whole, err := ranges.NewRange(left.Begin(), left.End(), slices.Clone(left.Hashes()))
	if err != nil {
		return nil, err
	}
	return whole, whole.AppendRange(right, nil)
}

// rangeOf is the range of consecutive leaves, the first of which is begin.
func rangeOf(begin uint64, leaves []Hash) (*compact.Range, error) {
	r := ranges.NewEmptyRange(begin)
	return r, extend(r, leaves)
}

func extend(r *compact.Range, leaves []Hash) error {
	for i := range leaves {
		if err := r.Append(leaves[i][:], nil); err != nil {
			return err
		}
	}
	return nil
}

// rootOf is the root of a tree of which r is the range.
func rootOf(r *compact.Range) (Hash, error) {
	root, err := r.GetRootHash(nil)
	if err != nil {
		return Hash{}, err
	}
	if root == nil {
		root = rfc6962.DefaultHasher.EmptyRoot()
	}
	return Hash(root), nil
}

// rootWith is the root of a tree whose leaves are those of before and then leaves.
func rootWith(before *compact.Range, leaves []Hash) (Hash, error) {
	r, err := rangeOf(before.End(), leaves)
	if err != nil {
		return Hash{}, err
	}
	whole, err := join(before, r)
	if err != nil {
		return Hash{}, err
	}
	return rootOf(whole)
}
