// Package databricks_test runs what it can of the SQL here: the join, over sample rows, on a real database.
package databricks_test

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/internal/testservice"
)

var postgres testservice.SharedPostgres

func TestMain(m *testing.M) {
	code := m.Run()
	postgres.Close()
	os.Exit(code)
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const (
	models = "6f1c2b9e-0f0e-4c56-9d58-3c1b0b1c7a11"
	etl    = "0d7c4b1a-6e0b-4b8e-9f57-2f3e1d4c5b6a"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// staging are the views of audit_staging.sql as tables, with their columns.
const staging = `
CREATE TABLE sts_decisions (decision_id text, decided_at timestamptz, application_id text, principal text, client text, rule text,
  subject_issuer text, subject text, actor text, token_until timestamptz);
CREATE TABLE sts_databricks_events (event_id text, event_time timestamptz, workspace_id text, service_name text, action_name text,
  source_ip_address text, user_agent text, application_id text, decision_id text);`

type decision struct {
	id         string
	at         int // minutes after noon
	principal  string
	who, actor string
	until      int
	client     string
}

type event struct {
	id        string
	at        float64 // likewise
	principal string
	decision  string
}

// database has the view over these rows.
func database(t *testing.T, decisions []decision, events []event) *pgxpool.Pool {
	t.Helper()
	db := postgres.NewDatabase(t).Admin()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := db.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(staging)
	exec(read(t, "audit_join.sql"))
	minutes := func(n float64) time.Time { return noon.Add(time.Duration(n * float64(time.Minute))) }
	none := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	for _, d := range decisions {
		exec("INSERT INTO sts_decisions VALUES ($1, $2, $3, 'models', $4, 'rule', 'https://okta', $5, $6, $7)",
			d.id, minutes(float64(d.at)), d.principal, d.client, d.who, none(d.actor), minutes(float64(d.until)))
	}
	for _, e := range events {
		exec("INSERT INTO sts_databricks_events VALUES ($1, $2, '1', 'unityCatalog', 'getTable', '10.0.0.1', 'agent', $3, $4)", e.id, minutes(e.at), e.principal, none(e.decision))
	}
	return db
}

// who lists what the view says: event, certainty, persons, who by whom, decision.
func who(t *testing.T, db *pgxpool.Pool) []string {
	t.Helper()
	rows, err := db.Query(context.Background(), `SELECT event_id, certainty, persons, COALESCE(subject, '-'), COALESCE(actor, '-'), COALESCE(client, '-'), COALESCE(decision_id, '-')
		FROM sts_who ORDER BY event_id, subject, actor NULLS FIRST`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var event, certainty, subject, actor, client, decision string
		var persons int64
		if err := rows.Scan(&event, &certainty, &persons, &subject, &actor, &client, &decision); err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprint(event, " ", certainty, " ", persons, " ", subject, " ", actor, " ", client, " ", decision))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestWho(t *testing.T) {
	decisions := []decision{
		{"d1", 0, models, "ada", "", 15, "kong"},
		{"d2", 5, models, "bob", "", 20, "kong"},
		{"d3", 6, models, "ada", "", 21, "batch"},       // ada again, by another client
		{"d4", 7, models, "bob", "agent-7", 22, "kong"}, // an agent for bob
		{"d5", 0, etl, "eve", "", 60, "batch"},
		{"d6", 200, models, "mia", "", 440, "kong"}, // bounded only by what is served: it lives for hours
	}
	db := database(t, decisions, []event{
		{"exact", 10, models, "d2"},
		{"named: just after its end", 16, models, "d1"},
		{"named: long after its end", 300, models, "d1"}, // by a caller who kept the user agent longer than the token
		{"named: before it was", 0.5, models, "d6"},
		{"forged: of another principal", 10, etl, "d2"},
		{"forged: no such decision", 1, models, "d9"},
		{"none", 100, models, ""},
		{"nobody of that principal", 10, "a1b2c3d4-0000-4000-8000-000000000000", ""},
		{"one", 1, models, ""},
		{"one, past its window", 400, models, ""},
		{"several", 10, models, ""},
		{"skew: just before", -1.5, models, ""},
		{"skew: too early", -2.5, models, ""},
		{"skew: just after the end", 441.5, models, ""},
		{"skew: too late", 442.5, models, ""},
	})
	want := []string{
		"exact exact 1 bob - kong d2",
		"forged: no such decision candidates 1 ada - kong -",
		"forged: of another principal candidates 1 eve - batch -",
		"named: before it was candidates 1 ada - kong -",
		"named: just after its end exact 1 ada - kong d1",
		"named: long after its end candidates 1 mia - kong -",
		"nobody of that principal none 0 - - - -",
		"none none 0 - - - -",
		"one candidates 1 ada - kong -",
		"one, past its window candidates 1 mia - kong -",
		"several candidates 3 ada - - -",
		"several candidates 3 bob - kong -",
		"several candidates 3 bob agent-7 kong -",
		"skew: just after the end candidates 1 mia - kong -",
		"skew: just before candidates 1 ada - kong -",
		"skew: too early none 0 - - - -",
		"skew: too late none 0 - - - -",
	}
	if diff := cmp.Diff(want, who(t, db)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := db.Exec(t.Context(), read(t, "audit_join.sql")); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// TestStagingNamesWhatRecordsHave holds the columns that are read from exported files against the records, and those of both
// staging views against what the join's test stands in for them.
func TestStagingNamesWhatRecordsHave(t *testing.T) {
	sql := read(t, "audit_staging.sql")
	known := map[string]bool{"repeat_of": true} // which an export adds
	record := reflect.TypeFor[audit.ExchangeRecord]()
	for _, of := range []reflect.Type{record, reflect.TypeFor[audit.Header]()} {
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			known[name] = true
		}
	}
	_, schema, _ := strings.Cut(sql, "schema => '")
	schema, _, _ = strings.Cut(schema, "'")
	columns := regexp.MustCompile(`(?m)(?:^|,)\s*([a-z_0-9]+) [A-Z]+`).FindAllStringSubmatch(schema, -1)
	if len(columns) < 15 {
		t.Fatalf("%d columns in %q", len(columns), schema)
	}
	for _, c := range columns {
		if !known[c[1]] {
			t.Errorf("no record has %q", c[1])
		}
	}
	for _, view := range []string{"sts_decisions", "sts_databricks_events"} {
		_, table, _ := strings.Cut(staging, "CREATE TABLE "+view+" (")
		table, _, _ = strings.Cut(table, ");")
		_, body, _ := strings.Cut(sql, "VIEW "+view+" AS")
		body, _, _ = strings.Cut(body, "FROM ")
		for _, column := range strings.Split(table, ",") {
			name := strings.Fields(column)[0]
			if !regexp.MustCompile(`(?m)\b` + name + `,?$`).MatchString(body) {
				t.Errorf("%s has no column %s", view, name)
			}
		}
	}
}
