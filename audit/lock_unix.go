//go:build unix

package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockReplica keeps a second process from repairing, as a crash's leftovers, what the first is about to write.
func lockReplica(directory, replica string) (*os.File, error) {
	path := filepath.Join(directory, replica+".lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: that of replica %s; give each its own name or directory: %w", ErrLocked, replica, err), f.Close())
	}
	return f, nil
}
