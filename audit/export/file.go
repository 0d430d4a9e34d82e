package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// File appends batches to a file, which is this export's alone while it runs. What a crash left of a batch is cut off
// before the batch is written again. Whoever rotates the file renames it: a new one begins with the next batch.
type File struct {
	// Path is absolute. The file and its folder are made where they are missing.
	Path string
	Log  *slog.Logger

	file *os.File // open and locked; nil before the first batch, and after trouble
}

var (
	_ Destination = (*File)(nil)
	_ Marker      = (*File)(nil)
	_ io.Closer   = (*File)(nil)
)

// Limits implements Destination.
func (f *File) Limits() Limits {
	return Limits{Records: 1000, Bytes: 1 << 20, Timeout: time.Minute}
}

// Mark implements Marker: it is the file's length. A line without its end, which no cursor counts, is cut off.
func (f *File) Mark(context.Context) (Mark, error) {
	if err := f.open(); err != nil {
		return Mark{}, err
	}
	info, err := f.file.Stat()
	if err != nil {
		return Mark{}, f.trouble(err)
	}
	length := info.Size()
	end, err := endOfLines(f.file, length)
	if err != nil {
		return Mark{}, f.trouble(err)
	}
	if end < length {
		f.Log.Warn("the file of an export did not end with a whole line; the rest of it is cut off", "file", f.Path, "bytes", length-end)
		if err := f.file.Truncate(end); err != nil {
			return Mark{}, f.trouble(err)
		}
	}
	return Mark{Of: f.name(info), At: end}, nil
}

// Send implements Destination.
func (f *File) Send(_ context.Context, b *Batch) error {
	if err := f.open(); err != nil {
		return err
	}
	info, err := f.file.Stat()
	if err != nil {
		return f.trouble(err)
	}
	at, length := b.Mark.At, info.Size()
	if is := f.name(info); b.Mark.Of != is || length < at {
		// Somebody has taken it away, or the batch was begun at another destination. What of it is there, nobody can tell.
		f.Log.Error("the file of an export is not the one in which this batch was begun, or shorter than it was then; the batch is written to its end, and some of it may stand elsewhere, too",
			"file", f.Path, "bytes", length, "begun", b.Mark.Of, "expected", at, "batch", b.ID)
		if at, err = endOfLines(f.file, length); err != nil {
			return f.trouble(err)
		}
	}
	if err := f.file.Truncate(at); err != nil {
		return f.trouble(err)
	}
	_, err = f.file.WriteAt(b.Body(), at)
	if err == nil {
		err = f.file.Sync()
	}
	if err != nil {
		_ = f.file.Truncate(at) // a full disk takes a piece of it, which nobody shall read, nor the next try go behind
		return f.trouble(err)
	}
	return nil
}

// Close lets another process have the file.
func (f *File) Close() error {
	if f.file == nil {
		return nil
	}
	file := f.file
	f.file = nil
	return unlockFile(file)
}

// open opens and locks the file, anew where another stands at its path.
func (f *File) open() error {
	if f.file != nil {
		is, err1 := f.file.Stat()
		at, err2 := os.Stat(f.Path)
		if err1 == nil && err2 == nil && os.SameFile(is, at) {
			return nil
		}
		_ = f.trouble(nil)
	}
	folder := filepath.Dir(f.Path)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return problem(err)
	}
	file, err := lockFile(f.Path)
	if errors.Is(err, errLocked) {
		return &Failure{Class: ClassRefused, Err: fmt.Errorf("%s is being written by another process; give each its own file", f.Path)}
	}
	if err != nil {
		return problem(err)
	}
	f.file = file
	if err := syncFolder(folder); err != nil {
		return f.trouble(err)
	}
	return nil
}

// trouble gives the file up: it is opened again for the next try.
func (f *File) trouble(err error) error {
	_ = f.Close()
	return problem(err)
}

// name tells the file from others, and from those that stood at its path before it.
func (f *File) name(info fs.FileInfo) string { return f.Path + fileNumber(info) }

// problem is a failure of the disk. One that only somebody can mend is tried slowly.
func problem(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return &Failure{Class: ClassRefused, Err: err}
	}
	return &Failure{Class: ClassUnavailable, Err: err}
}

// endOfLines is where the last whole line of a file of that length ends.
func endOfLines(f io.ReaderAt, length int64) (int64, error) {
	var buffer [4 << 10]byte
	for end := length; end > 0; {
		start := max(0, end-int64(len(buffer)))
		part := buffer[:end-start]
		if _, err := f.ReadAt(part, start); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
