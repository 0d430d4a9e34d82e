package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A log that contradicts its checkpoint is given up (docs/adr/0011). What tells of it stands in two files,
// <replica>.<time>.fault and <replica>.<time>.checkpoint, which are left where they are by everything but a hand.

// giveUp leaves word of a log that is not continued, until somebody who has looked into it removes the file.
func (n *notary) giveUp(why string, now time.Time) {
	n.files.Lock()
	defer n.files.Unlock()
	stem, begun := n.halfDone(why)
	if !begun {
		stem = n.faultStem(now)
	}
	path := stem + faultSuffix
	n.c.Log.Error("the audit log contradicts its own checkpoint; it is left as it is, and a log of a new origin begins. "+
		"Look into it, then remove the file that says so", "fault", why, "file", path)
	if err := replaceFile(n.c.disk, path, []byte(why+"\n")); err != nil {
		n.c.Log.Error("leaving word of it", "error", err)
	}
	// What it contradicts stays to be held against it.
	if err := n.c.disk.Rename(checkpointPath(n.c.Directory, n.c.Replica), stem+checkpointSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		n.c.Log.Error("keeping the checkpoint of a log that was given up", "error", err)
	}
	n.told.Lock()
	defer n.told.Unlock()
	if !begun {
		n.faults = append(n.faults, path)
	}
}

// halfDone finds the word of a process that was killed before it had put the checkpoint beside it.
func (n *notary) halfDone(why string) (stem string, found bool) {
	n.told.Lock()
	defer n.told.Unlock()
	if len(n.faults) == 0 {
		return "", false
	}
	path := n.faults[len(n.faults)-1]
	stem = strings.TrimSuffix(path, faultSuffix)
	said, err := os.ReadFile(path)
	_, beside := os.Lstat(stem + checkpointSuffix)
	return stem, err == nil && strings.TrimSpace(string(said)) == why && errors.Is(beside, os.ErrNotExist)
}

// faultStem is what the names of a fault's files begin with. Nothing of an earlier fault is overwritten, also where the
// clock says the same time twice.
func (n *notary) faultStem(now time.Time) string {
	for ; ; now = now.Add(time.Second) {
		stem := filepath.Join(n.c.Directory, n.c.Replica+"."+now.UTC().Format(startLayout))
		_, err1 := os.Lstat(stem + faultSuffix)
		_, err2 := os.Lstat(stem + checkpointSuffix)
		if err1 != nil && err2 != nil {
			return stem
		}
	}
}

// findFaults looks for word of earlier ones.
func (n *notary) findFaults() error {
	entries, err := os.ReadDir(n.c.Directory)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		at, ok1 := strings.CutPrefix(name, n.c.Replica+".")
		at, ok2 := strings.CutSuffix(at, faultSuffix)
		if _, err := time.Parse(startLayout, at); ok1 && ok2 && err == nil { // another replica's name may begin with ours
			n.faults = append(n.faults, filepath.Join(n.c.Directory, name))
		}
	}
	return nil
}

// leftWord is why the log of an origin was given up; "" if nothing says that it was. Without an origin it is why the last
// one was.
func (n *notary) leftWord(origin string) string {
	n.told.Lock()
	defer n.told.Unlock()
	for _, path := range slices.Backward(n.faults) {
		if origin != "" {
			text, err := os.ReadFile(strings.TrimSuffix(path, faultSuffix) + checkpointSuffix)
			if c, e := n.c.Key.Public().Open(text); err != nil || e != nil || c.Origin != origin {
				continue
			}
		}
		if why, err := os.ReadFile(path); err == nil {
			return strings.TrimSpace(string(why))
		}
	}
	return ""
}

// lookAtFaults forgets the faults whose files have been removed.
func (n *notary) lookAtFaults() {
	n.told.Lock()
	defer n.told.Unlock()
	n.faults = slices.DeleteFunc(n.faults, func(path string) bool {
		_, err := os.Lstat(path)
		return errors.Is(err, os.ErrNotExist)
	})
}

// health is nil where checkpoints are kept and no log was given up.
func (n *notary) health() error {
	n.told.Lock()
	defer n.told.Unlock()
	if len(n.faults) > 0 {
		return fmt.Errorf("the audit log contradicted its own checkpoint, and was begun anew; see %s, and remove it when you have", filepath.Base(n.faults[0]))
	}
	if n.trouble != nil {
		return errors.New("checkpoints of the audit log can't be kept") // the log says why
	}
	return nil
}
