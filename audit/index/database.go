package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// busyWait is how long SQLite waits for another process's write, in milliseconds.
	busyWait = "10000"
	// readers is how many searches go on at once; on PostgreSQL a connection more is for who writes.
	readers = 4
	// writeCache and readCache are SQLite's pages in memory for each connection, in KiB; the system caches the rest.
	writeCache, readCache = 48 << 10, 8 << 10
	// statementTime is what PostgreSQL allows a statement, for one whose caller can't tell it to end any more.
	statementTime = 30 * time.Second
	// closeTime is how long a server that no longer answers is waited for.
	closeTime = 500 * time.Millisecond
	// writeLock is the key of the advisory lock under which the index is written: any number that nobody else takes.
	writeLock = 7_391_042_101
)

// database is where the index is. One writes at a time, over all processes ([database.change]); nobody who reads waits.
type database struct {
	read, write *sql.DB
	sqlite      bool
	role        string        // of PostgreSQL, for messages
	pool        *pgxpool.Pool // nil for SQLite
}

// openSQLite opens a file, and makes it if it is missing.
func openSQLite(path string) (*database, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite would make it readable to others
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	connect := func(cache int, more url.Values) (*sql.DB, error) {
		// NORMAL: a power failure may take the last transactions, whole; they are fed again.
		values := url.Values{
			"mode": {"rw"}, "_busy_timeout": {busyWait}, "_journal_mode": {"WAL"}, "_synchronous": {"NORMAL"}, "_dqs": {"0"},
			"_pragma": {"page_size(8192)", "cache_size(" + strconv.Itoa(-cache) + ")", "temp_store(memory)"},
		}
		for name, v := range more {
			values[name] = v
		}
		return sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: values.Encode()}).String())
	}
	d := &database{sqlite: true}
	if d.write, err = connect(writeCache, url.Values{"_txlock": {"immediate"}}); err != nil {
		return nil, err
	}
	if d.read, err = connect(readCache, url.Values{"_query_only": {"1"}}); err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.write.SetMaxOpenConns(1)
	d.read.SetMaxOpenConns(readers)
	d.read.SetMaxIdleConns(readers)
	return d, nil
}

// openPostgres makes a pool. It dials nobody yet.
func openPostgres(c *pgxpool.Config) (*database, error) {
	c = c.Copy()
	c.MaxConns = readers + 1
	c.ConnConfig.RuntimeParams["statement_timeout"] = strconv.FormatInt(statementTime.Milliseconds(), 10)
	c.ConnConfig.RuntimeParams["application_name"] = "sts-audit"
	pool, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDBFromPool(pool)
	return &database{read: db, write: db, role: c.ConnConfig.User, pool: pool}, nil
}

// change runs f in a transaction, while nobody else changes anything.
func (d *database) change(ctx context.Context, f func(tx *sql.Tx) error) error {
	return d.changeBy(ctx, func(_ *sql.Conn, tx *sql.Tx) error { return f(tx) })
}

// locking takes the lock that all replicas wait for. Who is frozen in it, or whose host is gone, gives it up within half a
// minute. (Not by parameters of the connection, which PgBouncer refuses.)
var locking = fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d; SET LOCAL tcp_keepalives_idle = 10; "+
	"SET LOCAL tcp_keepalives_interval = 5; SET LOCAL tcp_keepalives_count = 4; SELECT pg_advisory_xact_lock(%d)", statementTime.Milliseconds(), writeLock)

// changeBy is change for who needs the connection of the transaction, too.
func (d *database) changeBy(ctx context.Context, f func(conn *sql.Conn, tx *sql.Tx) error) (err error) {
	conn, err := d.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	var options sql.TxOptions
	if !d.sqlite {
		options.Isolation = sql.LevelReadCommitted // whatever the database is set to: after the lock all that was committed is seen
	}
	tx, err := conn.BeginTx(ctx, &options)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if !d.sqlite {
		if _, err := tx.ExecContext(ctx, locking); err != nil {
			return fmt.Errorf("waiting for other replicas: %w", err)
		}
	}
	if err := f(conn, tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (d *database) close() error {
	var err error
	for _, db := range []*sql.DB{d.read, d.write} {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}
	if d.pool != nil {
		closed := make(chan struct{})
		go func() {
			d.pool.Close() // which waits for a server that no longer answers
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(closeTime):
		}
	}
	return err
}

// isDamaged reports whether a file is no database, or no whole one.
func isDamaged(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && slices.Contains([]int{sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}, e.Code()&0xff)
}

// isGone reports whether a table is missing: one of a partition that was dropped since somebody listed it.
func isGone(err error) bool {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return strings.Contains(e.Error(), "no such table") // SQLite has no code for it
	}
	return hasState(err, "42P01")
}

func hasState(err error, code string) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == code
}
