package index_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lakegate/sts/audit/index"
)

// A role that lacks a right is told what to grant; with just that, and the tables made by their owner, it does its work.
func TestRightsInPostgreSQL(t *testing.T) {
	b := newPostgres(t)
	d := b.database
	role := d.Name + "_service"
	grant := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := d.Admin().Exec(t.Context(), strings.ReplaceAll(s, "ROLE", role)); err != nil {
				t.Fatal(err)
			}
		}
	}
	grant(fmt.Sprintf("CREATE USER ROLE PASSWORD '%s'", d.Password()))
	c := b.c
	c.Postgres = pool(t, d.As(role))
	i, err := index.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	l := fill(t, newLogbook(t, "sts-0"), 10)
	refused := func(what string) {
		t.Helper()
		_, err := i.Add(t.Context(), l.batch(t, 0, 10))
		if err == nil || !strings.Contains(err.Error(), role+" lacks a right: the audit index needs CREATE on the schema") {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("no tables")
	b.open(t) // as sts database migrate does
	refused("tables of another")
	grant("GRANT SELECT, INSERT, UPDATE, DELETE ON audit_origins, audit_partitions, audit_tiles, audit_hours, audit_schema TO ROLE")
	refused("no partition can be made")
	grant("GRANT USAGE, CREATE ON SCHEMA public TO ROLE")
	if _, err := i.Add(t.Context(), l.batch(t, 0, 10)); err != nil {
		t.Fatal(err)
	}
	holds(t, i, l)
	if err := i.Reindex(t.Context(), t.TempDir()); err != nil {
		t.Error(err)
	}
	holds(t, i, l)
}
