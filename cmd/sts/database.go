package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/store"
)

// ledger is a database as it is configured.
type ledger interface {
	exchange.Ledger
	Health() error
	StepBack(ctx context.Context) error
	Close() error
}

// openLedger opens the ledger and brings its schema up to date.
func openLedger(ctx context.Context, d config.Database) (ledger, error) {
	if d.Postgres != "" {
		return store.OpenPostgres(ctx, store.PostgresConfig{URL: d.Postgres, Now: now})
	}
	return store.OpenSQLite(ctx, store.SQLiteConfig{Path: d.SQLite, Now: now})
}

// openLedgerAsItIs opens the ledger for a command, which may be of another version than the service: it makes none, and
// leaves the schema alone.
func openLedgerAsItIs(ctx context.Context, d config.Database) (ledger, error) {
	if d.Postgres != "" {
		return store.OpenPostgres(ctx, store.PostgresConfig{URL: d.Postgres, AsItIs: true, Now: now})
	}
	return store.OpenSQLite(ctx, store.SQLiteConfig{Path: d.SQLite, AsItIs: true, Now: now})
}

func databaseCommand() *cobra.Command {
	return group("database", "The ledger's database", databaseMigrateCommand())
}

func databaseMigrateCommand() *cobra.Command {
	var back bool
	cmd := &cobra.Command{
		Use:   "migrate DATABASE",
		Short: "Bring the ledger's schema up to date, or one step back for the program before",
		Long: `Brings the schema of DATABASE, written as under the configuration's key database, to what this program knows. The service
does the same when it starts; this is for a service whose own role may not, and is run as the role that owns the
database. With --back the newest step is taken back, for a return to the program before; end all replicas first.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			folder, err := os.Getwd()
			if err != nil {
				return found(err)
			}
			database, err := config.ParseDatabase(args[0], folder)
			if err != nil {
				return found(err)
			}
			said, err := migrate(cmd.Context(), database, back)
			if err != nil {
				return found(err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
			return found(err)
		},
	}
	cmd.Flags().BoolVar(&back, "back", false, "take the newest step back")
	return cmd
}

func migrate(ctx context.Context, database config.Database, back bool) (said string, err error) {
	l, err := openLedger(ctx, database)
	if err != nil {
		return "", err
	}
	if back {
		return "the schema is one step back", l.StepBack(ctx)
	}
	return "the schema is up to date", errors.Join(l.Close(), makeIndexTables(ctx, database))
}

// makeIndexTables makes the tables of the audit index that there always are.
func makeIndexTables(ctx context.Context, database config.Database) error {
	i, err := newIndex(&config.Config{Database: database}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return errors.Join(i.Open(ctx), i.Close())
}
