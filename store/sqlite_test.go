package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/store"
	"github.com/lakegate/sts/store/storetest"
)

func openSQLite(t *testing.T, path string, now func() time.Time) *store.SQLite {
	t.Helper()
	l, err := store.OpenSQLite(t.Context(), store.SQLiteConfig{Path: path, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestSQLiteLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sts.db")
	storetest.Ledger(t, func(now func() time.Time) (one, other exchange.Ledger) {
		return openSQLite(t, path, now), openSQLite(t, path, now)
	})
}

// Processes that open one new file at the same time all succeed, and lose no swap.
func TestSQLiteProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "sts.db")
	countInProcesses(t, "sqlite:"+path)
	value, _, err := openSQLite(t, path, nil).Get(t.Context(), "count")
	if want := fmt.Sprint(countingProcesses * countsPerProcess); err != nil || string(value) != want {
		t.Errorf("counted %s, %v; want %s", value, err, want)
	}
}

func TestSQLiteSurvivesReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd name?%#", "sts.db")
	l := openSQLite(t, path, nil)
	if err := l.Put(t.Context(), "key", []byte("value"), 0, time.Time{}); err != nil {
		t.Fatal(err)
	}
	_, version, err := l.Get(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	again := openSQLite(t, path, nil)
	if value, v, err := again.Get(t.Context(), "key"); string(value) != "value" || v != version || err != nil {
		t.Errorf("after reopening: %q, %d, %v", value, v, err)
	}
}

func TestSQLiteIsTheOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(dir, "sts.db")
	l := openSQLite(t, path, nil)
	if err := l.Put(t.Context(), "key", nil, 0, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600} {
		if info, err := os.Stat(file); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", filepath.Base(file), info.Mode(), err, want)
		}
	}
}

func TestSQLiteSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sts.db")
	openSQLite(t, path, nil)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var mode string
	if err := db.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal_mode %q, %v", mode, err)
	}
}

func TestSQLiteMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sts.db")
	schema := func() (text string, version int) {
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		err = db.QueryRow("SELECT coalesce(group_concat(sql, ';'), '') FROM (SELECT sql FROM sqlite_schema ORDER BY name)").Scan(&text)
		if err := errors.Join(err, db.QueryRow("PRAGMA user_version").Scan(&version)); err != nil {
			t.Fatal(err)
		}
		return text, version
	}
	l := openSQLite(t, path, nil)
	newest, version := schema()
	if err := l.StepBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, back := schema(); back != version-1 {
		t.Errorf("a step back from %d leads to %d", version, back)
	}
	openSQLite(t, path, nil)
	if again, v := schema(); again != newest || v != version {
		t.Errorf("there and back again: version %d, schema\n%s\nwant\n%s", v, again, newest)
	}
	migrationsKeep(t, func() stepper { return openSQLite(t, path, nil) }, func(statement string) error {
		db, err := sql.Open("sqlite", path)
		if err != nil {
			return err
		}
		_, err = db.Exec(statement)
		return errors.Join(err, db.Close())
	}, "UPDATE ledger_version SET last = last + 1",
		"INSERT INTO ledger (key, value, version) SELECT 'by-the-one-before', CAST('old' AS BLOB), last FROM ledger_version")
}

func TestSQLiteRefusals(t *testing.T) {
	dir := t.TempDir()
	newer := filepath.Join(dir, "newer.db")
	db, err := sql.Open("sqlite", newer)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec("PRAGMA user_version = 99")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(dir, "short.db")
	l, err := store.OpenSQLite(t.Context(), store.SQLiteConfig{Path: short})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Close(), os.Truncate(short, 5000)); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ path, want string }{
		"no path":        {"", "Path is missing"},
		"a directory":    {dir, "database: "},
		"below a file":   {filepath.Join(garbage, "sts.db"), "database: "},
		"not SQLite":     {garbage, "garbage.db is damaged, or no SQLite database; restore it"},
		"cut short":      {short, "short.db is damaged, or no SQLite database; restore it"},
		"a newer ledger": {newer, "use the newer program"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := store.OpenSQLite(t.Context(), store.SQLiteConfig{Path: test.path})
			if err == nil {
				_ = l.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
		})
	}
}

// A ledger that is away says so, as the service's callers may hear it.
func TestSQLiteAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sts.db")
	l := openSQLite(t, path, nil)
	if err := l.Health(); err != nil {
		t.Errorf("a fresh ledger: %v", err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec("ALTER TABLE ledger RENAME TO elsewhere"); err != nil {
		t.Fatal(err)
	}
	_, _, getErr := l.Get(t.Context(), "key")
	for what, err := range map[string]error{"Get": getErr, "Put": l.Put(t.Context(), "key", nil, 0, time.Time{})} {
		if e := exchange.AsError(err); e == nil || e.Code != exchange.CodeUnavailable || e.Reason != exchange.ReasonLedgerUnavailable || e.RetryAfter <= 0 {
			t.Errorf("%s: %v", what, err)
		}
	}
	if l.Health() == nil {
		t.Error("Health is nil after a write that failed")
	}
	if _, err := db.Exec("ALTER TABLE elsewhere RENAME TO ledger"); err != nil {
		t.Fatal(err)
	}
	if err := l.Put(t.Context(), "key", nil, 0, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := l.Health(); err != nil {
		t.Errorf("Health after recovery: %v", err)
	}
}
