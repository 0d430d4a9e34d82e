package audit

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// disk is what the log does to files. What it reads, it reads as anybody does. Tests put others in its place: one that
// fails, and one that forgets what was not synced.
type disk interface {
	// Open opens a file to write to, with flags of os.OpenFile. Its name is sure only after SyncDirectory.
	Open(path string, flags int) (file, error)
	Rename(from, to string) error
	Remove(path string) error
	// SyncDirectory puts the names in a directory on disk.
	SyncDirectory(path string) error
}

type file interface {
	io.Writer
	io.WriterAt
	Sync() error
	Truncate(size int64) error
	Close() error
}

// realDisk is the operating system's.
type realDisk struct{}

func (realDisk) Open(path string, flags int) (file, error) {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err // and no file: a nil *os.File would be one
	}
	return f, nil
}

func (realDisk) Rename(from, to string) error { return os.Rename(from, to) }
func (realDisk) Remove(path string) error     { return os.Remove(path) }

func (realDisk) SyncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeDirectory makes a directory that is still there after a power failure: the one that it lies in must know of it.
func makeDirectory(d disk, path string) error {
	var missing []string
	for p := filepath.Clean(path); ; p = filepath.Dir(p) {
		if _, err := os.Stat(p); err == nil || p == filepath.Dir(p) {
			break
		}
		missing = append(missing, p)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	for _, p := range missing {
		if err := d.SyncDirectory(filepath.Dir(p)); err != nil {
			return err
		}
	}
	return nil
}

// replaceFile puts text into a file, whole or not at all, also through a power failure: behind one, either stands there.
func replaceFile(d disk, path string, text []byte) error {
	draft := path + ".new"
	f, err := d.Open(draft, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, d.Remove(draft))
	}
	return d.Rename(draft, path)
}

// cutFile cuts a file off, and tries to make sure of it.
func cutFile(d disk, path string, size int64) error {
	f, err := d.Open(path, os.O_WRONLY)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}
