package main

import (
	"log/slog"
	"path/filepath"

	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/store"
)

// newIndex is the index of the configuration's database: a file of its own beside the embedded ledger's, so that neither
// waits for the other's writes; or tables in the PostgreSQL that replicas share.
func newIndex(cfg *config.Config, log *slog.Logger) (*index.Index, error) {
	c := index.Config{Retention: cfg.Audit.Retention, Now: now, Log: log}
	if cfg.Database.Postgres == "" {
		c.SQLite = filepath.Join(filepath.Dir(cfg.Database.SQLite), "audit-index.db")
		return index.New(c)
	}
	var err error
	if c.Postgres, err = store.PostgresPool(cfg.Database.Postgres); err != nil {
		return nil, err
	}
	return index.New(c)
}
