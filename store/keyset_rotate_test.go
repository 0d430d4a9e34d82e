package store_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/lakegate/sts/store"
)

// At every step of a rotation replicas of this step and of the one before open what the other has sealed.
func TestKeysetRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.keyset.json")
	must(t, store.MakeKeyset(path))
	open := func() tink.AEAD {
		t.Helper()
		a, err := store.OpenKeyset(path)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := open()
	for range 2 { // the second rotation is like the first
		before := open()
		for _, step := range []struct {
			name  string
			take  func(string) ([]store.KeysetKey, error)
			keys  int
			seals int // which of them
		}{
			{"add", store.AddKey, 2, 0},
			{"promote", store.PromoteKey, 2, 1},
			{"drop", store.DropKeys, 1, 0},
		} {
			keys, err := step.take(path)
			if err != nil || len(keys) != step.keys || !keys[step.seals].Seals {
				t.Fatalf("%s: keys %+v, %v", step.name, keys, err)
			}
			after := open()
			if !opens(t, after, before) && step.name != "drop" || !opens(t, after, after) {
				t.Errorf("%s: a replica of the step before can't open", step.name)
			}
			if !opens(t, before, after) {
				t.Errorf("%s: a replica of this step can't open", step.name)
			}
			before = after
		}
	}
	if opens(t, first, open()) {
		t.Error("what a dropped key has sealed opens still")
	}
}

// A step that has no sense is refused, and the file is left as it is.
func TestKeysetStepsInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.keyset.json")
	must(t, store.MakeKeyset(path))
	refuse := func(what string, step func(string) ([]store.KeysetKey, error), want string) {
		t.Helper()
		before, _ := os.ReadFile(path)
		_, err := step(path)
		after, _ := os.ReadFile(path)
		if err == nil || !strings.Contains(err.Error(), want) || string(before) != string(after) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refuse("promoting the only key", store.PromoteKey, "add one first")
	refuse("dropping the only key", store.DropKeys, "no key that is older")
	if _, err := store.AddKey(path); err != nil {
		t.Fatal(err)
	}
	refuse("adding a second new key", store.AddKey, "promote that first")
	refuse("dropping before the promotion", store.DropKeys, "no key that is older")

	must(t, os.WriteFile(path, []byte(`{"primaryKeyId":1,"secret":"dose"}`), 0o600))
	if _, err := store.AddKey(path); err == nil || strings.Contains(err.Error(), "dose") {
		t.Errorf("a file that is none: %v", err)
	}
	if _, err := store.AddKey(path + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// A keyset of another kind is another service's, whatever tink would let us do to it.
func TestKeysetOfAnotherKindIsLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mac.json")
	handle, err := keyset.NewHandle(mac.HMACSHA256Tag256KeyTemplate())
	must(t, err)
	var before bytes.Buffer
	must(t, insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&before)))
	must(t, os.WriteFile(path, before.Bytes(), 0o600))
	_, err = store.AddKey(path)
	if after, _ := os.ReadFile(path); err == nil || !strings.Contains(err.Error(), "another kind") || string(after) != before.String() {
		t.Errorf("%v; the file is now\n%s", err, after)
	}
}

// Who may read the file stays, and so does a link to it.
func TestKeysetKeepsItsReaders(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "store.keyset.json"), filepath.Join(dir, "link")
	must(t, store.MakeKeyset(path))
	must(t, os.Chmod(path, 0o640))
	must(t, os.Symlink(path, link))
	if _, err := store.AddKey(link); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link is now %v, %v", info, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("the file is now %v, %v", info, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("a draft is left: %v", files)
	}
}
