package main

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/store"
)

// newIndex is the index of the configuration's database: a file of its own beside the embedded ledger's, so that neither
// waits for the other's writes; or tables in the PostgreSQL that replicas share.
func newIndex(cfg *config.Config, log *slog.Logger) (*index.Index, error) {
	c := index.Config{Retention: cfg.Audit.Retention, Now: now, Log: log}
	if cfg.Database.Postgres == "" {
		c.SQLite = indexFile(cfg)
		return index.New(c)
	}
	var err error
	if c.Postgres, err = store.PostgresPool(cfg.Database.Postgres); err != nil {
		return nil, err
	}
	return index.New(c)
}

// indexFile is that file.
func indexFile(cfg *config.Config) string {
	return filepath.Join(filepath.Dir(cfg.Database.SQLite), "audit-index.db")
}

// startFeeder makes what brings this replica's logs into the index. The index need not be there: nothing waits for it.
func (s *service) startFeeder(cfg *config.Config, log *audit.Log, key audit.PublicKey) (err error) {
	s.feeder, err = index.NewFeeder(index.FeederConfig{
		Index: s.index, Directory: cfg.Audit.Directory, Log: log, Keys: audit.PublicKeys{key}, Now: now, Logger: s.log, Metrics: s.metrics,
	})
	return err
}

// feedLast brings the last records in, of a log that is closed: its disk may go with this process.
func (s *service) feedLast(ctx context.Context) error {
	if s.feeder == nil {
		return nil
	}
	return s.feeder.Own(ctx)
}
