package audit

import (
	"fmt"
	"slices"
)

// covers reports whether the hashes that were saved give the root of a checkpoint.
func (h *held) covers(s Checkpoint) bool {
	if s.Size < h.first || s.Size-h.first > uint64(len(h.saved)) {
		return false
	}
	root, err := rootWith(h.before, h.saved[:s.Size-h.first])
	return err == nil && root == s.Root
}

// locate finds the first record that is not as it was written, of those from good on, in a text that contradicts s.
func (h *held) locate(good int, s Checkpoint) *Fault {
	if !h.covers(s) {
		if good >= len(h.leaves) {
			return h.at(good, fmt.Sprintf("records are gone from here on: a checkpoint says that there were %d", s.Size))
		}
		return h.at(good, fmt.Sprintf("this record, or one of the %d behind it, is not as it was written; which can't be told, since the hashes in %s are not those of the checkpoint of %d records either",
			s.Size-h.first-uint64(good)-1, leavesPath(h.path), s.Size)) //nolint:gosec // lines of a file
	}
	i := firstDifference(h.leaves, h.saved)
	return h.at(i, differs(h.leaves, h.saved, i))
}

// unlike tells a text from the hashes that were saved of it; the records up to proven are as they were written.
func (h *held) unlike(proven uint64) *Fault {
	i := firstDifference(h.leaves, h.saved)
	if at := h.first + uint64(i); at < proven { //nolint:gosec // lines of a file
		return &Fault{File: leavesPath(h.path), Record: at, What: fmt.Sprintf("the hash of record %d is wrong; the records are as they were written: remove the file, it is made anew where it is needed", at)}
	}
	return h.at(i, "it is not as it was written; it came after the newest checkpoint, and the hash that was saved of it is another")
}

func firstDifference(a, b []Hash) (i int) {
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return i
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
