package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/audit/search"
	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
)

// desk is what the commands of the audit work with: the database of the configuration, and the log that says that they did.
type desk struct {
	cfg    *config.Config
	ledger exchange.Ledger
	index  *index.Index
	// keys verify the checkpoints of the logs.
	keys   audit.PublicKeys
	record func(context.Context, exchange.Admin) error
}

// withDesk opens a desk for a command.
func withDesk(cmd *cobra.Command, path string, do func(context.Context, *desk) error) (err error) {
	defer func() { err = byWhom(err) }()
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	cfg, err := config.Load(path)
	if err != nil {
		return found(err)
	}
	if err := mayUse(cfg.Database.SQLite); err != nil {
		return found(err)
	}
	ledger, err := openLedgerAsItIs(ctx, cfg.Database)
	if err != nil {
		return found(err)
	}
	defer func() { err = errors.Join(err, found(ledger.Close())) }()
	key, err := commandKey(ctx, cfg, ledger)
	if err != nil {
		return found(err)
	}
	if ledger := cfg.Database.SQLite; ledger != "" {
		if err := makeLike(ledger, indexFile(cfg)); err != nil {
			return found(err)
		}
		defer func() { err = errors.Join(err, found(likeOwner(ledger, indexFile(cfg)+"*"))) }()
	}
	ix, err := newIndex(cfg, newLog(stderr, slog.LevelWarn, cfg.Log.Format))
	if err != nil {
		return found(err)
	}
	defer func() { err = errors.Join(err, found(ix.Close())) }()
	return do(ctx, &desk{
		cfg: cfg, ledger: ledger, index: ix, keys: audit.PublicKeys{key.Public()},
		record: func(ctx context.Context, use exchange.Admin) error {
			return recordCommand(ctx, cfg, ledger, stderr, use)
		},
	})
}

// catchUpTime is how long a command may bring records into the index before it asks, and afterwards.
const catchUpTime = 5 * time.Second

// withAuditor lets a command ask AuditService over the index. What the logs of this host have and the index has not comes
// in first: the last moments of a service that was killed are what is asked about then. At the end comes the record of the
// command itself. Neither must succeed: it is the service's task, which does so as soon as it can.
func withAuditor(cmd *cobra.Command, path string, do func(context.Context, *auditor) error) error {
	return withDesk(cmd, path, func(ctx context.Context, d *desk) error {
		service, err := search.New(search.Config{Index: d.index, Now: now})
		if err != nil {
			return found(err)
		}
		catchUp := func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), catchUpTime)
			defer cancel()
			return d.catchUp(ctx, d.cfg.Audit.Directory)
		}
		if err := catchUp(); err != nil {
			cmd.PrintErrf("the index may lack what the logs in %s have: %v\n", d.cfg.Audit.Directory, err)
		}
		err = do(ctx, &auditor{
			service: service, record: d.record,
			explainer: func(ctx context.Context) (*mapping.Service, error) {
				return newExplainer(ctx, d.cfg, d.ledger, service)
			},
		})
		_ = catchUp() // as was said
		return err
	})
}

// mayUse tells, in the system's words, whether an embedded ledger is there for us: SQLite knows only that it can't.
func mayUse(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return f.Close()
}

// byWhom says, of what this process may not do, as whom it tried.
func byWhom(err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return found(fmt.Errorf("%w (this is the user %s, uid %d; the service's user may)", err, whoRuns(), os.Getuid()))
}
