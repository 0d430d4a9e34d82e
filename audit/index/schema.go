package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// schemaVersion is what this program makes and knows. What an older one made is made anew from the logs by a migration of
// its own, or by [Index.Reindex].
const schemaVersion = 1

// The tables that there always are. BYTES is the backend's type for bytes; all the rest is one SQL for both.
//
//	audit_origins     the logs: next is the first place that is not here yet; size, root and note are the newest checkpoint
//	                  that next has reached and the tree bears out; base and before are where the log began for us, and the
//	                  hashes that stand for what lies before, where retention was faster than we
//	audit_partitions  pairs of tables of events and terms; least and greatest are ids. A stale one is being made anew
//	audit_tiles       hashes of 256 neighbours on a level of a log's tree, of which there is one at every eighth height
//	audit_hours       how many exchanges there were; an hour is Unix time over 3,600
var fixedTables = []string{
	`CREATE TABLE audit_origins (n BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE, next BIGINT NOT NULL,
		size BIGINT NOT NULL, root BYTES NOT NULL, note TEXT NOT NULL, base BIGINT NOT NULL, before BYTES NOT NULL)`,
	`CREATE TABLE audit_partitions (n BIGINT PRIMARY KEY, events BIGINT NOT NULL, least BYTES NOT NULL, greatest BYTES NOT NULL,
		stale BIGINT NOT NULL)`,
	`CREATE TABLE audit_tiles (origin BIGINT NOT NULL, level BIGINT NOT NULL, n BIGINT NOT NULL, hashes BYTES NOT NULL,
		PRIMARY KEY (origin, level, n))`,
	`CREATE TABLE audit_hours (hour BIGINT NOT NULL, principal TEXT NOT NULL, rule TEXT NOT NULL, outcome TEXT NOT NULL,
		count BIGINT NOT NULL, PRIMARY KEY (hour, principal, rule, outcome))`,
	`CREATE TABLE audit_schema (version BIGINT NOT NULL)`,
}

// partitionTables are those of partition N. The order of ids is that of time.
var partitionTables = []string{
	`CREATE TABLE audit_events_N (id BYTES NOT NULL, origin BIGINT NOT NULL, place BIGINT NOT NULL, record BYTES NOT NULL)`,
	`CREATE UNIQUE INDEX audit_events_N_place ON audit_events_N (origin, place)`,
	`CREATE INDEX audit_events_N_id ON audit_events_N (id)`,
	`CREATE TABLE audit_terms_N (term BIGINT NOT NULL, id BYTES NOT NULL, PRIMARY KEY (term, id)) ROWS`,
}

// eventsTable and termsTable name the tables of partition n.
func eventsTable(n int64) string { return fmt.Sprintf("audit_events_%d", n) }
func termsTable(n int64) string  { return fmt.Sprintf("audit_terms_%d", n) }

// definition is a statement of the above for the backend.
func (d *database) definition(statement string, n int64) string {
	types, rows := "BYTEA", ""
	if d.sqlite {
		types, rows = "BLOB", " WITHOUT ROWID"
	}
	return strings.NewReplacer("BYTES", types, " ROWS", rows, "_N", fmt.Sprintf("_%d", n)).Replace(statement)
}

// migrate makes the fixed tables, unless they are there. Of several processes that start together one does it, under a
// lock, and the others find it done; a schema that is there is only read.
func (d *database) migrate(ctx context.Context) error {
	version, err := d.version(ctx, d.read)
	if err != nil || version == schemaVersion {
		return err
	}
	return d.change(ctx, func(tx *sql.Tx) error {
		version, err := d.version(ctx, tx)
		if err != nil || version == schemaVersion {
			return err
		}
		for _, statement := range fixedTables {
			if _, err := tx.ExecContext(ctx, d.definition(statement, 0)); err != nil {
				return fmt.Errorf("making its tables: %w", d.explain(err))
			}
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO audit_schema (version) VALUES ($1)", schemaVersion)
		return err
	})
}

// queryer is a database or a transaction of one.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// version is 0 where there are no tables yet.
func (d *database) version(ctx context.Context, q queryer) (version int, err error) {
	there := "SELECT count(*) FROM pg_catalog.pg_class WHERE relname = 'audit_schema' AND pg_table_is_visible(oid)"
	if d.sqlite {
		there = "SELECT count(*) FROM sqlite_schema WHERE name = 'audit_schema'"
	}
	var tables int
	if err := q.QueryRowContext(ctx, there).Scan(&tables); err != nil || tables == 0 {
		return 0, d.explain(err)
	}
	switch err := q.QueryRowContext(ctx, "SELECT version FROM audit_schema").Scan(&version); {
	case err != nil:
		return 0, fmt.Errorf("reading its schema version: %w", d.explain(err))
	case version > schemaVersion:
		return 0, fmt.Errorf("it has schema version %d and this program knows %d; use the newer program", version, schemaVersion)
	}
	return version, nil
}

// explain adds to an error what to grant where a right is missing.
func (d *database) explain(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == "42501" {
		return fmt.Errorf("the role %s lacks a right: the audit index needs CREATE on the schema, since it makes tables as it grows, "+
			"and SELECT, INSERT, UPDATE and DELETE on the tables audit_*: %w", d.role, err)
	}
	return err
}
