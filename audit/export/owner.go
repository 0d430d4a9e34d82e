package export

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
)

// errLocked says that another process holds a lock.
var errLocked = errors.New("another process holds the lock")

// owner says which replicas' logs are this process's to export. Where replicas share a directory, each exports its own;
// what is left of those that are gone is exported by whoever is first. The log's own lock would not do: to try it would
// keep its replica from starting.
type owner struct {
	directory string

	mu   sync.Mutex
	held map[string]*os.File // by replica
}

// owns reports whether the logs of a replica are ours, and tries to make them.
func (o *owner) owns(replica string) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held[replica] != nil {
		return true, nil
	}
	f, err := lockFile(filepath.Join(o.directory, replica+".export.lock"))
	if errors.Is(err, errLocked) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if o.held == nil {
		o.held = map[string]*os.File{}
	}
	o.held[replica] = f
	return true, nil
}

func (o *owner) release() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for _, f := range o.held {
		errs = append(errs, unlockFile(f))
	}
	clear(o.held)
	return errors.Join(errs...)
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// unlockFile ends the lock before it closes the file: a child that is just being started has a copy of it for a moment.
func unlockFile(f *os.File) error { return errors.Join(unlock(f), f.Close()) }
