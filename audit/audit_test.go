package audit_test

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/exchange"
)

var start = time.Date(2026, 11, 24, 10, 0, 0, 123456789, time.UTC)

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

// counter is randomness that can be foretold.
type counter struct{ n uint32 }

func (c *counter) Read(p []byte) (int, error) {
	c.n++
	for i := range p {
		p[i] = byte(c.n >> (8 * (i % 4)))
	}
	return len(p), nil
}

// testKey is the same in every run.
func testKey() audit.Key {
	k, err := audit.NewKey(&counter{}, "sts.acme.example/audit")
	if err != nil {
		panic(err)
	}
	return k
}

var quiet = slog.New(slog.DiscardHandler)

// open opens a log in dir with a clock that stands at start, closed at the test's end.
func open(t testing.TB, dir string, tweak func(*audit.Config)) (*audit.Log, *clock) {
	t.Helper()
	c := &clock{now: start}
	config := audit.Config{Directory: dir, Replica: "sts-0", Key: testKey(), Now: c.Now, Random: &counter{}, Log: quiet}
	if tweak != nil {
		tweak(&config)
	}
	l, err := audit.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l, c
}

// read returns the records of a directory, all of which must be sound, but for those that segments begin with.
func read(t testing.TB, dir string) []audit.Record {
	t.Helper()
	var records []audit.Record
	for r, err := range audit.Read(dir) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Type != "segment" {
			records = append(records, r)
		}
	}
	return records
}

// crashed is a copy of a log's directory as a process that ended on the spot leaves it.
func crashed(t testing.TB, dir string) string {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return copied
}

func types(records []audit.Record) []string {
	var list []string
	for _, r := range records {
		list = append(list, r.Type)
	}
	return list
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

const (
	subjectToken   = "eyJhbGciOiJFUzI1NiJ9.SUBJECT-TOKEN.c2ln"
	databricksText = "dapi-DATABRICKS-TOKEN"
	decisionID     = "01936f2e-0000-7000-8000-000000000001"
	mintID         = "01936f2e-0000-7000-8000-000000000002"
	policyDigest   = "5d41402abc4b2a76b9719d911017c592"
)

func alice() *exchange.Identity {
	return &exchange.Identity{
		Provider: "okta", Issuer: "https://acme.okta.example", Subject: "00u1",
		Groups: exchange.Groups{Known: true, Names: []string{"data-science", "staff"}},
		Claims: map[string]any{
			"department": "research", "level": int64(7), "ratio": 0.25, "nested": map[string]any{"b": []any{true, nil}, "a": "x"},
			"email": "alice@acme.example", "unread": "NOT-RECORDED",
		},
		Party: "gateway-web", TokenType: exchange.TypeAccessToken, TokenID: "jti-1", TokenSHA256: sha256.Sum256([]byte(subjectToken)),
		IssuedAt: start.Add(-time.Minute).Truncate(time.Second), Expiry: start.Add(time.Hour).Truncate(time.Second),
	}
}

func grant() exchange.Grant {
	return exchange.Grant{
		Workspace: "prod", Principal: "models", Account: "aws", Host: "https://dbc.cloud.databricks.example",
		ApplicationID: "3f9c1c56-0000-4000-8000-00000000000a", Method: exchange.MethodFederation, Credential: "generation-1",
		Scopes: []string{"model-serving", "sql"},
		Details: exchange.Details{{
			Type: "workspace_permission", ObjectType: "serving-endpoints", ObjectPath: "/serving-endpoints/1", Actions: []string{"query_inference_endpoint"},
		}},
		Lifetime: 15 * time.Minute,
	}
}

// granted is an attempt that ended well, for who.
func granted(who *exchange.Identity, token string) *exchange.Attempt {
	return &exchange.Attempt{
		ID: decisionID, Time: start,
		Call: &exchange.Call{
			Entrance: "form", Client: &exchange.Client{ID: "kong"},
			Source: exchange.Source{
				Peer:    netip.MustParseAddr("10.0.0.7"),
				Claimed: exchange.Claimed{Source: "203.0.113.9", Route: "models", RequestID: "req-1"},
			},
			Params: exchange.Params{SubjectToken: exchange.Secret(subjectToken)},
		},
		Request: &exchange.Request{
			Subject: exchange.Presented{Token: exchange.Secret(subjectToken), Type: exchange.TypeAccessToken},
			Target:  exchange.Target{Workspace: "prod", Principal: "models"},
		},
		Subject: who,
		Decision: exchange.Decision{
			Grant: grant(), Rule: "scientists", Policy: policyDigest, ReadsClaims: []string{"department", "level", "absent"},
		},
		Token: exchange.Token{
			Text: exchange.Secret(token), Scopes: []string{"model-serving", "sql"}, TrueExpiry: start.Add(15 * time.Minute).Truncate(time.Second),
			Bound: exchange.BoundToken, Mint: mintID, SHA256: sha256.Sum256([]byte(token)), Cache: exchange.CacheMinted,
		},
		ExpiresAt: start.Add(10 * time.Minute).Truncate(time.Second),
		Duration:  1234567 * time.Nanosecond,
	}
}

func exchangeEvent(a *exchange.Attempt) *exchange.Event {
	return &exchange.Event{ID: a.ID, Time: a.Time, Exchange: a}
}

func mustRecord(t testing.TB, l *audit.Log, e *exchange.Event) {
	t.Helper()
	if err := l.Record(context.Background(), e); err != nil {
		t.Fatal(err)
	}
}

func mustClose(t testing.TB, l *audit.Log) {
	t.Helper()
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func readAll(t testing.TB, dir string) string {
	t.Helper()
	var all []byte
	for _, path := range segments(t, dir) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return string(all)
}
