package export_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/export"
	"github.com/lakegate/sts/exchange"
)

var start = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

var quietly = slog.New(slog.DiscardHandler)

// counter is randomness that can be foretold.
type counter struct {
	mu sync.Mutex
	n  uint32
}

func (c *counter) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	for i := range p {
		p[i] = byte(c.n >> (8 * (i % 4)))
	}
	return len(p), nil
}

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// ledger is one in memory. fail, if it is set, is asked before each Put, and says whether that fails, before or after it
// was done.
type ledger struct {
	mu      sync.Mutex
	last    uint64
	entries map[string]entry
	fail    func() (before, after bool)
}

type entry struct {
	value   []byte
	version uint64
}

var errInjected = errors.New("injected")

func (l *ledger) Get(_ context.Context, key string) ([]byte, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[key]
	return slices.Clone(e.value), e.version, nil
}

func (l *ledger) Put(_ context.Context, key string, value []byte, version uint64, _ time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var before, after bool
	if l.fail != nil {
		before, after = l.fail()
	}
	if before {
		return errInjected
	}
	if l.entries[key].version != version {
		return exchange.ErrConflict
	}
	if l.entries == nil {
		l.entries = map[string]entry{}
	}
	l.last++
	l.entries[key] = entry{slices.Clone(value), l.last}
	if after {
		return errInjected
	}
	return nil
}

// testKey is the same in every run.
func testKey() audit.Key {
	k, err := audit.NewKey(&counter{}, "sts.acme.example/audit")
	if err != nil {
		panic(err)
	}
	return k
}

// ids foretell the ids of events; they sort.
type ids struct{ n int }

func (i *ids) next() string {
	i.n++
	return fmt.Sprintf("01936f2e-0000-7000-8000-%012x", i.n)
}

// open opens a log in dir.
func open(t testing.TB, dir string, tweak func(*audit.Config)) *audit.Log {
	t.Helper()
	c := audit.Config{Directory: dir, Replica: "sts-0", Key: testKey(), Now: func() time.Time { return start }, Random: &counter{}, Log: quietly}
	if tweak != nil {
		tweak(&c)
	}
	l, err := audit.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

func closeLog(t testing.TB, l *audit.Log) {
	t.Helper()
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func record(t testing.TB, l *audit.Log, e *exchange.Event) {
	t.Helper()
	if err := l.Record(context.Background(), e); err != nil {
		t.Fatal(err)
	}
}

const subjectToken = "eyJhbGciOiJFUzI1NiJ9.SUBJECT-TOKEN.c2ln"

func ada() *exchange.Identity {
	return &exchange.Identity{
		Provider: "okta", Issuer: "https://acme.okta.example", Subject: "00u1",
		Groups: exchange.Groups{Known: true, Names: []string{"data-science", "staff"}},
		Claims: map[string]any{"department": "research"},
		Party:  "gateway-web", TokenType: exchange.TypeAccessToken, TokenID: "jti-1", TokenSHA256: sha256.Sum256([]byte(subjectToken)),
		IssuedAt: start.Add(-time.Minute), Expiry: start.Add(time.Hour),
	}
}

// granted is an exchange of who's that ended well.
func granted(id string, who *exchange.Identity) *exchange.Event {
	a := &exchange.Attempt{
		ID: id, Time: start,
		Call: &exchange.Call{
			Entrance: "form", Client: &exchange.Client{ID: "kong"},
			Source: exchange.Source{Peer: netip.MustParseAddr("10.0.0.7"), Claimed: exchange.Claimed{Source: "203.0.113.9", RequestID: "req-" + id[len(id)-2:]}},
		},
		Request: &exchange.Request{
			Subject: exchange.Presented{Token: exchange.Secret(subjectToken), Type: exchange.TypeAccessToken},
			Target:  exchange.Target{Workspace: "prod", Principal: "models"},
		},
		Subject: who,
		Decision: exchange.Decision{
			Grant: exchange.Grant{
				Workspace: "prod", Principal: "models", ApplicationID: "3f9c1c56-0000-4000-8000-00000000000a",
				Method: exchange.MethodFederation, Scopes: []string{"model-serving"}, Lifetime: 15 * time.Minute,
			},
			Rule: "scientists", Policy: "5d41402abc4b2a76b9719d911017c592",
		},
		Token: exchange.Token{
			TrueExpiry: start.Add(15 * time.Minute), Bound: exchange.BoundToken, Mint: "01936f2e-0000-7000-8000-0000000000ff",
			SHA256: sha256.Sum256([]byte("token")), Cache: exchange.CacheMemory,
		},
		ExpiresAt: start.Add(10 * time.Minute), Duration: 1234 * time.Microsecond,
	}
	return &exchange.Event{ID: id, Time: start, Exchange: a}
}

// loaded is a policy that was loaded: a record of its own each.
func loaded(id string) *exchange.Event {
	return &exchange.Event{ID: id, Time: start, Admin: &exchange.Admin{Action: "policy.load", Object: "digest of " + id}}
}

// still is a log that doesn't grow any more.
type still struct{ c audit.Checkpoint }

func (s still) Checkpoint() audit.Checkpoint { return s.c }

func (s still) Await(ctx context.Context, _ string, size uint64) (audit.Checkpoint, error) {
	if s.c.Size > size {
		return s.c, nil
	}
	<-ctx.Done()
	return s.c, ctx.Err()
}

// town is a directory of logs with what exports need beside it.
type town struct {
	t      testing.TB
	dir    string
	log    export.Log
	ledger *ledger
	clock  *clock
}

// newTown makes one whose log has these events, and is closed.
func newTown(t testing.TB, events ...*exchange.Event) *town {
	t.Helper()
	w := &town{t: t, dir: t.TempDir(), ledger: &ledger{}, clock: &clock{now: start}}
	l := open(t, w.dir, nil)
	for _, e := range events {
		record(t, l, e)
	}
	closeLog(t, l)
	w.log = still{l.Checkpoint()}
	return w
}

func (w *town) exports(list ...export.Export) *export.Exports {
	w.t.Helper()
	e, err := export.New(export.Config{
		Directory: w.dir, Log: w.log, Keys: audit.PublicKeys{testKey().Public()}, Ledger: w.ledger, Exports: list,
		Retry: export.Retry{Least: time.Millisecond, Most: time.Millisecond, Refused: time.Millisecond},
		Now:   w.clock.Now, Slog: quietly,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// run sends all that there is, and returns what went wrong: there is no second try.
func (w *town) run(d export.Destination) error {
	return w.exports(export.Export{Name: "test", Destination: d}).Finish(w.t.Context())
}

// ids are those of all records in the directory, in the order of their log.
func (w *town) ids() []string {
	w.t.Helper()
	var list []string
	for r, err := range audit.Read(w.dir) {
		if err != nil {
			w.t.Fatal(err)
		}
		list = append(list, r.ID)
	}
	return list
}

// idsOf are those of lines.
func idsOf(t testing.TB, text string) []string {
	t.Helper()
	var list []string
	for line := range strings.Lines(text) {
		var r struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || !strings.HasSuffix(line, "\n") {
			t.Fatalf("%q is no record: %v", line, err)
		}
		list = append(list, r.ID)
	}
	return list
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(paths) == 0 {
		t.Fatal("no segments", err)
	}
	return paths
}

// eventually waits for what another goroutine does.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
