package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"path"
	"strings"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one step of a schema, forward and back. Its number is its place in the list, from 1.
type migration struct {
	name     string
	up, down string
}

// migrations reads the steps of one backend: files BACKEND_NUMBER_NAME.up.sql and .down.sql.
func migrations(backend string) ([]migration, error) {
	ups, err := migrationFiles.ReadDir("migrations")
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	var steps []migration
	for _, file := range ups { // sorted by name
		name, isUp := strings.CutSuffix(file.Name(), ".up.sql")
		if !isUp || !strings.HasPrefix(name, backend+"_") {
			continue
		}
		step := migration{name: name}
		for suffix, text := range map[string]*string{".up.sql": &step.up, ".down.sql": &step.down} {
			b, err := migrationFiles.ReadFile(path.Join("migrations", name+suffix))
			if err != nil {
				return nil, fmt.Errorf("reading the migration %s: %w", name, err)
			}
			*text = string(b)
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// nextStep is the step from a schema's version towards target: its name, "" where there is nothing to do, its script,
// and the version that it leads to.
func nextStep(steps []migration, version, target int) (name, script string, next int, err error) {
	switch {
	case version > len(steps):
		return "", "", 0, fmt.Errorf("the ledger has schema version %d and this program knows %d; use the newer program, or its step back first", version, len(steps))
	case version == target:
		return "", "", version, nil
	case version < target:
		return steps[version].name, steps[version].up, version + 1, nil
	default:
		return steps[version-1].name, steps[version-1].down, version - 1, nil
	}
}

// sameSchema is nil where a schema of that version is this program's.
func sameSchema(steps []migration, version int) error {
	name, _, _, err := nextStep(steps, version, len(steps))
	if err == nil && name != "" {
		err = fmt.Errorf("the ledger has schema version %d and this program needs %d; `sts database migrate` brings it there, and so does a start of the service", version, len(steps))
	}
	return err
}

// checkSQLite is nil where the schema is this program's.
func checkSQLite(ctx context.Context, db *sql.DB) error {
	steps, err := migrations("sqlite")
	if err != nil {
		return err
	}
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("reading the ledger's schema version: %w", err)
	}
	return sameSchema(steps, version)
}

// migrateSQLite brings the schema to version target; -1 means the newest. Each step is one transaction, so that of
// several processes that start together one does it and the others find it done.
func migrateSQLite(ctx context.Context, db *sql.DB, target int) error {
	steps, err := migrations("sqlite")
	if err != nil {
		return err
	}
	if target < 0 {
		target = len(steps)
	}
	for {
		done, err := stepSQLite(ctx, db, steps, target)
		if done || err != nil {
			return err
		}
	}
}

// stepSQLite takes one step towards target. The version stands in the file's header, PRAGMA user_version.
func stepSQLite(ctx context.Context, db *sql.DB, steps []migration, target int) (done bool, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, fmt.Errorf("migrating the ledger: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return false, fmt.Errorf("reading the ledger's schema version: %w", err)
	}
	name, script, version, err := nextStep(steps, version, target)
	if err != nil || name == "" {
		return err == nil, err
	}
	if _, err := tx.ExecContext(ctx, script); err != nil {
		return false, fmt.Errorf("migrating the ledger by %s: %w", name, err)
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version)); err != nil {
		return false, fmt.Errorf("writing the ledger's schema version: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return false, fmt.Errorf("migrating the ledger by %s: %w", name, err)
	}
	return false, nil
}
