package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/lakegate/sts/exchange"
)

var _ exchange.Ledger = (*SQLite)(nil)

// SQLiteConfig is what an embedded ledger is made of.
type SQLiteConfig struct {
	// Path is the database file. It is made, readable by its owner alone, if it is missing, with its directory.
	Path string
	// AsItIs opens only a ledger that is there, and whose schema is this program's: nothing is made or migrated.
	AsItIs bool
	// Now is the clock that says which entries are over. [time.Now]
	Now func() time.Time
}

// SQLite is a ledger in one file. Several processes of one machine may have it open; a network file system won't do.
type SQLite struct {
	db  *sql.DB
	now func() time.Time
	// fault is why the last write failed, nil once one has succeeded.
	fault atomic.Pointer[error]
}

const (
	// busyWait is how long an access waits for another process's write, in milliseconds.
	busyWait = "5000"
	// openWait is how long opening is tried while others open the same new file: the switch to WAL does not wait.
	openWait = 5 * time.Second
	// purgeAtOnce bounds what a write drops of what is over.
	purgeAtOnce = 100
)

// OpenSQLite opens the ledger and brings its schema up to date. Close it.
func OpenSQLite(ctx context.Context, c SQLiteConfig) (*SQLite, error) {
	if c.Path == "" {
		return nil, errors.New("store.SQLiteConfig.Path is missing")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if !c.AsItIs {
		if err := makeFile(c.Path); err != nil {
			return nil, fmt.Errorf("database: %w", err)
		}
	}
	abs, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	// FULL syncs the log at each commit: a key that somebody has seen is never lost with the power.
	dsn := url.URL{Scheme: "file", Path: abs, RawQuery: url.Values{
		"mode": {"rw"}, "_busy_timeout": {busyWait}, "_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_txlock": {"immediate"}, "_dqs": {"0"},
	}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("database: opening %s: %w", c.Path, err)
	}
	db.SetMaxOpenConns(1) // one writer, and nothing here is read so often that it could not wait its turn
	prepare := func() error { return migrateSQLite(ctx, db, -1) }
	if c.AsItIs {
		prepare = func() error { return checkSQLite(ctx, db) }
	}
	if err := whileBusy(ctx, prepare); err != nil {
		_ = db.Close()
		if hasCode(err, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) {
			return nil, fmt.Errorf("database: %s is damaged, or no SQLite database; restore it from your backup, "+
				"or, to begin anew with new signing keys, move it away: %w", c.Path, err)
		}
		return nil, fmt.Errorf("database: opening %s: %w", c.Path, err)
	}
	return &SQLite{db: db, now: c.Now}, nil
}

// makeFile makes an empty database file: SQLite would make it readable to others, and its log as the file is.
func makeFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// whileBusy tries again while another process holds the file.
func whileBusy(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, openWait)
	defer cancel()
	for {
		err := do()
		if !hasCode(err, sqlite3.SQLITE_BUSY) {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// hasCode reports whether SQLite failed with one of these primary result codes.
func hasCode(err error, codes ...int) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && slices.Contains(codes, e.Code()&0xff)
}

// Get implements exchange.Ledger. An entry that is over is not there.
func (s *SQLite) Get(ctx context.Context, key string) (value []byte, version uint64, err error) {
	if err := checkKey(key); err != nil {
		return nil, 0, err
	}
	err = s.db.QueryRowContext(ctx, "SELECT value, version FROM ledger WHERE key = ? AND (until IS NULL OR until > ?)",
		key, s.now().UnixMilli()).Scan(&value, &version)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, 0, nil
	case err != nil:
		return nil, 0, ledgerAway("reading", err)
	}
	return value, version, nil
}

// Put implements exchange.Ledger. It returns once the entry is on the disk.
func (s *SQLite) Put(ctx context.Context, key string, value []byte, version uint64, until time.Time) error {
	if err := checkKey(key); err != nil {
		return err
	}
	err := s.put(ctx, key, value, version, until)
	switch {
	case errors.Is(err, exchange.ErrConflict):
		return exchange.ErrConflict
	case err != nil:
		err = ledgerAway("writing", err)
		if ctx.Err() == nil {
			s.fault.Store(&err)
		}
		return err
	}
	s.fault.Store(nil)
	return nil
}

func (s *SQLite) put(ctx context.Context, key string, value []byte, version uint64, until time.Time) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	now := s.now().UnixMilli()
	var current uint64
	err = tx.QueryRowContext(ctx, "SELECT version FROM ledger WHERE key = ? AND (until IS NULL OR until > ?)", key, now).Scan(&current)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if current != version {
		return exchange.ErrConflict
	}
	var end any
	if !until.IsZero() {
		end = until.Add(time.Millisecond - 1).UnixMilli() // not before it
	}
	for _, do := range []struct {
		statement string
		args      []any
	}{
		{"UPDATE ledger_version SET last = last + 1", nil},
		{"INSERT INTO ledger (key, value, version, until) SELECT ?, ?, last, ? FROM ledger_version WHERE true " +
			"ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = excluded.version, until = excluded.until",
			[]any{key, append([]byte{}, value...), end}}, // a nil slice would be NULL
		{"DELETE FROM ledger WHERE key IN (SELECT key FROM ledger WHERE until <= ? LIMIT ?)", []any{now, purgeAtOnce}},
	} {
		if _, err := tx.ExecContext(ctx, do.statement, do.args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Health is nil while the ledger can be read and the last write succeeded.
func (s *SQLite) Health() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var last uint64
	if err := s.db.QueryRowContext(ctx, "SELECT last FROM ledger_version").Scan(&last); err != nil {
		return fmt.Errorf("the ledger can't be read: %w", err)
	}
	if fault := s.fault.Load(); fault != nil {
		return fmt.Errorf("the last write failed: %w", *fault)
	}
	return nil
}

// StepBack takes the newest migration back and closes the ledger, for a return to the program before. What only the
// newer schema holds is lost.
func (s *SQLite) StepBack(ctx context.Context) error {
	steps, err := migrations("sqlite")
	if err != nil {
		return err
	}
	return errors.Join(migrateSQLite(ctx, s.db, len(steps)-1), s.Close())
}

// Close closes the file.
func (s *SQLite) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("closing the ledger: %w", err)
	}
	return nil
}
