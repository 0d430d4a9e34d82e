package index_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/testservice"
)

// postgres is the cluster of all tests that don't stop it.
var postgres testservice.SharedPostgres

func TestMain(m *testing.M) {
	code := m.Run()
	postgres.Close()
	os.Exit(code)
}

// start is when the tests' first record is made.
var start = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

// backend is a database of a test's own, which may be opened more than once at a time.
type backend struct {
	c        index.Config
	database *testservice.Database // nil for SQLite
}

// onEach runs a test on each backend.
func onEach(t *testing.T, f func(t *testing.T, b *backend)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { f(t, newSQLite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { f(t, newPostgres(t)) })
}

func newSQLite(t testing.TB) *backend {
	return &backend{c: index.Config{SQLite: filepath.Join(t.TempDir(), "data", "audit-index.db"), Log: slog.New(slog.DiscardHandler)}}
}

func newPostgres(t testing.TB) *backend {
	d := postgres.NewDatabase(t)
	return &backend{c: index.Config{Postgres: pool(t, d.URL), Log: slog.New(slog.DiscardHandler)}, database: d}
}

// pool is how the program reaches PostgreSQL, as far as it matters here: without prepared statements.
func pool(t testing.TB, url string) *pgxpool.Config {
	t.Helper()
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	c.ConnConfig.DefaultQueryExecMode, c.ConnConfig.StatementCacheCapacity, c.ConnConfig.DescriptionCacheCapacity = pgx.QueryExecModeExec, 0, 0
	return c
}

// open opens the index once more.
func (b *backend) open(t testing.TB, change ...func(*index.Config)) *index.Index {
	t.Helper()
	c := b.c
	for _, f := range change {
		f(&c)
	}
	i, err := index.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// fields are the members of a record.
type fields map[string]any

// logbook is a log without its files: records as the service writes them, and checkpoints of them.
type logbook struct {
	origin  string
	entries []audit.Entry
	at      time.Time
	tree    *compact.Range
	signer  note.Signer
	key     audit.PublicKey
}

// newLogbook begins a log of a replica.
func newLogbook(t testing.TB, replica string) *logbook {
	t.Helper()
	private, public, err := audit.NewSigningKey(rand.Reader, "sts.example/audit")
	if err != nil {
		t.Fatal(err)
	}
	l := &logbook{
		origin: "sts.example/audit/" + replica + "/00000000", at: start,
		tree: (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0),
	}
	if l.signer, err = note.NewSigner(private); err != nil {
		t.Fatal(err)
	}
	if l.key, err = audit.ParsePublicKey(public); err != nil {
		t.Fatal(err)
	}
	return l
}

// write writes a record, a millisecond after the one before, and returns its id.
func (l *logbook) write(t testing.TB, kind string, members fields) string {
	t.Helper()
	l.at = l.at.Add(time.Millisecond)
	eventID, err := exchange.NewID(l.at, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	members = maps.Clone(members)
	if members == nil {
		members = fields{}
	}
	members["type"], members["id"], members["time"], members["replica"] = kind, eventID, l.at, "sts-0"
	line, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	l.line(t, line)
	return eventID
}

// line writes a line.
func (l *logbook) line(t testing.TB, line []byte) {
	t.Helper()
	r, err := audit.Decode(line)
	if err != nil {
		r = audit.Record{Raw: line}
	}
	leaf := audit.LeafHash(line)
	l.entries = append(l.entries, audit.Entry{Record: r, Origin: l.origin, Index: uint64(len(l.entries)), Leaf: leaf})
	if err := l.tree.Append(leaf[:], nil); err != nil {
		t.Fatal(err)
	}
}

// exchange writes an exchange that was granted.
func (l *logbook) exchange(t testing.TB, subject string) string {
	t.Helper()
	return l.write(t, "exchange", exchangeOf(subject, len(l.entries)))
}

func exchangeOf(subject string, n int) fields {
	hash := fmt.Sprintf("%064x", n)
	return fields{
		"entrance": "form", "client": "kong", "peer": "192.0.2.7", "claimed": fields{"source": "198.51.100.9", "route": "chat", "request_id": strconv.Itoa(n)},
		"subject": fields{"id": "0197d0f8-0000-7000-8000-000000000001", "issuer": "https://idp.example", "sub": subject},
		"outcome": "granted", "rule": "analysts", "policy": hash, "principal": "reader", "application_id": "6f0d8c36-1111-2222-3333-444444444444",
		"workspace": "main", "scopes": []string{"all-apis"}, "expires_at": start.Add(time.Hour), "true_expires_at": start.Add(time.Hour), "bound": "token",
		"mint": "0197d0f8-0000-7000-8000-0000000000ff", "cache": "memory", "token_sha256": hash, "duration_us": 100,
		"subject_token": fields{"type": "jwt", "jti": "j" + strconv.Itoa(n), "sha256": hash},
	}
}

// checkpoint is of all records so far.
func (l *logbook) checkpoint(t testing.TB) audit.Checkpoint {
	t.Helper()
	root, err := l.tree.GetRootHash(nil)
	if err != nil {
		t.Fatal(err)
	}
	if root == nil {
		root = rfc6962.DefaultHasher.EmptyRoot()
	}
	c := audit.Checkpoint{Origin: l.origin, Size: l.tree.End(), Root: audit.Hash(root)}
	signed, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)}, l.signer)
	if err != nil {
		t.Fatal(err)
	}
	c.Note = string(signed)
	return c
}

// batch is the records [from, to), with a checkpoint of all that there are.
func (l *logbook) batch(t testing.TB, from, to int) index.Batch {
	t.Helper()
	return index.Batch{Origin: l.origin, Entries: l.entries[from:to], Checkpoint: l.checkpoint(t)}
}
