package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/lakegate/sts/store"
)

// opens reports whether other opens what sealer seals, and only with the same associated data.
func opens(t *testing.T, sealer, other tink.AEAD) bool {
	t.Helper()
	box, err := sealer.Encrypt([]byte("secret"), []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealer.Decrypt(box, []byte("another key")); err == nil {
		t.Error("opened with other associated data")
	}
	plain, err := other.Decrypt(box, []byte("key"))
	return err == nil && string(plain) == "secret"
}

func TestKeysetIsMadeOnce(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "data", "sts.db")
	first, err := store.KeysetBeside(ledger)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ledger, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := store.KeysetBeside(ledger)
	if err != nil {
		t.Fatal(err)
	}
	if !opens(t, first, second) {
		t.Error("the second start has another keyset")
	}
	for file, want := range map[string]os.FileMode{ledger + ".keyset.json": 0o600, filepath.Dir(ledger): 0o700 | os.ModeDir} {
		if info, err := os.Stat(file); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	files, err := os.ReadDir(filepath.Dir(ledger))
	if err != nil || len(files) != 2 {
		t.Errorf("files %v, %v; want the ledger and its keyset", files, err)
	}
}

// Processes that start together end up with one keyset.
func TestKeysetRace(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "sts.db")
	var sealers [8]tink.AEAD
	var wg sync.WaitGroup
	for i := range sealers {
		wg.Go(func() {
			var err error
			if sealers[i], err = store.KeysetBeside(ledger); err != nil {
				t.Error(err)
			}
			// A ledger follows its keyset at once.
			if f, err := os.OpenFile(ledger, os.O_CREATE|os.O_RDWR, 0o600); err != nil || f.Close() != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range sealers[1:] {
		if s == nil || !opens(t, sealers[0], s) {
			t.Fatal("two starts have different keysets")
		}
	}
}

func TestKeysetIsNeverOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.MakeKeyset(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want fs.ErrExist", err)
	}
	if text, err := os.ReadFile(path); string(text) != "precious" || err != nil {
		t.Errorf("the file now holds %q, %v", text, err)
	}
}

// A ledger whose keyset is gone is not given a new one, which would not open its keys.
func TestKeysetLost(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "sts.db")
	if err := os.WriteFile(ledger, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := store.KeysetBeside(ledger)
	if err == nil || !strings.Contains(err.Error(), "restore the keyset") || !strings.Contains(err.Error(), ledger) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(ledger + ".keyset.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a new keyset was made")
	}
}

func TestKeysetRefusals(t *testing.T) {
	dir := t.TempDir()
	const secret = "c2VjcmV0LWtleS1tYXRlcmlhbA"
	for name, test := range map[string]struct{ text, want string }{
		"not JSON":        {"key: " + secret, "is not a tink keyset"},
		"unknown field":   {`{"primaryKeyId":1,"` + secret + `":[]}`, "is not a tink keyset"},
		"cut off":         {`{"primaryKeyId":1,"key":[{"keyData":{"value":"` + secret, "is not a tink keyset"},
		"empty":           {"", "is not a tink keyset"},
		"no keys":         {"{}", "is not a tink keyset"},
		"encrypted":       {`{"encryptedKeyset":"` + secret + `"}`, "is not a tink keyset"},
		"of another kind": {macKeyset, "of another kind"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := store.OpenKeyset(path)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "store.keyset_file") {
				t.Errorf("error %v", err)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error quotes the file: %v", err)
			}
		})
	}
	if _, err := store.OpenKeyset(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "sts keys new store") {
		t.Errorf("missing: %v", err)
	}
}

const macKeyset = `{"primaryKeyId":1,"key":[{"keyId":1,"status":"ENABLED","outputPrefixType":"TINK","keyData":` +
	`{"typeUrl":"type.googleapis.com/google.crypto.tink.HmacKey","keyMaterialType":"SYMMETRIC","value":"EgQIAxAgGiAAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHw=="}}]}`
