package audit

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// chain is one log as its files are: its parts in order, those that retention dropped included. It computes hashes of the
// tree, out of what stands beside the records where it can; so what comes out is to be checked against a checkpoint.
type chain struct {
	directory, replica, origin string
	parts                      []*part
}

// part is one segment.
type part struct {
	number uint64
	path   string         // "" where it was dropped
	header *SegmentRecord // nil where it was dropped
	seal   *seal          // nil where it has none
	first  uint64
	size   uint64 // of the tree at its end; of the last part, as long as it has no seal, open
	hashes []Hash // of its records, once they have been asked for
	strict bool   // hash the records, whatever is kept beside them
}

// chainOf reads how a log is put together, of the replica that its origin names.
func chainOf(directory, origin string) (*chain, error) {
	replica, err := replicaOf(origin)
	if err != nil {
		return nil, err
	}
	return openChain(directory, replica, origin)
}

// openChain reads how a log is put together.
func openChain(directory, replica, origin string) (*chain, error) {
	c := &chain{directory: directory, replica: replica, origin: origin}
	names, err := listSegments(directory)
	if err != nil {
		return nil, err
	}
	seals, err := readSeals(directory, replica, func(int, error) {})
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if n.replica != replica {
			continue
		}
		header, err := readHeader(n.path)
		if err != nil {
			return nil, err
		}
		if header != nil && header.Origin == origin {
			c.parts = append(c.parts, &part{number: n.number, path: n.path, header: header, first: header.First, size: header.First})
		}
	}
	for _, s := range seals {
		if s.Origin == origin {
			c.addSeal(s)
		}
	}
	slices.SortFunc(c.parts, func(a, b *part) int { return int(int64(a.number) - int64(b.number)) }) //nolint:gosec // numbers count segments
	for i := 1; i < len(c.parts); i++ {
		c.parts[i-1].size = c.parts[i].first
	}
	if len(c.parts) == 0 {
		return nil, fmt.Errorf("there is no log %s in %s", origin, directory)
	}
	if last := c.parts[len(c.parts)-1]; last.seal != nil {
		last.size = last.seal.Size
	} else {
		last.size = openEnd
	}
	return c, nil
}

// openEnd is the size of a part whose end is not known: as far as its records go.
const openEnd = 1 << 62

// strictly makes c hash its records wherever they are: what is kept beside them may be damaged, which is no reason to give
// a log up.
func (c *chain) strictly() *chain {
	for _, p := range c.parts {
		if p.path != "" {
			p.strict, p.seal = true, nil
		}
	}
	return c
}

func (c *chain) addSeal(s *seal) {
	for _, p := range c.parts {
		if p.number == s.Number {
			p.seal = s
			return
		}
	}
	c.parts = append(c.parts, &part{number: s.Number, seal: s, first: s.First, size: s.Size})
}

// leaves are the hashes of a part's records [from, to), counted over the log.
func (p *part) leaves(from, to uint64) ([]Hash, error) {
	if p.path == "" {
		return nil, fmt.Errorf("records %d to %d are past their retention", from, to-1)
	}
	var err error
	if p.hashes == nil && !p.strict {
		if p.hashes, err = readLeaves(p.path); err != nil {
			return nil, err
		}
	}
	if uint64(len(p.hashes)) < to-p.first {
		if p.hashes, _, err = hashLines(p.path, -1); err != nil {
			return nil, err
		}
	}
	if uint64(len(p.hashes)) < to-p.first {
		return nil, fmt.Errorf("%s has %d records, %d are needed", filepath.Base(p.path), len(p.hashes), to-p.first)
	}
	return p.hashes[from-p.first : to-p.first], nil
}

// span is the range of the records [begin, end).
func (c *chain) span(begin, end uint64) (*compact.Range, error) {
	whole := ranges.NewEmptyRange(begin)
	if begin == 0 { // as far as some segment's header has it
		for _, p := range c.parts {
			if p.header != nil && p.first <= end {
				var err error
				if whole, err = p.header.before(); err != nil {
					return nil, err
				}
			}
		}
	}
	for i, p := range c.parts {
		at := whole.End()
		if at == end {
			break
		}
		if last := i == len(c.parts)-1; at < p.first || at >= p.size && !last {
			continue
		}
		next, err := p.span(at, end)
		if err != nil {
			return nil, err
		}
		if whole, err = join(whole, next); err != nil {
			return nil, err
		}
	}
	if whole.End() != end {
		return nil, fmt.Errorf("records %d to %d are not here", whole.End(), end-1)
	}
	return whole, nil
}

// span is the range of a part's records from begin on, as far as end or to the part's own end.
func (p *part) span(begin, end uint64) (*compact.Range, error) {
	if p.seal != nil && begin == p.first && end >= p.size && p.seal.Size == p.size {
		return p.seal.spans()
	}
	if p.size > begin {
		end = min(end, p.size)
	}
	leaves, err := p.leaves(begin, end)
	if err != nil {
		return nil, err
	}
	return rangeOf(begin, leaves)
}

// root is the tree's root when it had size records.
func (c *chain) root(size uint64) (Hash, error) {
	whole, err := c.span(0, size)
	if err != nil {
		return Hash{}, err
	}
	return rootOf(whole)
}

// inclusion is the proof that the record at index is in the tree of size records (RFC 6962 §2.1.1).
func (c *chain) inclusion(index, size uint64) ([]Hash, error) {
	n, err := proof.Inclusion(index, size)
	if err != nil {
		return nil, err
	}
	hashes := make([][]byte, len(n.IDs))
	for i, id := range n.IDs {
		if hashes[i], err = c.node(id); err != nil {
			return nil, err
		}
	}
	if hashes, err = n.Rehash(hashes, rfc6962.DefaultHasher.HashChildren); err != nil {
		return nil, err
	}
	list := make([]Hash, len(hashes))
	for i, h := range hashes {
		list[i] = Hash(h)
	}
	return list, nil
}

// node is the hash of one whole subtree.
func (c *chain) node(id compact.NodeID) ([]byte, error) {
	begin, end := id.Coverage()
	// What lies before a segment that is here may be in its header; of what was dropped, this is all that is needed.
	for _, p := range c.parts {
		if p.header == nil || p.first < end {
			continue
		}
		if i := slices.Index(compact.RangeNodes(0, p.first, nil), id); i >= 0 {
			return p.header.Range[i][:], nil
		}
	}
	r, err := c.span(begin, end)
	if err != nil {
		return nil, err
	}
	if len(r.Hashes()) != 1 {
		return nil, errors.New("a subtree that is not whole")
	}
	return r.Hashes()[0], nil
}
