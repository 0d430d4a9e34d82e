package main

import (
	"context"
	"os"
	"time"
)

// watchInterval is how often files are looked at. It is the machine's time: no validity hangs on it.
const watchInterval = time.Second

// watcher notices changed files by their identity, size and modification time. It asks the file system once a second
// instead of subscribing to it: that also works on network mounts and where a ConfigMap swaps a symbolic link, and
// can't run out of watches (docs/adr/0002).
type watcher struct {
	seen map[string]os.FileInfo
}

// changed reports whether any of the files differs from what the last call saw. The first call sees no change.
func (w *watcher) changed(paths []string) bool {
	now := make(map[string]os.FileInfo, len(paths))
	changed := false
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			info = nil
		}
		now[path] = info
		before, known := w.seen[path]
		if w.seen != nil && (!known || !sameFile(before, info)) {
			changed = true
		}
	}
	w.seen = now
	return changed
}

func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// everySecond calls f until ctx ends.
func everySecond(ctx context.Context, f func()) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}
