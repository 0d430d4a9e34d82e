package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lakegate/sts/store"
)

// A ledger that is opened as it is is neither made nor migrated.
func TestSQLiteAsItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sts.db")
	asItIs := store.SQLiteConfig{Path: path, AsItIs: true}
	if _, err := store.OpenSQLite(t.Context(), asItIs); err == nil {
		t.Error("there is none")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it was made")
	}
	l, err := store.OpenSQLite(t.Context(), store.SQLiteConfig{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := store.OpenSQLite(t.Context(), asItIs); err != nil {
		t.Error(err)
	} else if err := again.Close(); err != nil {
		t.Error(err)
	}
	if err := l.StepBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenSQLite(t.Context(), asItIs); err == nil || !strings.Contains(err.Error(), "sts database migrate") {
		t.Errorf("a schema of another version: %v", err)
	}
}
