package audit

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/transparency-dev/merkle/compact"
)

// hold holds a segment's text against each checkpoint within it, and against where its seal and its successor say that
// it ends. saved are the hashes that were kept beside it: where the text contradicts a checkpoint and they don't, they
// are true, and tell which record is not.
func (l *logVerifier) hold(p, next *part, t *text, saved []Hash) error {
	before := l.whole
	own := ranges.NewEmptyRange(t.first)
	count := len(t.leaves)
	for len(l.stations) > 0 {
		s := l.stations[0]
		n := int64(s.Size - t.first)      //nolint:gosec // sizes fit
		if n < int64(own.End()-t.first) { //nolint:gosec // the same
			l.fault(t.at(0, fmt.Sprintf("a checkpoint of %d records is of a place before this segment, and nothing that stands before it goes with it", s.Size)))
			return nil
		}
		end, bounded := ending(p, next)
		if bounded && s.Size > end || !bounded && n > int64(count) && !covers(before, saved, t.first, s) {
			break // of a later segment, or of records that are gone
		}
		if n > int64(count) {
			l.fault(l.locate(before, t, saved, len(t.leaves), s))
			return nil
		}
		if n > 0 {
			if err := extend(own, t.leaves[own.End()-t.first:n]); err != nil {
				return err
			}
		}
		whole, err := join(before, own)
		if err != nil {
			return err
		}
		root, err := rootOf(whole)
		if err != nil {
			return err
		}
		if root != s.Root && s.Size == l.report.Proven {
			l.fault(Fault{File: t.path, Record: s.Size, What: fmt.Sprintf("two checkpoints of %d records contradict each other: the log was put back to an earlier state and went on from there", s.Size)})
			return nil
		}
		if root != s.Root {
			good := 0
			if l.report.Proven > t.first {
				good = int(l.report.Proven - t.first) //nolint:gosec // lines of a file
			}
			l.fault(l.locate(before, t, saved, good, s))
			return nil
		}
		l.report.Proven = s.Size
		l.stations = l.stations[1:]
	}
	if err := extend(own, t.leaves[own.End()-t.first:]); err != nil {
		return err
	}
	whole, err := join(before, own)
	if err != nil {
		return err
	}
	l.whole = whole
	l.edges(p, next, t, saved, before, own)
	return nil
}

// ending is the tree's size at a segment's end, if it is known from elsewhere.
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

// covers reports whether saved hashes give the root of a checkpoint.
func covers(before *compact.Range, saved []Hash, first uint64, s Checkpoint) bool {
	if s.Size < first || s.Size-first > uint64(len(saved)) {
		return false
	}
	root, err := rootWith(before, saved[:s.Size-first])
	return err == nil && root == s.Root
}

// locate finds the first record that is not as it was written, of those from good on, in a text that contradicts s.
func (l *logVerifier) locate(before *compact.Range, t *text, saved []Hash, good int, s Checkpoint) Fault {
	if !covers(before, saved, t.first, s) {
		if good >= len(t.leaves) {
			return t.at(good, fmt.Sprintf("records are gone from here on: a checkpoint says that there were %d", s.Size))
		}
		return t.at(good, fmt.Sprintf("this record, or one of the %d behind it, is not as it was written; which can't be told, since the hashes in %s are not those of the checkpoint of %d records either",
			s.Size-t.first-uint64(good)-1, leavesPath(t.path), s.Size)) //nolint:gosec // lines of a file
	}
	i := 0
	for i < len(t.leaves) && i < len(saved) && t.leaves[i] == saved[i] {
		i++
	}
	return t.at(i, differs(t.leaves, saved, i))
}

// differs says how the i-th record, the first that differs, came to be there.
func differs(leaves, saved []Hash, i int) string {
	switch {
	case i >= len(leaves):
		return fmt.Sprintf("%d records are gone from the end", len(saved)-len(leaves))
	case i >= len(saved):
		return "a record that was not written by the log"
	case i+1 < len(leaves) && leaves[i+1] == saved[i] && slices.Contains(saved, leaves[i]) && len(leaves) <= len(saved):
		return "records have changed places"
	case i+1 < len(leaves) && leaves[i+1] == saved[i]:
		if slices.Contains(saved, leaves[i]) {
			return "a second copy of a record"
		}
		return "a record that was not written by the log"
	case len(leaves) > len(saved) && slices.Contains(saved, leaves[i]):
		return "a second copy of a record"
	case slices.Contains(leaves[i:], saved[i]):
		return "records have changed places"
	case slices.Contains(saved[i:], leaves[i]):
		return fmt.Sprintf("the record that was here is gone; what follows is record %d", slices.Index(saved, leaves[i]))
	default:
		return "it is not as it was written"
	}
}

// edges looks at where a segment that no checkpoint contradicts begins and ends, and at what is kept of it.
func (l *logVerifier) edges(p, next *part, t *text, saved []Hash, before, own *compact.Range) {
	end, bounded := ending(p, next)
	extra := int64(l.size() - end) //nolint:gosec // the difference of two counts of records
	switch {
	case p.header == nil || p.header.Number != p.number || p.header.Replica != l.c.replica || p.header.Origin != l.c.origin || p.header.First != t.first:
		l.fault(t.at(0, "the segment does not begin with the record that says where it stands in the log"))
	case bounded && extra < 0:
		l.fault(t.at(len(t.leaves), fmt.Sprintf("%d records are gone from the end", -extra)))
	case bounded && extra > 0:
		l.fault(t.at(len(t.leaves)-int(extra), "a record behind the segment's end"))
	case t.torn > 0 && bounded:
		l.fault(t.at(len(t.leaves), fmt.Sprintf("%d bytes behind the segment's end", t.torn)))
	case len(saved) > len(t.leaves) && bounded:
		l.fault(Fault{File: leavesPath(t.path), Record: l.size(), What: "it has more hashes than there are records, which are as they were written: remove the file, it is made anew where it is needed"})
	case len(saved) > len(t.leaves):
		l.fault(t.at(len(t.leaves), fmt.Sprintf("%d records are gone from the end; their hashes are there", len(saved)-len(t.leaves))))
	case !slices.Equal(saved, t.leaves[:len(saved)]):
		l.unlike(t, saved)
	case p.seal != nil && p.seal.Segment != filepath.Base(t.path):
		l.fault(Fault{File: l.sealsFile, What: fmt.Sprintf("the seal of %s names it %s", filepath.Base(t.path), p.seal.Segment)})
	case p.seal != nil && !slices.Equal(p.seal.Range, hashesOf(own)):
		l.fault(Fault{File: l.sealsFile, What: fmt.Sprintf("the seal of %s is not that of its records, which are as they were written", p.seal.Segment)})
	}
	if !l.failed && !slices.Equal(p.header.Range, hashesOf(before)) {
		l.fault(t.at(0, "what the segment's first record says of the records before it is not so"))
	}
}

// unlike tells a text from the hashes that were saved of it.
func (l *logVerifier) unlike(t *text, saved []Hash) {
	i := 0
	for t.leaves[i] == saved[i] {
		i++
	}
	if t.first+uint64(i) < l.report.Proven {
		l.fault(Fault{File: leavesPath(t.path), Record: t.first + uint64(i), What: fmt.Sprintf("the hash of record %d is wrong; the records are as they were written: remove the file, it is made anew where it is needed", t.first+uint64(i))})
		return
	}
	l.fault(t.at(i, "it is not as it was written; it came after the newest checkpoint, and the hash that was saved of it is another"))
}
