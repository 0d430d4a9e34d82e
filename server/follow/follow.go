// Package follow keeps what was read from files as those files are now.
package follow

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// lookEvery is how often the files are looked at, at most. They are looked at when somebody asks for the value, so that
// no watch on a folder can be lost; a stat costs nothing beside a handshake.
const lookEvery = time.Second

// Config is what Files are made of. All of it is needed.
type Config[T any] struct {
	// What names the value in messages: "the TLS certificate".
	What string
	// Names are the files, and Load reads them all.
	Names []string
	Load  func() (T, error)
	Now   func() time.Time
	Log   *slog.Logger
}

// Files are a value that follows its files. Files that don't load keep the old value in use.
type Files[T any] struct {
	config Config[T]

	mu      sync.Mutex
	value   T
	looked  time.Time
	version []version // of what is in use
	failed  error     // why the files as they are now aren't in use
}

type version struct {
	modified time.Time
	size     int64
}

// Open loads the files for the first time, which must succeed.
func Open[T any](c Config[T]) (*Files[T], error) {
	f := &Files[T]{config: c}
	f.refresh()
	if f.failed != nil {
		return nil, f.failed
	}
	return f, nil
}

// Get is the value in use.
func (f *Files[T]) Get() T {
	value, _ := f.Look()
	return value
}

// Look is the value in use, and why it is not that of the files, nil where it is.
func (f *Files[T]) Look() (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return f.value, f.failed
}

// refresh reads the files if they have changed. The version is taken before they are read: a change in between is seen
// as one more change.
func (f *Files[T]) refresh() {
	now := f.config.Now()
	if elapsed := now.Sub(f.looked); f.version != nil && elapsed >= 0 && elapsed < lookEvery {
		return
	}
	f.looked = now
	found, err := f.stat()
	if err == nil && f.version != nil && slices.Equal(found, f.version) {
		f.failed = nil // the value in use is that of the files, again
		return
	}
	var value T
	if err == nil {
		value, err = f.config.Load()
	}
	if err != nil {
		f.fail(fmt.Errorf("reading %s: %w", f.config.What, err))
		return
	}
	if f.version != nil {
		f.config.Log.Info(f.config.What + " was read again")
	}
	f.value, f.version, f.failed = value, found, nil
}

// fail keeps the old value, and will try again.
func (f *Files[T]) fail(err error) {
	if f.failed == nil && f.version != nil {
		f.config.Log.Error(f.config.What+" stays in use as it was", "error", err)
	}
	f.failed = err
}

func (f *Files[T]) stat() ([]version, error) {
	found := make([]version, len(f.config.Names))
	var errs []error
	for i, name := range f.config.Names {
		info, err := os.Stat(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found[i] = version{info.ModTime(), info.Size()}
	}
	return found, errors.Join(errs...)
}
