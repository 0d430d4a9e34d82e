package e2e_test

import (
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/internal/testservice"
	"github.com/lakegate/sts/store"
)

// openIndex opens the audit index that is in a database.
func openIndex(t *testing.T, d *testservice.Database) *index.Index {
	t.Helper()
	pool, err := store.PostgresPool(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	i, err := index.New(index.Config{Postgres: pool, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	return i
}

// indexed is every event of an index by its id, and how often it is there.
func indexed(t *testing.T, i *index.Index) (lines map[string]string, times map[string]int) {
	t.Helper()
	lines, times = map[string]string{}, map[string]int{}
	for q := (index.Query{PageSize: index.MaxPage}); ; {
		page, err := i.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			lines[e.ID] = string(e.Raw)
			times[e.ID]++
		}
		if page.Next == "" {
			return lines, times
		}
		q.Page = page.Next
	}
}

// wantIndexed holds that the index has each record of the replicas' logs, as it stands there, and nothing twice.
func wantIndexed(t *testing.T, i *index.Index, replicas ...*world) (records int) {
	t.Helper()
	lines, times := indexed(t, i)
	for _, r := range replicas {
		for record, err := range audit.Read(r.auditDir) {
			if err != nil {
				t.Fatal(err)
			}
			records++
			if lines[record.ID] != string(record.Raw) {
				t.Errorf("the index lacks %s", record.Raw)
			}
		}
	}
	for id, n := range times {
		if n > 1 {
			t.Errorf("%s is in the index %d times", id, n)
		}
	}
	return records
}

// TestIndexOutage holds that exchanges go on while the index is away, with the PostgreSQL that it is in, and that it then
// comes to have all that was recorded, once.
func TestIndexOutage(t *testing.T) {
	t.Parallel()
	cluster := testservice.NewPostgres(t)
	d := cluster.NewDatabase(t)
	w := newWorld(t, on(d))
	r := w.Replica()
	both := []*world{w, r}
	under := w.load(both...)
	under.More(w)
	for _, outage := range []struct {
		name       string
		begin, end func() error
	}{
		{"stopped", func() error { cluster.Stop(); return nil }, cluster.Start},
		{"killed", cluster.Crash, cluster.Start},
		{"hung", cluster.Hang, cluster.Resume},
	} {
		if err := outage.begin(); err != nil {
			t.Fatal(err)
		}
		if outage.name == "stopped" {
			w.base += time.Minute // for so long
			w.Move(0)
		}
		if outage.name != "hung" { // which it waits for longer than we do
			for _, replica := range both {
				replica.Eventually("it tells of the index that is "+outage.name, func() bool {
					ready := replica.Ready()
					return ready.HTTP == http.StatusOK && ready.Parts["audit_index"].Status == "degraded" && ready.Parts["audit_index"].Reason != ""
				})
			}
		}
		under.More(w)
		if err := outage.end(); err != nil {
			t.Fatal(err)
		}
		under.More(w)
		for _, replica := range both {
			replica.Eventually("it is well again", func() bool { return replica.Ready().Status == "ok" })
		}
	}
	under.End(t)
	last := []answer{w.Ask(), r.Ask()}
	i := openIndex(t, d)
	for _, a := range last {
		if a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		w.Eventually("the index has come to the last exchange", func() bool { _, err := i.Find(t.Context(), a.DecisionID); return err == nil })
	}
	for _, replica := range both {
		replica.Finish() // which brings in the rest
	}
	if n := wantIndexed(t, i, both...); n < 120 {
		t.Errorf("only %d records", n)
	}
}

// TestIndexOutlivesAReplica holds that a replica that is gone with its disk is missed, and that what it did is found all the
// same, and proven to whoever has the public key.
func TestIndexOutlivesAReplica(t *testing.T) {
	t.Parallel()
	d := postgres.NewDatabase(t)
	w := newWorld(t, on(d))
	second, doomed := w.Replica(), w.Replica()
	i := openIndex(t, d)
	var decisions []string
	for range 5 {
		for _, replica := range []*world{w, second, doomed} {
			a := replica.Ask()
			mustGrant(t, a, tenMinutes)
			if replica == doomed {
				decisions = append(decisions, a.DecisionID)
			}
		}
	}
	for _, id := range decisions {
		w.Eventually("its events are in the index", func() bool { _, err := i.Find(t.Context(), id); return err == nil })
	}
	e, err := i.Find(t.Context(), decisions[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, replica := range map[string]*world{"first": w, "second": second, "doomed": doomed} {
		if out, code := w.run("audit", "verify", replica.auditDir, "--config", "sts.yaml"); code != 0 {
			t.Errorf("%s: %d %s", name, code, out)
		}
	}
	doomed.Finish()
	if err := os.RemoveAll(doomed.auditDir); err != nil {
		t.Fatal(err)
	}

	verify := []string{"audit", "verify", w.auditDir, second.auditDir, "--config", "sts.yaml", "--all"}
	if out, code := w.run(verify...); code != 1 || !strings.Contains(out, e.Origin) || !strings.Contains(out, "missing") && !strings.Contains(out, "gone") {
		t.Errorf("%d %s", code, out)
	}
	key, code := w.run("audit", "key", "--config", "sts.yaml")
	if code != 0 {
		t.Fatal(key)
	}
	for _, id := range decisions {
		if e, err := i.Find(t.Context(), id); err != nil || e.Exchange == nil || e.Exchange.Rule != "engineers" {
			t.Errorf("%s: %+v %v", id, e, err)
		}
		r, err := i.Receipt(t.Context(), id)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		w.WriteFile("receipt", string(r.Text()))
		if out, code := w.run("audit", "verify", "--receipt", "receipt", "--key", strings.TrimSpace(key)); code != 0 || !strings.Contains(out, id) {
			t.Errorf("%d %s", code, out)
		}
	}
	if out, code := w.run("audit", "receipt", decisions[0], "--config", "sts.yaml"); code != 0 || !strings.Contains(out, "c2sp.org/tlog-proof@v1") {
		t.Errorf("%d %s", code, out)
	}
}

// TestIndexIsMadeAnew holds that an index whose file is lost is made again from the logs at the next start, and that one that
// is no database stops nothing.
func TestIndexIsMadeAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.Ask()
	mustGrant(t, a, tenMinutes)
	find := func(code int) func() bool {
		return func() bool {
			_, got := w.run("audit", "receipt", a.DecisionID, "--config", "sts.yaml")
			return got == code
		}
	}
	w.Eventually("there is a receipt", find(0))
	w.sts.Stop(t)
	for _, name := range []string{"audit-index.db", "audit-index.db-wal", "audit-index.db-shm"} {
		if err := os.Remove(w.dir + "/data/" + name); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	w.Start()
	w.Eventually("there is a receipt again", find(0))
	w.sts.Stop(t)
	w.WriteFile("data/audit-index.db", strings.Repeat("not a database ", 1000))
	w.Start()
	w.Eventually("it tells that it can't open it", func() bool {
		part := w.Ready().Parts["audit_index"]
		return part.Status == "degraded" && strings.Contains(part.Reason, "move it away")
	})
	mustGrant(t, w.Ask(), tenMinutes)
	if err := os.Remove(w.dir + "/data/audit-index.db"); err != nil {
		t.Fatal(err)
	}
	w.Eventually("it is well as soon as it is moved away", func() bool { return w.Ready().Parts["audit_index"].Status == "ok" })
	w.Eventually("there is a receipt once more", find(0))
}
