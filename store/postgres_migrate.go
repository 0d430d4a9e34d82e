package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// migratePostgres brings the schema to version target; -1 means the newest. A schema that is there already is only read,
// so that the role that serves needs no right to change it. Each step is one transaction under a lock, so that of
// several replicas that start together one does it and the others find it done.
func migratePostgres(ctx context.Context, pool *pgxpool.Pool, target int) error {
	steps, err := migrations("postgres")
	if err != nil {
		return err
	}
	if target < 0 {
		target = len(steps)
	}
	for {
		version, err := schemaVersion(ctx, pool)
		if err != nil {
			return err
		}
		if name, _, _, err := nextStep(steps, version, target); err != nil || name == "" {
			return err
		}
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return stepPostgres(ctx, tx, steps, target) })
		if err != nil {
			return fmt.Errorf("migrating the ledger: %w", err)
		}
	}
}

// checkPostgres is nil where the schema is this program's.
func checkPostgres(ctx context.Context, pool *pgxpool.Pool) error {
	steps, err := migrations("postgres")
	if err != nil {
		return err
	}
	version, err := schemaVersion(ctx, pool)
	if err != nil {
		return err
	}
	return sameSchema(steps, version)
}

// queryer is a pool or a transaction.
type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// schemaVersion is 0 where there is no schema yet.
func schemaVersion(ctx context.Context, q queryer) (version int, err error) {
	var made bool
	// A lookup by to_regclass could be answered from what the session knew before it waited for the lock.
	if err := q.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relname = 'ledger_schema' AND pg_table_is_visible(oid))").Scan(&made); err != nil {
		return 0, fmt.Errorf("looking for the ledger's schema: %w", err)
	}
	if !made {
		return 0, nil
	}
	err = q.QueryRow(ctx, "SELECT version FROM ledger_schema").Scan(&version)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("reading the ledger's schema version: %w", err)
	}
	return version, nil
}

// stepPostgres takes one step towards target, unless another replica has been faster.
func stepPostgres(ctx context.Context, tx pgx.Tx, steps []migration, target int) error {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", migrateLock); err != nil {
		return fmt.Errorf("waiting for other replicas: %w", err)
	}
	version, err := schemaVersion(ctx, tx)
	if err != nil {
		return err
	}
	name, script, next, err := nextStep(steps, version, target)
	if err != nil || name == "" {
		return err
	}
	// The simple protocol takes a script of many statements.
	if _, err := tx.Exec(ctx, script, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("by %s: %w", name, err)
	}
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS ledger_schema (version integer NOT NULL)",
		"DELETE FROM ledger_schema",
		fmt.Sprintf("INSERT INTO ledger_schema (version) VALUES (%d)", next),
	} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("writing the schema version: %w", err)
		}
	}
	return nil
}
