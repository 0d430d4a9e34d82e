package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lakegate/sts/exchange"
)

var _ exchange.Ledger = (*Postgres)(nil)

// PostgresConfig is what a shared ledger is made of.
type PostgresConfig struct {
	// URL is postgres://USER@HOST:PORT/DATABASE?sslmode=…&passfile=…, without a password; hosts are tried in turn where
	// there are several, with commas between. The environment (PGSSLMODE and the like) changes nothing of it.
	URL string
	// Timeout is how long an access may take, dialling included: what asks every second must not pile up. [2 s]
	Timeout time.Duration
	// AsItIs opens only a ledger whose schema is this program's, and migrates nothing.
	AsItIs bool
	// Now is the clock that says which entries are over. [time.Now]
	Now func() time.Time
}

// Postgres is a ledger that replicas share.
type Postgres struct {
	pool    *pgxpool.Pool
	timeout time.Duration
	now     func() time.Time

	// away is why the last access failed, nil once one has succeeded.
	away atomic.Pointer[error]
	// unwritten is what the server said against the last write, nil once one has succeeded: a server that only reads is
	// no ledger.
	unwritten atomic.Pointer[error]
	// purged is when this replica last dropped what is over, in Unix seconds.
	purged atomic.Int64
}

const (
	// openTime is how long opening may take, migrations included.
	openTime = 30 * time.Second
	// defaultTimeout is PostgresConfig.Timeout's.
	defaultTimeout = 2 * time.Second
	// closeTime is how long a server that no longer answers is waited for.
	closeTime = 2 * time.Second
	// purgeEvery is how often a replica drops what is over.
	purgeEvery = time.Minute
	// purgeAfter is how long what is over is kept, since replicas' clocks differ.
	purgeAfter = 10 * time.Minute
)

// The keys of advisory locks, which are a database's own: any numbers that nobody else takes.
const (
	migrateLock = 7_391_042_001
	purgeLock   = 7_391_042_002
)

// OpenPostgres opens the ledger and brings its schema up to date. Close it.
func OpenPostgres(ctx context.Context, c PostgresConfig) (*Postgres, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	settings, err := poolConfig(c.URL)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	pool, err := pgxpool.NewWithConfig(ctx, settings)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	p := &Postgres{pool: pool, timeout: c.Timeout, now: c.Now}
	if c.AsItIs {
		err = checkPostgres(ctx, pool)
	} else {
		err = migratePostgres(ctx, pool, -1)
	}
	if err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("database: opening %s: %w", whereOf(settings), err)
	}
	return p, nil
}

// Get implements exchange.Ledger. An entry that is over is not there.
func (p *Postgres) Get(ctx context.Context, key string) (value []byte, version uint64, err error) {
	if err := checkKey(key); err != nil {
		return nil, 0, err
	}
	read := func(ctx context.Context) error {
		value, version = nil, 0
		err := p.pool.QueryRow(ctx, "SELECT value, version FROM ledger WHERE key = $1 AND (until IS NULL OR until > $2)",
			key, p.now().UnixMilli()).Scan(&value, &version)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	}
	// A second try is for the connections that a restart of the server has left behind.
	if err := p.access(ctx, read, isLost); err != nil {
		return nil, 0, ledgerAway("reading", err)
	}
	return value, version, nil
}

// Put implements exchange.Ledger. It returns once the server has committed it. After an error nobody knows whether it
// was: who reads again finds out.
func (p *Postgres) Put(ctx context.Context, key string, value []byte, version uint64, until time.Time) error {
	if err := checkKey(key); err != nil {
		return err
	}
	var end *int64
	if !until.IsZero() {
		ms := until.Add(time.Millisecond - 1).UnixMilli() // not before it
		end = &ms
	}
	changed := false
	err := p.access(ctx, func(ctx context.Context) (err error) {
		changed, err = p.put(ctx, key, append([]byte{}, value...), version, end) // a nil slice would be NULL
		return err
	}, pgconn.SafeToRetry)
	if err != nil {
		var refused *pgconn.PgError
		err = ledgerAway("writing", err)
		if errors.As(err, &refused) && !isLost(refused) {
			p.unwritten.Store(&err)
		}
		return err
	}
	p.unwritten.Store(nil)
	if !changed {
		return exchange.ErrConflict
	}
	p.purge(ctx)
	return nil
}

// put is one statement, which compares and swaps under the row's lock: a writer that had to wait sees what the other
// has written, and leaves it.
func (p *Postgres) put(ctx context.Context, key string, value []byte, version uint64, end *int64) (changed bool, err error) {
	const (
		first = "INSERT INTO ledger AS old (key, value, version, until) VALUES ($1, $2, nextval('ledger_version'), $3) " +
			"ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = excluded.version, until = excluded.until WHERE old.until <= $4"
		next = "UPDATE ledger SET value = $2, version = nextval('ledger_version'), until = $3 " +
			"WHERE key = $1 AND (until IS NULL OR until > $4) AND version = $5"
	)
	statement, args := first, []any{key, value, end, p.now().UnixMilli()}
	switch {
	case version > math.MaxInt64:
		return false, nil // no entry has it
	case version > 0:
		statement, args = next, append(args, int64(version))
	}
	done, err := p.pool.Exec(ctx, statement, args...)
	if hasState(err, "40001") { // a database that is set to serializable: somebody else was first
		return false, nil
	}
	return done.RowsAffected() == 1, err
}

// purge drops what is over, some of it, now and then, and on one replica at a time. What fails here is done next time.
func (p *Postgres) purge(ctx context.Context) {
	now := p.now()
	last := p.purged.Load()
	if now.Unix()-last < int64(purgeEvery.Seconds()) || !p.purged.CompareAndSwap(last, now.Unix()) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	_, _ = p.pool.Exec(ctx, "WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1) AS mine) "+
		"DELETE FROM ledger WHERE key IN (SELECT key FROM ledger, turn WHERE mine AND until <= $2 LIMIT $3 FOR UPDATE OF ledger SKIP LOCKED)",
		int64(purgeLock), now.Add(-purgeAfter).UnixMilli(), purgeAtOnce)
}

// access does something within the time-out, a second time where the first failed in a way that again admits. It keeps
// the outcome for Health, unless it is the caller who gave up.
func (p *Postgres) access(ctx context.Context, do func(context.Context) error, again func(error) bool) error {
	limited, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	err := do(limited)
	if err != nil && limited.Err() == nil && again(err) {
		p.pool.Reset()
		err = do(limited)
	}
	switch {
	case err == nil:
		p.away.Store(nil)
	case ctx.Err() == nil:
		p.away.Store(&err)
	}
	return err
}

// isLost reports whether an error is of the connection, and not the server's answer to a statement.
func isLost(err error) bool {
	var e *pgconn.PgError
	// Class 08 is connection trouble, 57P a server that stops or starts, 25006 one that has become a standby.
	return !errors.As(err, &e) || e.Code[:2] == "08" || e.Code[:3] == "57P" || e.Code == "25006"
}

func hasState(err error, code string) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == code
}

// Health is nil while the last access succeeded and the server took the last write. It asks nobody: the issuer reads
// every second.
func (p *Postgres) Health() error {
	if fault := p.away.Load(); fault != nil {
		return fmt.Errorf("the ledger is out of reach: %w", *fault)
	}
	if fault := p.unwritten.Load(); fault != nil {
		return fmt.Errorf("the last write failed: %w", *fault)
	}
	return nil
}

// StepBack takes the newest migration back and closes the ledger, for a return to the program before. What only the
// newer schema holds is lost.
func (p *Postgres) StepBack(ctx context.Context) error {
	steps, err := migrations("postgres")
	if err != nil {
		return err
	}
	return errors.Join(migratePostgres(ctx, p.pool, len(steps)-1), p.Close())
}

// Close closes the connections. A server that no longer answers is not waited for.
func (p *Postgres) Close() error {
	closed := make(chan struct{})
	go func() {
		p.pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(closeTime):
	}
	return nil
}
