package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/testservice"
	"github.com/lakegate/sts/store"
	"github.com/lakegate/sts/store/storetest"
)

// unhurried is for a machine that is busy with other tests; only an outage is measured by the clock.
const unhurried = 30 * time.Second

func openPostgres(t *testing.T, url string, now func() time.Time) *store.Postgres {
	t.Helper()
	l, err := store.OpenPostgres(t.Context(), store.PostgresConfig{URL: url, Timeout: unhurried, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func mustPut(t *testing.T, l exchange.Ledger, key string, version uint64, until time.Time) {
	t.Helper()
	if err := l.Put(t.Context(), key, []byte("value"), version, until); err != nil {
		t.Fatal(err)
	}
}

// scan reads one row as the superuser.
func scan(t *testing.T, d *testservice.Database, into any, query string, args ...any) {
	t.Helper()
	if err := d.Admin().QueryRow(t.Context(), query, args...).Scan(into); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, d *testservice.Database, statement string) {
	t.Helper()
	if _, err := d.Admin().Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestPostgresLedger(t *testing.T) {
	t.Parallel()
	d := postgres.NewDatabase(t)
	storetest.Ledger(t, func(now func() time.Time) (one, other exchange.Ledger) {
		return openPostgres(t, d.URL, now), openPostgres(t, d.URL, now)
	})
}

// A database that its administrator has made serializable changes errors, not answers.
func TestPostgresLedgerSerializable(t *testing.T) {
	t.Parallel()
	d := postgres.NewDatabase(t)
	run(t, d, "ALTER DATABASE "+d.Name+" SET default_transaction_isolation = serializable")
	storetest.Ledger(t, func(now func() time.Time) (one, other exchange.Ledger) {
		return openPostgres(t, d.URL, now), openPostgres(t, d.URL, now)
	})
}

// Processes that open one empty database at the same time all succeed, and lose no swap.
func TestPostgresProcesses(t *testing.T) {
	t.Parallel()
	d := postgres.NewDatabase(t)
	countInProcesses(t, d.URL)
	value, _, err := openPostgres(t, d.URL, nil).Get(t.Context(), "count")
	if want := fmt.Sprint(countingProcesses * countsPerProcess); err != nil || string(value) != want {
		t.Errorf("counted %s, %v; want %s", value, err, want)
	}
}

func TestPostgresMigrations(t *testing.T) {
	t.Parallel()
	d := postgres.NewDatabase(t)
	schema := func() (text string) {
		scan(t, d, &text, `SELECT string_agg(line, E'\n' ORDER BY line) FROM (
			SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable AS line FROM information_schema.columns WHERE table_schema = 'public'
			UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
			UNION ALL SELECT sequence_name FROM information_schema.sequences) lines`)
		return text
	}
	version := func() (v int) {
		scan(t, d, &v, "SELECT version FROM ledger_schema")
		return v
	}
	l := openPostgres(t, d.URL, nil)
	newest, at := schema(), version()
	if err := l.StepBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if back := version(); back != at-1 {
		t.Errorf("a step back from %d leads to %d", at, back)
	}
	openPostgres(t, d.URL, nil)
	if again := schema(); again != newest || version() != at {
		t.Errorf("there and back again: version %d, schema\n%s\nwant\n%s", version(), again, newest)
	}
	migrationsKeep(t, func() stepper { return openPostgres(t, d.URL, nil) }, func(statement string) error {
		_, err := d.Admin().Exec(t.Context(), statement)
		return err
	}, "INSERT INTO ledger (key, value, version) VALUES ('by-the-one-before', 'old', nextval('ledger_version'))")
	run(t, d, "UPDATE ledger_schema SET version = 99")
	if _, err := store.OpenPostgres(t.Context(), store.PostgresConfig{URL: d.URL}); err == nil || !strings.Contains(err.Error(), "use the newer program") {
		t.Errorf("a newer ledger: %v", err)
	}
}

// The role of docs/operations.md reads and writes entries, and can do nothing else.
func TestPostgresLeastRights(t *testing.T) {
	t.Parallel()
	d := postgres.NewDatabase(t)
	role := d.Name + "_serves"
	run(t, d, "CREATE ROLE "+role+" LOGIN PASSWORD '"+d.Password()+"'")
	if _, err := store.OpenPostgres(t.Context(), store.PostgresConfig{URL: d.As(role)}); err == nil || !strings.Contains(err.Error(), "permission denied for schema public") {
		t.Errorf("without a schema: %v", err)
	}
	openPostgres(t, d.URL, nil) // the owner's
	for _, grant := range []string{"SELECT, INSERT, UPDATE, DELETE ON ledger", "SELECT ON ledger_schema", "USAGE ON SEQUENCE ledger_version"} {
		run(t, d, "GRANT "+grant+" TO "+role)
	}
	clock := storetest.NewClock()
	l := openPostgres(t, d.As(role), clock.Now)
	mustPut(t, l, "key", 0, clock.Now().Add(time.Minute))
	_, version, err := l.Get(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, l, "key", version, clock.Now().Add(time.Minute))
	clock.Add(time.Hour)
	mustPut(t, l, "other", 0, time.Time{})
	var rows int
	if scan(t, d, &rows, "SELECT count(*) FROM ledger"); rows != 1 {
		t.Errorf("%d rows; what is over was not dropped", rows)
	}
	if err := l.StepBack(t.Context()); err == nil || !strings.Contains(err.Error(), "must be owner") {
		t.Errorf("StepBack: %v", err)
	}
}

func TestPostgresRefusals(t *testing.T) {
	d := postgres.NewDatabase(t)
	openPostgres(t, d.URL, nil)
	empty := filepath.Join(t.TempDir(), "passfile")
	if err := os.WriteFile(empty, []byte("elsewhere:*:*:*:x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// None of this may help.
	t.Setenv("PGPASSWORD", d.Password())
	t.Setenv("PGSSLMODE", "disable")
	t.Setenv("PGSSLROOTCERT", filepath.Join(d.Folder(), "ca.crt"))
	base, _, _ := strings.Cut(d.URL, "?")
	with := func(query string) string { return base + "?" + strings.ReplaceAll(query, "FOLDER", d.Folder()) }
	for name, c := range map[string]struct{ url, want string }{
		"no TLS authority":      {with("passfile=FOLDER/passfile"), "unknown authority"},
		"another authority":     {with("sslmode=verify-full&passfile=FOLDER/passfile"), "unknown authority"},
		"no password":           {with("sslmode=require"), "password"},
		"no line for it":        {with("sslmode=require&passfile=" + empty), "has no line for 127.0.0.1:"},
		"no password file":      {with("sslmode=require&passfile=" + empty + "x"), "no such file"},
		"a password in the URL": {strings.Replace(d.URL, d.Name+"@", d.Name+":dose-of-a-secret@", 1), "a password in the URL"},
		"an unknown role":       {d.As("nobody"), "authentication failed"},
		"not a URL":             {"postgres://%zz", "failed to parse"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := store.OpenPostgres(t.Context(), store.PostgresConfig{URL: c.url})
			if err == nil {
				_ = l.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), d.Password()) || strings.Contains(err.Error(), "dose-of")) {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
	l := openPostgres(t, d.URL, nil) // the environment doesn't take TLS away either
	mustPut(t, l, "key", 0, time.Time{})
	var clear int
	if scan(t, d, &clear, "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'sts' AND NOT ssl"); clear != 0 {
		t.Errorf("%d connections in the clear", clear)
	}
}

// A new password takes effect without a restart.
func TestPostgresPasswordRotation(t *testing.T) {
	t.Parallel()
	d := postgres.NewDatabase(t)
	passfile := filepath.Join(t.TempDir(), "passfile")
	write := func(password string) {
		if err := os.WriteFile(passfile, []byte("*:*:*:*:"+password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(d.Password())
	l := openPostgres(t, strings.Replace(d.URL, d.Folder()+"/passfile", passfile, 1), nil)
	run(t, d, "ALTER ROLE "+d.Name+" PASSWORD 'another'")
	disconnect(t, d)
	if _, _, err := l.Get(t.Context(), "key"); err == nil {
		t.Error("the old password is still good")
	}
	write("another")
	if _, _, err := l.Get(t.Context(), "key"); err != nil {
		t.Error(err)
	}
}

// disconnect ends all our connections, as a restart of the server does.
func disconnect(t *testing.T, d *testservice.Database) {
	t.Helper()
	var ended int
	scan(t, d, &ended, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'sts' AND datname = $1", d.Name)
	if ended == 0 {
		t.Fatal("there was no connection")
	}
}

// Connections that the server has ended are no outage.
func TestPostgresReconnects(t *testing.T) {
	t.Parallel()
	d := postgres.NewDatabase(t)
	l := openPostgres(t, d.URL, nil)
	mustPut(t, l, "key", 0, time.Time{})
	for range 3 {
		disconnect(t, d)
		if value, _, err := l.Get(t.Context(), "key"); string(value) != "value" || err != nil {
			t.Errorf("Get: %q, %v", value, err)
		}
		if err := l.Health(); err != nil {
			t.Error(err)
		}
	}
}

func TestPostgresPoolIsBounded(t *testing.T) {
	t.Parallel()
	d := postgres.NewDatabase(t)
	l := openPostgres(t, d.URL, nil)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if err := l.Put(t.Context(), fmt.Sprint(i), nil, 0, time.Time{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var connections int
	if scan(t, d, &connections, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sts' AND datname = $1", d.Name); connections == 0 || connections > 4 {
		t.Errorf("%d connections", connections)
	}
}

// What is over is dropped, though not at once, and not while another replica is at it.
func TestPostgresPurge(t *testing.T) {
	t.Parallel()
	d := postgres.NewDatabase(t)
	clock := storetest.NewClock()
	l := openPostgres(t, d.URL, clock.Now)
	for i := range 5 {
		mustPut(t, l, fmt.Sprint(i), 0, clock.Now().Add(time.Minute))
	}
	puts := 0
	rows := func(move time.Duration) (n int) {
		clock.Add(move)
		puts++
		mustPut(t, l, fmt.Sprint("other", puts), 0, time.Time{})
		scan(t, d, &n, "SELECT count(*) FROM ledger WHERE until IS NOT NULL")
		return n
	}
	if n := rows(5 * time.Minute); n != 5 {
		t.Errorf("%d rows are left although a replica's clock may be slow", n)
	}
	other, err := d.Admin().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), "SELECT pg_advisory_xact_lock(7391042002)"); err != nil {
		t.Fatal(err)
	}
	if n := rows(time.Hour); n != 5 {
		t.Errorf("%d rows are left although another replica was at it", n)
	}
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := rows(time.Second); n != 5 {
		t.Errorf("%d rows are left although a minute had not passed", n)
	}
	if n := rows(time.Minute); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// wantAway holds that the ledger says that it is away, within the time that its users can wait.
func wantAway(t *testing.T, l *store.Postgres) {
	t.Helper()
	start := time.Now()
	_, _, getErr := l.Get(t.Context(), "key")
	putErr := l.Put(t.Context(), "key", nil, 0, time.Time{})
	for what, err := range map[string]error{"Get": getErr, "Put": putErr} {
		if e := exchange.AsError(err); e == nil || e.Code != exchange.CodeUnavailable || e.Reason != exchange.ReasonLedgerUnavailable || e.RetryAfter <= 0 {
			t.Errorf("%s: %v", what, err)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("that took %v", took)
	}
	if err := l.Health(); err == nil || !strings.Contains(err.Error(), "out of reach") {
		t.Errorf("Health: %v", err)
	}
}

// A server that stops, crashes, hangs or only reads is noticed, and no restart of ours is needed when it is back.
func TestPostgresOutages(t *testing.T) {
	t.Parallel()
	cluster := testservice.NewPostgres(t)
	d := cluster.NewDatabase(t)
	l, err := store.OpenPostgres(t.Context(), store.PostgresConfig{URL: d.URL})
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, l, "kept", 0, time.Time{})
	if err := l.Health(); err != nil {
		t.Fatal(err)
	}
	for _, outage := range []struct {
		name       string
		begin, end func() error
	}{
		{"stop", func() error { cluster.Stop(); return nil }, cluster.Start},
		{"crash", cluster.Crash, cluster.Start},
		{"hang", cluster.Hang, cluster.Resume},
		{"read only", func() error {
			run(t, d, "ALTER ROLE "+d.Name+" SET default_transaction_read_only = on")
			disconnect(t, d)
			return nil
		}, func() error {
			run(t, d, "ALTER ROLE "+d.Name+" RESET default_transaction_read_only")
			return nil
		}},
	} {
		t.Run(outage.name, func(t *testing.T) {
			if err := outage.begin(); err != nil {
				t.Fatal(err)
			}
			wantAway(t, l)
			if err := outage.end(); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(30 * time.Second); ; {
				value, version, err := l.Get(t.Context(), "kept")
				if err == nil && string(value) == "value" {
					mustPut(t, l, "kept", version, time.Time{})
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("it doesn't recover: %q, %v", value, err)
				}
			}
			if err := l.Health(); err != nil {
				t.Error(err)
			}
		})
	}
	if err := cluster.Hang(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := l.Close(); err != nil || time.Since(start) > 10*time.Second {
		t.Errorf("closing while it hangs: %v, after %v", err, time.Since(start))
	}
	if err := cluster.Resume(); err != nil {
		t.Fatal(err)
	}
	cluster.Stop()
	if _, err := store.OpenPostgres(t.Context(), store.PostgresConfig{URL: d.URL}); err == nil || !strings.Contains(err.Error(), "database: opening "+d.Name+" at 127.0.0.1:") {
		t.Errorf("opening while it is away: %v", err)
	}
}

// What the server says against a write is told until a write succeeds; what the caller gives up is no fault.
func TestPostgresHealthOfWrites(t *testing.T) {
	t.Parallel()
	d := postgres.NewDatabase(t)
	l := openPostgres(t, d.URL, nil)
	run(t, d, "REVOKE INSERT ON ledger FROM "+d.Name)
	if err := l.Put(t.Context(), "key", nil, 0, time.Time{}); err == nil || errors.Is(err, exchange.ErrConflict) {
		t.Errorf("Put: %v", err)
	}
	if _, _, err := l.Get(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	if err := l.Health(); err == nil || !strings.Contains(err.Error(), "the last write failed") {
		t.Errorf("Health: %v", err)
	}
	run(t, d, "GRANT INSERT ON ledger TO "+d.Name)
	mustPut(t, l, "key", 0, time.Time{})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := l.Get(gone, "key"); err == nil {
		t.Error("no error")
	}
	if err := l.Health(); err != nil {
		t.Error(err)
	}
}
