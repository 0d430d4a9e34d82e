package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lakegate/sts/audit"
)

// Config is what an Index is made of: one of SQLite and Postgres, and the rest.
type Config struct {
	// SQLite is a file of the index's own. It is made, readable by its owner alone, if it is missing, with its directory.
	SQLite string
	// Postgres says how the database is reached that replicas share.
	Postgres *pgxpool.Config
	// PartitionEvents is the most events of a partition. [250,000]
	PartitionEvents int64
	// SearchRows bounds what the making of one page may look at, in rows; behind it the page ends, as it does behind 100 ms by
	// Now. [100,000]
	SearchRows int
	// Retention is how long events are kept. [8760 h]
	Retention time.Duration
	// Now is the clock by which they are past it. [time.Now]
	Now func() time.Time
	Log *slog.Logger
}

// Index is the database. Make one with [New], and close it.
type Index struct {
	c Config

	opening sync.Mutex
	opened  atomic.Pointer[database]
	closed  bool

	firsts *firsts
}

// New makes an index. It opens nothing yet: the database is opened, and its tables are made, when it is first needed, and
// again then if that failed; so an index may be made while its database is away.
func New(c Config) (*Index, error) {
	switch {
	case (c.SQLite == "") == (c.Postgres == nil):
		return nil, errors.New("index.Config needs one of SQLite and Postgres")
	case c.Log == nil:
		return nil, errors.New("index.Config.Log is missing")
	}
	if c.PartitionEvents <= 0 {
		c.PartitionEvents = 250_000
	}
	if c.SearchRows <= 0 {
		c.SearchRows = 100_000
	}
	if c.Retention <= 0 {
		c.Retention = 8760 * time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Index{c: c, firsts: newFirsts()}, nil
}

// Open makes sure that the database can be reached and has its tables.
func (i *Index) Open(ctx context.Context) error {
	_, err := i.open(ctx)
	return err
}

// open returns the database.
func (i *Index) open(ctx context.Context) (*database, error) {
	if d := i.opened.Load(); d != nil {
		return d, nil
	}
	i.opening.Lock()
	defer i.opening.Unlock()
	if d := i.opened.Load(); d != nil {
		return d, nil
	}
	if i.closed {
		return nil, errors.New("the audit index is closed")
	}
	d, err := i.connect()
	if err != nil {
		return nil, fmt.Errorf("opening the audit index: %w", err)
	}
	if err := d.migrate(ctx); err != nil {
		_ = d.close()
		if isDamaged(err) {
			err = fmt.Errorf("%s is damaged, or no SQLite database; move it away, and it is made anew from the logs: %w", i.c.SQLite, err)
		}
		return nil, fmt.Errorf("opening the audit index: %w", err)
	}
	i.opened.Store(d)
	return d, nil
}

func (i *Index) connect() (*database, error) {
	if i.c.Postgres != nil {
		return openPostgres(i.c.Postgres)
	}
	return openSQLite(i.c.SQLite)
}

// Close closes the database. A server that no longer answers is not waited for.
func (i *Index) Close() error {
	i.opening.Lock()
	defer i.opening.Unlock()
	i.closed = true
	d := i.opened.Swap(nil)
	if d == nil {
		return nil
	}
	if err := d.close(); err != nil {
		return fmt.Errorf("closing the audit index: %w", err)
	}
	return nil
}

// Event is a record in its place in a log.
type Event struct {
	// Record is as it stands in the log, but for a repeat: of that, Exchange is the whole exchange that it tells of, too.
	audit.Record
	// Origin names the log, and Place is the record's in it, from 0.
	Origin string
	Place  uint64
}

// Page is a part of what a query finds, the newest first.
type Page struct {
	Events []Event
	// Next asks for what comes behind; "" where there is nothing more.
	Next string
}
