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
		err := give(path, owner)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // of SQLite's files beside a database, some come and go
			return fmt.Errorf("giving the file to the service's user: %w", err)
		}
	}
	return nil
}

// give gives a file to an owner, if root has made it here. Who owns the folder may have put a link there, to a file of
// root's that is not to be given away. No database may be open that the file is of: closing it would end SQLite's locks.
func give(path string, owner *syscall.Stat_t) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	file, known := info.Sys().(*syscall.Stat_t)
	if !known || !info.Mode().IsRegular() || file.Nlink != 1 || file.Uid != 0 {
		return nil
	}
	return f.Chown(int(owner.Uid), int(owner.Gid))
}

// makeLike makes an empty file that belongs to the owner of another, unless it is there. SQLite gives what it makes beside a
// database to the database's owner; so nothing is left behind by a command that is killed.
func makeLike(of, path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return errors.Join(f.Close(), likeOwner(of, path))
}

// makeFolderLike makes a folder that belongs to the owner of the one that it is in, unless it is there.
func makeFolderLike(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if err := makeFolderLike(parent); err != nil {
		return err
	}
	info, err := os.Stat(parent)
	if err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chown(int(owner.Uid), int(owner.Gid)), f.Close())
}
