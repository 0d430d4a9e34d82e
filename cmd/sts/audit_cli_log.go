package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/exchange"
)

const (
	// cliLogWait is how long a command waits for others that are writing theirs.
	cliLogWait = 10 * time.Second
	// cliLogTime is how long the end of a command's log may take: its checkpoint is brought to the witnesses.
	cliLogTime = 6 * time.Second
)

// recordCommand puts on disk that somebody uses the audit by the command line: what a is, it says who. A command calls it
// before it prints what it has read, and ends if it fails. The log is this host's own, beside the service's, and goes on from
// command to command.
func recordCommand(ctx context.Context, cfg *config.Config, ledger exchange.Ledger, stderr io.Writer, a exchange.Admin) (err error) {
	key, err := commandKey(ctx, cfg, ledger)
	if err != nil {
		return fmt.Errorf("recording this command: %w", err)
	}
	if err := makeFolderLike(cfg.Audit.Directory); err != nil {
		return fmt.Errorf("recording this command: %w", err)
	}
	l, err := openCommandLog(ctx, cfg, key, witnessesOf(cfg, ledger, key.Public()), newLog(stderr, slog.LevelWarn, cfg.Log.Format))
	if err != nil {
		return fmt.Errorf("recording this command: %w", err)
	}
	defer func() {
		err = errors.Join(err, within(cliLogTime, l.Close)(), likeOwner(cfg.Audit.Directory, filepath.Join(cfg.Audit.Directory, commandLog()+".*")))
	}()
	at := now()
	id, err := exchange.NewID(at, rand.Reader)
	if err != nil {
		return err
	}
	a.By = &exchange.Caller{Entrance: "cli", Source: exchange.Source{Claimed: exchange.Claimed{Source: whoRuns()}}}
	return l.Record(ctx, &exchange.Event{ID: id, Time: at, Admin: &a})
}

// commandKey is the key that the service signs with. A command makes none.
func commandKey(ctx context.Context, cfg *config.Config, ledger exchange.Ledger) (audit.Key, error) {
	if cfg.Audit.SigningKeyFile != "" {
		return readSigningKey(cfg.Audit.SigningKeyFile)
	}
	return ledgerKey(ctx, cfg, ledger)
}

// commandLog is the name of this host's log of commands.
func commandLog() string { return "cli-" + replica() }

// openCommandLog opens the log of this host's commands. Each has it for a moment; the others wait.
func openCommandLog(ctx context.Context, cfg *config.Config, key audit.Key, witnesses []audit.Witness, log *slog.Logger) (*audit.Log, error) {
	ctx, cancel := context.WithTimeout(ctx, cliLogWait)
	defer cancel()
	for {
		l, err := audit.Open(audit.Config{
			Directory: cfg.Audit.Directory, Replica: commandLog(), Key: key, Witnesses: witnesses,
			Sync: audit.SyncAlways, Continue: true,
			Retention: math.MaxInt64, // the service's own log drops what is past it, and tells of the disk
			Space:     func(string) (free, size uint64, err error) { return 0, 0, errors.ErrUnsupported },
			Now:       now, Log: log,
		})
		if !errors.Is(err, audit.ErrLocked) {
			return l, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// whoRuns is the name of the account that this program runs under, and of the one that called it by sudo: a claim, which
// only the host could prove.
func whoRuns() string {
	name := fmt.Sprint(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if caller := os.Getenv("SUDO_USER"); caller != "" {
		name = caller + " as " + name
	}
	return name
}
