package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// likeOwner gives what root has made to the owner of what it stands beside: a command that is run as root must leave no file
// that the service can't read. Others can't give files away, and have none that aren't theirs.
func likeOwner(of, pattern string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(of)
	if err != nil {
		return err
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return nil
	}
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	for _, path := range paths {
		err := os.Lchown(path, int(owner.Uid), int(owner.Gid))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // of SQLite's files beside a database, some come and go
			return fmt.Errorf("giving the file to the service's user: %w", err)
		}
	}
	return nil
}
