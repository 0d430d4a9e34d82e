package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// A keyset is rotated in steps, since replicas never get a file at the same moment: each step leaves a keyset that opens
// what any other replica seals under the one before. The order of a file's keys is their age.
//
//	AddKey       a new key, which only opens so far; every replica must have it before
//	PromoteKey   the newest key seals, the older ones open
//	DropKeys     those older than the one that seals are gone, and what they have sealed with them

// KeysetKey is a key of a keyset, by its number.
type KeysetKey struct {
	ID    uint32
	Seals bool // the others only open
}

// AddKey adds a key to a keyset file, and returns its keys.
func AddKey(path string) ([]KeysetKey, error) {
	return changeKeyset(path, func(m *keyset.Manager, keys []KeysetKey) error {
		if !keys[len(keys)-1].Seals {
			return errors.New("its newest key does not seal yet; promote that first")
		}
		_, err := m.Add(aead.AES256GCMKeyTemplate())
		return err
	})
}

// PromoteKey lets the newest key of a keyset file seal, and returns its keys.
func PromoteKey(path string) ([]KeysetKey, error) {
	return changeKeyset(path, func(m *keyset.Manager, keys []KeysetKey) error {
		newest := keys[len(keys)-1]
		if newest.Seals {
			return errors.New("its newest key seals already; add one first")
		}
		return m.SetPrimary(newest.ID)
	})
}

// DropKeys removes the keys of a keyset file that are older than the one that seals, and returns those that are left.
func DropKeys(path string) ([]KeysetKey, error) {
	return changeKeyset(path, func(m *keyset.Manager, keys []KeysetKey) error {
		if keys[0].Seals {
			return errors.New("it has no key that is older than the one that seals")
		}
		for _, k := range keys {
			if k.Seals {
				break
			}
			if err := m.Delete(k.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

func changeKeyset(path string, change func(m *keyset.Manager, keys []KeysetKey) error) ([]KeysetKey, error) {
	handle, _, err := readKeyset(path)
	if err != nil {
		return nil, err
	}
	keys, err := keysOf(handle)
	if err != nil {
		return nil, err
	}
	manager := keyset.NewManagerFromHandle(handle)
	if err := change(manager, keys); err != nil {
		return nil, fmt.Errorf("the keyset %s stays as it is: %w", path, err)
	}
	if handle, err = manager.Handle(); err != nil {
		return nil, fmt.Errorf("changing the keyset %s: %w", path, err)
	}
	if keys, err = keysOf(handle); err != nil {
		return nil, err
	}
	if err := replaceKeyset(path, handle); err != nil {
		return nil, fmt.Errorf("writing the keyset %s, which stays as it is: %w", path, err)
	}
	return keys, nil
}

func keysOf(handle *keyset.Handle) ([]KeysetKey, error) {
	var keys []KeysetKey
	for i := range handle.Len() {
		entry, err := handle.Entry(i)
		if err != nil {
			return nil, fmt.Errorf("reading a keyset: %w", err)
		}
		keys = append(keys, KeysetKey{ID: entry.KeyID(), Seals: entry.IsPrimary()})
	}
	return keys, nil
}

// replaceKeyset puts a keyset in the place of a file, whole or not at all, for the same owner and the same readers: a
// keyset that the service can't read any more stops its start.
func replaceKeyset(path string, handle *keyset.Handle) (err error) {
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	draft, err := os.CreateTemp(filepath.Dir(path), ".keyset-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(draft.Name()) }()
	if owner, known := info.Sys().(*syscall.Stat_t); known {
		if err := draft.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return errors.Join(err, draft.Close())
		}
	}
	err = errors.Join(draft.Chmod(info.Mode().Perm()), insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(draft)), draft.Sync(), draft.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(draft.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
