package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/internal/testservice"
)

// shelf is where an index stands.
type shelf interface {
	name() string
	// open opens the index that is there, or makes it.
	open(ctx context.Context) (*index.Index, error)
	// empty removes it.
	empty(ctx context.Context) error
	// chill takes its pages out of all memory, as far as that can be had; it must not be open.
	chill() error
	close()
}

// sqliteShelf is a file.
type sqliteShelf struct{ folder string }

func (b *bench) newSQLite() (shelf, error) {
	return &sqliteShelf{filepath.Join(b.dir, "index")}, nil
}

func (s *sqliteShelf) name() string { return "SQLite" }

func (s *sqliteShelf) open(ctx context.Context) (*index.Index, error) {
	return openIndex(ctx, index.Config{SQLite: filepath.Join(s.folder, "audit-index.db")})
}

func openIndex(ctx context.Context, c index.Config) (*index.Index, error) {
	c.Log = slog.New(slog.DiscardHandler)
	i, err := index.New(c)
	if err != nil {
		return nil, err
	}
	return i, i.Open(ctx)
}

func (s *sqliteShelf) empty(context.Context) error { return os.RemoveAll(s.folder) }
func (s *sqliteShelf) chill() error                { return forget(s.folder) }
func (s *sqliteShelf) close()                      { _ = os.RemoveAll(s.folder) }

// postgresShelf is a cluster with PostgreSQL's own defaults, rather than a test's.
type postgresShelf struct{ cluster *testservice.Postgres }

func (b *bench) newPostgres() (shelf, error) {
	cluster, err := testservice.StartPostgres("fsync=on", "full_page_writes=on", "autovacuum=on", "shared_buffers=128MB")
	if err != nil {
		return nil, err
	}
	return &postgresShelf{cluster}, nil
}

func (s *postgresShelf) name() string { return "PostgreSQL" }

func (s *postgresShelf) open(ctx context.Context) (*index.Index, error) {
	c, err := pgxpool.ParseConfig(s.cluster.AdminURL())
	if err != nil {
		return nil, err
	}
	// As the service reaches it.
	c.ConnConfig.DefaultQueryExecMode, c.ConnConfig.StatementCacheCapacity, c.ConnConfig.DescriptionCacheCapacity = pgx.QueryExecModeExec, 0, 0
	return openIndex(ctx, index.Config{Postgres: c})
}

func (s *postgresShelf) empty(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.cluster.AdminURL())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
	return err
}

// chill restarts the cluster.
func (s *postgresShelf) chill() error {
	s.cluster.Stop()
	return errors.Join(forget(s.cluster.Folder), s.cluster.Start())
}

func (s *postgresShelf) close() { s.cluster.Close() }

// forget makes the system drop what it has in memory of all files in a folder.
func forget(folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := root.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), dropPages(f), f.Close()) // only what is on disk is dropped
	})
}
