package audit

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/transparency-dev/merkle/compact"
)

// held is a segment that is held against checkpoints, from its beginning on.
type held struct {
	*text
	part   *part
	before *compact.Range // of the records before it
	own    *compact.Range // of its own, as far as checkpoints have been looked at
	// saved are the hashes that were kept beside it: where the text contradicts a checkpoint and they don't, they are true, and
	// tell which record is not.
	saved []Hash
	// end is the tree's size at its end, if that is known from elsewhere.
	end   uint64
	known bool
}

// hold holds a segment's text against each checkpoint within it, in order, and then looks at its edges. It stops at the first
// fault.
func (l *logVerifier) hold(p, next *part, t *text, saved []Hash) error {
	h := &held{text: t, part: p, before: l.whole, own: ranges.NewEmptyRange(t.first), saved: saved}
	h.end, h.known = ending(p, next)
	for ; len(l.stations) > 0; l.stations = l.stations[1:] {
		s := l.stations[0]
		if h.beyond(s) {
			break
		}
		f, err := h.contradicts(s, l.report.Proven)
		if err != nil {
			return err
		}
		if f != nil {
			l.fault(*f)
			return nil
		}
		l.report.Proven = s.Size
	}
	whole, err := h.upTo(h.size())
	if err != nil {
		return err
	}
	l.whole = whole
	if f := h.edges(l); f != nil {
		l.fault(*f)
	}
	return nil
}

// ending is the tree's size at a segment's end, as its seal or the segment behind it says.
func ending(p, next *part) (size uint64, known bool) {
	switch {
	case p.seal != nil:
		return p.seal.Size, true
	case next != nil && (next.header != nil || next.seal != nil) && next.first >= p.first:
		return next.first, true
	default:
		return 0, false
	}
}

// size is the tree's with all records of the text.
func (h *held) size() uint64 { return h.first + uint64(len(h.leaves)) }

// beyond reports whether a checkpoint is of a later segment, or of records that are gone. Where nobody knows the segment's
// end, hashes that were saved and give the checkpoint's root say that those records were of this one.
func (h *held) beyond(s Checkpoint) bool {
	if h.known {
		return s.Size > h.end
	}
	return s.Size > h.size() && !h.covers(s)
}

// contradicts says what is wrong if the records are not those of a checkpoint; those up to proven are.
func (h *held) contradicts(s Checkpoint, proven uint64) (*Fault, error) {
	switch {
	case s.Size < h.own.End():
		return h.at(0, fmt.Sprintf("a checkpoint of %d records is of a place before this segment, and nothing that stands before it goes with it", s.Size)), nil
	case s.Size > h.size():
		return h.locate(len(h.leaves), s), nil
	}
	whole, err := h.upTo(s.Size)
	if err != nil {
		return nil, err
	}
	root, err := rootOf(whole)
	switch {
	case err != nil:
		return nil, err
	case root == s.Root:
		return nil, nil //nolint:nilnil // as it says
	case s.Size == proven:
		return &Fault{File: h.path, Record: s.Size, What: fmt.Sprintf("two checkpoints of %d records contradict each other: the log was put back to an earlier state and went on from there", s.Size)}, nil
	case proven > h.first:
		return h.locate(int(proven-h.first), s), nil //nolint:gosec // lines of a file
	default:
		return h.locate(0, s), nil
	}
}

// upTo is the range of the tree when it had size records, the last of which are in this segment.
func (h *held) upTo(size uint64) (*compact.Range, error) {
	if err := extend(h.own, h.leaves[h.own.End()-h.first:size-h.first]); err != nil {
		return nil, err
	}
	return join(h.before, h.own)
}

// edges looks at where a segment that no checkpoint contradicts begins and ends, and at what is kept of it.
func (h *held) edges(l *logVerifier) *Fault {
	p, n := h.part, len(h.leaves)
	extra := int64(h.size() - h.end) //nolint:gosec // the difference of two counts of records
	switch {
	case p.header == nil || p.header.Number != p.number || p.header.Replica != l.c.replica || p.header.Origin != l.c.origin || p.header.First != h.first:
		return h.at(0, "the segment does not begin with the record that says where it stands in the log")
	case h.known && extra < 0:
		return h.at(n, fmt.Sprintf("%d records are gone from the end", -extra))
	case h.known && extra > 0:
		return h.at(n-int(extra), "a record behind the segment's end")
	case h.known && h.torn > 0:
		return h.at(n, fmt.Sprintf("%d bytes behind the segment's end", h.torn))
	case h.known && len(h.saved) > n:
		return &Fault{File: leavesPath(h.path), Record: h.size(), What: "it has more hashes than there are records, which are as they were written: remove the file, it is made anew where it is needed"}
	case len(h.saved) > n:
		return h.at(n, fmt.Sprintf("%d records are gone from the end; their hashes are there", len(h.saved)-n))
	case !slices.Equal(h.saved, h.leaves[:len(h.saved)]):
		return h.unlike(l.report.Proven)
	case p.seal != nil && p.seal.Segment != filepath.Base(h.path):
		return &Fault{File: l.sealsFile, What: fmt.Sprintf("the seal of %s names it %s", filepath.Base(h.path), p.seal.Segment)}
	case p.seal != nil && !slices.Equal(p.seal.Range, hashesOf(h.own)):
		return &Fault{File: l.sealsFile, What: fmt.Sprintf("the seal of %s is not that of its records, which are as they were written", p.seal.Segment)}
	case !slices.Equal(p.header.Range, hashesOf(h.before)):
		return h.at(0, "what the segment's first record says of the records before it is not so")
	default:
		return nil
	}
}
