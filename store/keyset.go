package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// OpenKeyset reads a tink keyset (JSON, clear text) whose primary key seals and whose other keys still open. Its errors
// say what to mend and nothing of what the file holds.
func OpenKeyset(path string) (tink.AEAD, error) {
	_, sealer, err := readKeyset(path)
	return sealer, err
}

// readKeyset reads a keyset that seals.
func readKeyset(path string) (*keyset.Handle, tink.AEAD, error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("store.keyset_file: %s does not exist; restore it, or make a first one with `sts keys new store`: %w", path, fs.ErrNotExist)
	case err != nil:
		return nil, nil, fmt.Errorf("store.keyset_file: %w", err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		// tink's error may quote the file.
		return nil, nil, fmt.Errorf("store.keyset_file: %s is not a tink keyset in clear JSON; `sts keys new store` makes one", path)
	}
	sealer, err := aead.New(handle)
	if err != nil {
		return nil, nil, fmt.Errorf("store.keyset_file: %s is a keyset of another kind; an AEAD one is needed, as `sts keys new store` makes it", path)
	}
	return handle, sealer, nil
}

// WriteKeyset writes a new keyset of one AES-256-GCM key to w, as `sts keys new store` does.
func WriteKeyset(w io.Writer) error {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("making a keyset: %w", err)
	}
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(w)); err != nil {
		return fmt.Errorf("writing a keyset: %w", err)
	}
	return nil
}

// MakeKeyset makes a keyset file, readable by its owner alone. It appears whole or not at all, and never takes the
// place of another: then the error is fs.ErrExist.
func MakeKeyset(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the keyset's directory: %w", err)
	}
	draft, err := os.CreateTemp(dir, ".keyset-*") // mode 0600
	if err != nil {
		return fmt.Errorf("making a keyset file: %w", err)
	}
	defer func() { _ = os.Remove(draft.Name()) }()
	if err := errors.Join(WriteKeyset(draft), draft.Sync(), draft.Close()); err != nil {
		return fmt.Errorf("making a keyset file: %w", err)
	}
	// Unlike a rename, a link fails where there is a file already.
	if err := os.Link(draft.Name(), path); err != nil {
		return fmt.Errorf("making the keyset file %s: %w", path, err)
	}
	return syncDir(dir)
}

// syncDir puts a directory's new name on the disk too.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing a directory: %w", err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing a directory: %w", err)
	}
	return nil
}

// KeysetBeside opens the keyset that stands beside a ledger file, and makes it once, before there is a ledger. A ledger
// without its keyset holds keys that nobody can open any more: that is an error, and never covered up by a new keyset.
func KeysetBeside(ledger string) (tink.AEAD, error) {
	path := ledger + ".keyset.json"
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeFirst(path, ledger); err != nil {
			return nil, err
		}
	}
	return OpenKeyset(path)
}

func makeFirst(path, ledger string) error {
	if _, err := os.Lstat(ledger); err == nil {
		// Another process may have made both since we looked; the keyset always comes first.
		if _, err := os.Lstat(path); err == nil {
			return nil
		}
		return fmt.Errorf("store.keyset_file: the ledger %s exists and its keyset %s does not; restore the keyset from your backup, "+
			"or, to begin anew with new signing keys, move the ledger away", ledger, path)
	}
	if err := MakeKeyset(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("store.keyset_file: %w", err)
	}
	return nil
}
