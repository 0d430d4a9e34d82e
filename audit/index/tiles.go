package index

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/lakegate/sts/audit"
)

// tile names a tile: the hashes of 256 neighbours at height 8·level of a log's tree, the last tile of a level with fewer.
// Hashes between can be computed from them (C2SP tlog-tiles). A hash of zeros is one that nobody knows.
type tile struct {
	level uint
	n     uint64
}

const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// tree is a log's tree, as far as its tiles and the hashes before its base know it.
type tree struct {
	load  func(tile) ([]byte, error)
	tiles map[tile][]byte // that were loaded or made
	dirty map[tile]bool
	base  map[compact.NodeID]audit.Hash
}

func newTree(base uint64, before []audit.Hash, load func(tile) ([]byte, error)) (*tree, error) {
	t := &tree{load: load, tiles: map[tile][]byte{}, dirty: map[tile]bool{}, base: map[compact.NodeID]audit.Hash{}}
	nodes := compact.RangeNodes(0, base, nil)
	if len(nodes) != len(before) {
		return nil, fmt.Errorf("%d hashes stand for %d records", len(before), base)
	}
	for i, n := range nodes {
		t.base[n] = before[i]
	}
	return t, nil
}

// errUnknown is of a hash that neither the tiles nor the base tell.
var errUnknown = errors.New("what this needs of the log's tree is past its retention")

func (t *tree) tile(at tile) ([]byte, error) {
	if b, ok := t.tiles[at]; ok {
		return b, nil
	}
	b, err := t.load(at)
	if err != nil {
		return nil, err
	}
	t.tiles[at] = b
	return b, nil
}

// stored is a hash that stands in a tile, zero if it doesn't.
func (t *tree) stored(level uint, index uint64) (h audit.Hash, err error) {
	b, err := t.tile(tile{level, index / tileWidth})
	if err != nil {
		return h, err
	}
	if at := int(index % tileWidth * sha256.Size); at < len(b) {
		copy(h[:], b[at:])
	}
	return h, nil
}

// set puts a hash into its tile.
func (t *tree) set(level uint, index uint64, h audit.Hash) error {
	at := tile{level, index / tileWidth}
	b, err := t.tile(at)
	if err != nil {
		return err
	}
	begin := int(index % tileWidth * sha256.Size)
	if missing := begin + sha256.Size - len(b); missing > 0 {
		b = append(b, make([]byte, missing)...)
	}
	copy(b[begin:], h[:])
	t.tiles[at], t.dirty[at] = b, true
	return nil
}

// node is the hash of one whole subtree.
func (t *tree) node(id compact.NodeID) (audit.Hash, error) {
	if h, ok := t.base[id]; ok {
		return h, nil
	}
	if id.Level%tileHeight == 0 {
		if h, err := t.stored(id.Level/tileHeight, id.Index); err != nil || h != (audit.Hash{}) {
			return h, err
		}
	}
	return t.fold(id)
}

// fold computes the hash of a subtree from those of its halves.
func (t *tree) fold(id compact.NodeID) (audit.Hash, error) {
	if id.Level == 0 {
		return audit.Hash{}, errUnknown
	}
	left, err := t.node(compact.NewNodeID(id.Level-1, 2*id.Index))
	if err != nil {
		return left, err
	}
	right, err := t.node(compact.NewNodeID(id.Level-1, 2*id.Index+1))
	if err != nil {
		return right, err
	}
	return hashChildren(left, right), nil
}

func hashChildren(left, right audit.Hash) audit.Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = rfc6962.RFC6962NodeHashPrefix
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// put takes in the hash of the record at index, and whatever it completes. Of the first proven records the hash that is
// known stays: kept is whether it was another.
func (t *tree) put(index uint64, leaf audit.Hash, proven uint64) (kept bool, err error) {
	if index < proven {
		known, err := t.stored(0, index)
		if err != nil {
			return false, err
		}
		kept = known != (audit.Hash{}) && known != leaf
	}
	if !kept {
		if err := t.set(0, index, leaf); err != nil {
			return false, err
		}
	}
	for level := uint(1); index%tileWidth == tileWidth-1 && level*tileHeight < 62; level++ {
		index /= tileWidth
		h, err := t.fold(compact.NewNodeID(level*tileHeight, index))
		if errors.Is(err, errUnknown) {
			return kept, nil // of a tile with a gap; nobody will ask for what is left of it
		}
		if err == nil {
			err = t.set(level, index, h)
		}
		if err != nil {
			return kept, err
		}
	}
	return kept, nil
}

var rangeFactory = &compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// root is that of the tree when it had size records.
func (t *tree) root(size uint64) (audit.Hash, error) {
	nodes := compact.RangeNodes(0, size, nil)
	hashes := make([][]byte, len(nodes))
	for i, id := range nodes {
		h, err := t.node(id)
		if err != nil {
			return audit.Hash{}, err
		}
		hashes[i] = bytes.Clone(h[:])
	}
	if size == 0 {
		return audit.Hash(rfc6962.DefaultHasher.EmptyRoot()), nil
	}
	r, err := rangeFactory.NewRange(0, size, hashes)
	if err != nil {
		return audit.Hash{}, err
	}
	root, err := r.GetRootHash(nil)
	return audit.Hash(root), err
}

// inclusion is the proof that the record at index is in the tree of size records (RFC 6962 §2.1.1).
func (t *tree) inclusion(index, size uint64) ([]audit.Hash, error) {
	n, err := proof.Inclusion(index, size)
	if err != nil {
		return nil, err
	}
	hashes := make([][]byte, len(n.IDs))
	for i, id := range n.IDs {
		h, err := t.node(id)
		if err != nil {
			return nil, err
		}
		hashes[i] = bytes.Clone(h[:])
	}
	if hashes, err = n.Rehash(hashes, rfc6962.DefaultHasher.HashChildren); err != nil {
		return nil, err
	}
	list := make([]audit.Hash, len(hashes))
	for i, h := range hashes {
		list[i] = audit.Hash(h)
	}
	return list, nil
}

// loader loads tiles of an origin from the database.
func loader(ctx context.Context, q queryer, origin int64) func(tile) ([]byte, error) {
	return func(t tile) (hashes []byte, err error) {
		err = q.QueryRowContext(ctx, "SELECT hashes FROM audit_tiles WHERE origin = $1 AND level = $2 AND n = $3", origin, int64(t.level), int64(t.n)).Scan(&hashes) //nolint:gosec // small
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		}
		return hashes, err
	}
}

// save writes the tiles that have changed.
func (t *tree) save(ctx context.Context, tx *sql.Tx, origin int64) error {
	for at := range t.dirty {
		if _, err := tx.ExecContext(ctx, "INSERT INTO audit_tiles (origin, level, n, hashes) VALUES ($1, $2, $3, $4) "+
			"ON CONFLICT (origin, level, n) DO UPDATE SET hashes = excluded.hashes", origin, int64(at.level), int64(at.n), t.tiles[at]); err != nil { //nolint:gosec // small
			return fmt.Errorf("writing a tile: %w", err)
		}
	}
	clear(t.dirty)
	return nil
}

// join and split turn hashes into bytes and back.
func joinHashes(list []audit.Hash) []byte {
	b := make([]byte, 0, len(list)*sha256.Size)
	for i := range list {
		b = append(b, list[i][:]...)
	}
	return b
}

func splitHashes(b []byte) ([]audit.Hash, error) {
	if len(b)%sha256.Size != 0 {
		return nil, errors.New("not a list of hashes")
	}
	list := make([]audit.Hash, len(b)/sha256.Size)
	for i := range list {
		copy(list[i][:], b[i*sha256.Size:])
	}
	return list, nil
}
