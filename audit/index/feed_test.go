package index_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/testservice"
)

// replica is a log on disk and who feeds the index from it.
type replica struct {
	t      *testing.T
	key    audit.Key
	dir    string
	name   string
	said   *said
	now    func() time.Time
	log    *audit.Log
	feeder *index.Feeder
	// callers are verified once.
	callers []*exchange.Identity
}

// said is what the log and the feeder say, each from goroutines of its own.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func newReplica(t *testing.T, name string) *replica {
	t.Helper()
	key, err := audit.NewKey(rand.Reader, "sts.example/audit")
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{t: t, key: key, dir: t.TempDir(), name: name, said: new(said), now: time.Now}
	for n := range 3 {
		r.callers = append(r.callers, &exchange.Identity{Issuer: "https://idp.example", Subject: fmt.Sprint("user-", n)})
	}
	return r
}

// start opens the log, with segments of some records.
func (r *replica) start(i *index.Index) {
	r.t.Helper()
	logger := slog.New(slog.NewTextHandler(r.said, nil))
	var err error
	r.log, err = audit.Open(audit.Config{Directory: r.dir, Replica: r.name, Key: r.key, SegmentBytes: 4 << 10, Log: logger, Now: r.now})
	if err != nil {
		r.t.Fatal(err)
	}
	r.feeds(i, r.log)
}

// feeds makes the feeder, of a directory whose log somebody writes or nobody.
func (r *replica) feeds(i *index.Index, log *audit.Log) {
	r.t.Helper()
	var err error
	r.feeder, err = index.NewFeeder(index.FeederConfig{
		Index: i, Directory: r.dir, Log: log, Keys: audit.PublicKeys{r.key.Public()}, Now: r.now, Logger: slog.New(slog.NewTextHandler(r.said, nil)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// run runs the feeder, until it is ended.
func (r *replica) run() (end func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.feeder.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// stop closes the log, and brings in what is left.
func (r *replica) stop() {
	r.t.Helper()
	if err := r.log.Close(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	if err := r.feeder.CatchUp(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// grant records exchanges of some callers, so that most are repeats.
func (r *replica) grant(n int) (ids []string) {
	r.t.Helper()
	for at := range n {
		eventID, err := exchange.NewID(r.now(), rand.Reader)
		if err != nil {
			r.t.Fatal(err)
		}
		identity := r.callers[at%len(r.callers)]
		a := &exchange.Attempt{
			ID:       eventID,
			Call:     &exchange.Call{Entrance: "form", Client: &exchange.Client{ID: "kong"}},
			Request:  &exchange.Request{Subject: exchange.Presented{Type: exchange.TypeJWT}},
			Subject:  identity,
			Decision: exchange.Decision{Rule: "analysts", Policy: "p", Grant: exchange.Grant{Principal: "reader", Workspace: "main"}},
		}
		a.Token.SHA256 = sha256.Sum256([]byte(identity.Subject))
		if err := r.log.Record(r.t.Context(), &exchange.Event{ID: eventID, Time: r.now(), Exchange: a}); err != nil {
			r.t.Fatal(err)
		}
		ids = append(ids, eventID)
	}
	return ids
}

// hasAll checks that the index has all that is in the directories, each record once; and that each has a receipt.
func hasAll(t *testing.T, i *index.Index, replicas ...*replica) {
	t.Helper()
	want := map[string]string{}
	for _, r := range replicas {
		for e, err := range audit.Read(r.dir) {
			if err != nil {
				t.Fatal(err)
			}
			want[e.ID] = string(e.Raw)
		}
	}
	all := everything(t, i)
	for n := range all {
		if want[all[n].ID] != string(all[n].Raw) {
			t.Errorf("the index has %s, and no log", all[n].Raw)
		}
		delete(want, all[n].ID)
		if e := &all[n]; e.Repeat != nil && (e.Exchange == nil || e.Exchange.Principal != "reader") {
			t.Errorf("a repeat that is not whole: %s", e.Raw)
		}
		if n%7 == 0 {
			if _, err := i.Receipt(t.Context(), all[n].ID); err != nil {
				t.Errorf("%s: %v", all[n].Raw, err)
			}
		}
	}
	for _, line := range want {
		t.Errorf("the index lacks %s", line)
	}
}

// The index gets what is written, over restarts of either, and goes on where it was.
func TestFeeder(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		r := newReplica(t, "sts-0")
		for range 3 {
			i := b.open(t)
			r.start(i)
			end := r.run()
			ids := r.grant(60)
			until(t, func() bool { _, err := i.Find(t.Context(), ids[59]); return err == nil })
			r.grant(5) // perhaps too late for Run
			end()
			if err := r.feeder.Health(); err != nil {
				t.Error(err)
			}
			r.stop()
			hasAll(t, i, r)
		}
		i := b.open(t)
		page, err := i.Search(t.Context(), index.Query{PageSize: 1000, Terms: []index.Term{{Field: index.FieldSubject, Value: "user-1"}, {Field: index.FieldType, Value: "exchange"}}})
		if err != nil || len(page.Events) != 3*(20+2) {
			t.Errorf("%d %v", len(page.Events), err)
		}
	})
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it took longer than 30 s")
		}
	}
}

// Logs of others in the directory are fed, too: one that was given up, with what no checkpoint covers; and one of another
// name.
func TestFeederTakesAllLogs(t *testing.T) {
	t.Parallel()
	i := newSQLite(t).open(t)
	r := newReplica(t, "sts-0")
	r.start(i)
	r.grant(20)
	r.stop()
	if err := os.Remove(filepath.Join(r.dir, "sts-0.checkpoint")); err != nil { // which a start takes for an attack
		t.Fatal(err)
	}
	other := *r
	other.name = "cli-host"
	other.start(i)
	other.grant(10)
	if err := other.log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh := newSQLite(t).open(t)
	r.start(fresh)
	r.grant(20)
	r.stop()
	ids := map[string]bool{}
	for e, err := range audit.Read(r.dir) {
		if err != nil {
			t.Fatal(err)
		}
		ids[e.ID] = true
	}
	all := everything(t, fresh)
	if len(all) != len(ids) {
		t.Errorf("%d of %d records", len(all), len(ids))
	}
	logs := map[string]bool{}
	for n := range all {
		logs[all[n].Origin] = true
	}
	if len(logs) != 3 {
		t.Errorf("logs %v", logs)
	}
}

// What retention dropped before it was fed is told, and what comes then has its receipts all the same.
func TestFeederSkipsWhatIsDropped(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		r := newReplica(t, "sts-0")
		i := b.open(t)
		r.start(i)
		r.grant(30)
		until(t, func() bool { return r.log.Checkpoint().Size >= 20 })
		if err := r.feeder.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.grant(150)
		if err := r.log.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(r.dir, "*.jsonl"))
		if err != nil || len(files) < 8 {
			t.Fatal(files, err)
		}
		for _, path := range files[:len(files)-3] {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := r.feeder.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if !strings.Contains(r.said.String(), "past their retention and were never in the index") {
			t.Errorf("said: %s", r.said)
		}
		newest, seen := 0, 0
		for e, err := range audit.Read(r.dir) {
			if err != nil {
				t.Fatal(err)
			}
			newest++
			receipt, err := i.Receipt(t.Context(), e.ID)
			if err != nil {
				t.Errorf("%s: %v", e.Raw, err)
				continue
			}
			if _, err := r.key.Public().OpenReceipt(receipt.Text()); err == nil {
				seen++
			}
		}
		if seen != newest || newest == 0 {
			t.Errorf("%d of %d have receipts", seen, newest)
		}
		if err := r.feeder.Health(); err != nil {
			t.Error(err)
		}
	})
}

// A PostgreSQL that is away for a while, killed under the feeder, loses nothing and doubles nothing.
func TestFeederOutlastsOutages(t *testing.T) {
	t.Parallel()
	cluster := testservice.NewPostgres(t)
	d := cluster.NewDatabase(t)
	r := newReplica(t, "sts-0")
	i, err := index.New(index.Config{Postgres: pool(t, d.URL), Log: slog.New(slog.DiscardHandler)}) // nobody has opened it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	cluster.Stop()
	r.start(i)
	end := r.run()
	defer end()
	r.grant(20)
	until(t, func() bool { return r.feeder.Health() != nil })
	for range 2 {
		if err := cluster.Start(); err != nil {
			t.Fatal(err)
		}
		r.grant(200)
		until(t, func() bool { return r.feeder.Health() == nil })
		r.grant(200)
		if err := cluster.Crash(); err != nil {
			t.Fatal(err)
		}
		r.grant(100)
		until(t, func() bool { return r.feeder.Health() != nil })
	}
	if err := cluster.Start(); err != nil {
		t.Fatal(err)
	}
	last := r.grant(1)[0]
	until(t, func() bool { _, err := i.Find(t.Context(), last); return err == nil })
	until(t, func() bool { return r.feeder.Health() == nil })
	end()
	r.stop()
	hasAll(t, i, r)
}

// A log that has become shorter than what the index has of it is told.
func TestFeederTellsShorterLogs(t *testing.T) {
	t.Parallel()
	i := newSQLite(t).open(t)
	r := newReplica(t, "sts-0")
	r.start(i)
	r.grant(10)
	backup := t.TempDir()
	if err := r.log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(backup, os.DirFS(r.dir)); err != nil {
		t.Fatal(err)
	}
	r.start(i)
	r.grant(30)
	r.stop()
	r.dir = backup
	r.start(i)
	if err := r.feeder.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.feeder.Health(); err == nil || !strings.Contains(err.Error(), "cut short, or is from a backup") {
		t.Errorf("%v", err)
	}
	r.stop()
}

// removeOldest removes the oldest segments of a directory, as retention does.
func removeOldest(t *testing.T, dir string, n int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) <= n {
		t.Fatal(files, err)
	}
	for _, path := range files[:n] {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
