package databricks_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/databricks"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator"
	emulated "github.com/lakegate/sts/internal/emulator/databricks"
	"github.com/lakegate/sts/internal/outbound"
)

const volume = "/Volumes/main/security/sts"

// recorder keeps events, unless it is told not to.
type recorder struct {
	mu     sync.Mutex
	events []exchange.Event
	err    error
}

func (r *recorder) Record(_ context.Context, e *exchange.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.events = append(r.events, *e)
	}
	return r.err
}

func (*recorder) RecordFailure(exchange.Failure) string { return "" }

// lake is a workspace with a volume, and one who writes it.
type lake struct {
	*emulated.Server
	*recorder
	volume *databricks.Volume
	grant  exchange.Grant
	later  time.Duration
}

func newLake(t *testing.T) *lake {
	t.Helper()
	l := &lake{recorder: &recorder{}}
	clock := func() time.Time { return now.Add(l.later) }
	signer, keys := newRealSigner(t)
	var err error
	l.Server, err = emulated.New(emulated.Config{
		AccountID: accountID, Now: clock,
		Principals: []emulated.Principal{{
			ApplicationID: applicationID, Policies: []emulated.FederationPolicy{{Issuer: settings().Federation.Issuer, JWKSJSON: keys}},
		}},
		Volumes: []emulated.Volume{{Path: volume, Write: []string{applicationID}}, {Path: "/Volumes/main/security/other"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	m, _ := newMinter(t, func(c *databricks.Config) { c.Signer, c.Now = signer, clock })
	l.grant = grant(l.URL(), exchange.MethodFederation)
	l.grant.Scopes, l.grant.Lifetime = []string{"files"}, 10*time.Minute
	own, err := databricks.NewOwn(databricks.OwnConfig{
		Minter: m, Recorder: l.recorder, Grant: func() (exchange.Grant, error) { return l.grant, nil }, Now: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	l.volume = &databricks.Volume{Folder: volume + "/audit", Own: own, HTTP: outbound.New(outbound.Config{Timeout: time.Minute})}
	return l
}

// Files are written as wholes, over those of their name, with one token until near its end; each mint is on record.
func TestUpload(t *testing.T) {
	l := newLake(t)
	t.Setenv("DATABRICKS_HOST", "https://elsewhere.example") // of which the SDK must know nothing
	t.Setenv("DATABRICKS_TOKEN", "another")
	up := func(name, content string) {
		t.Helper()
		if err := l.volume.Upload(t.Context(), name, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	large := strings.Repeat("0123456789abcde\n", 1<<17)
	up("a.jsonl", "one\n")
	up("a.jsonl", "two\n")
	up("b.jsonl", large)
	if diff := cmp.Diff(map[string]string{volume + "/audit/a.jsonl": "two\n", volume + "/audit/b.jsonl": large}, l.Files(volume)); diff != "" {
		t.Errorf("files (-want +got):\n%.500s", diff)
	}
	if n := l.Mints(""); n != 1 {
		t.Errorf("%d mints", n)
	}
	for _, call := range l.Calls() {
		if call.Route != emulated.TokenRoute && call.Route != emulated.UploadRoute {
			t.Errorf("it asked for %s %s", call.Method, call.Path)
		}
	}
	l.later = 9*time.Minute + 16*time.Second
	up("c.jsonl", "three\n")
	if n := l.Mints(""); n != 2 {
		t.Errorf("%d mints near the end", n)
	}
	for i := range l.events {
		m := l.events[i].Mint
		if m == nil || m.Cause != exchange.CauseExport || m.Err != nil || m.Grant.Principal != "models" || m.Token.SHA256 == ([32]byte{}) {
			t.Errorf("recorded %+v", l.events[i])
		}
	}
	if len(l.events) != 2 {
		t.Errorf("%d records", len(l.events))
	}
}

// What goes wrong is told by kind, and tells nothing else.
func TestUploadsThatFail(t *testing.T) {
	const unavailable, upstream = exchange.CodeUnavailable, exchange.CodeUpstream
	for _, c := range []struct {
		name  string
		spoil func(l *lake)
		code  exchange.Code
		says  string
	}{
		{"no volume", func(l *lake) { l.volume.Folder = "/Volumes/main/none/sts" }, upstream, "no such volume"},
		{"not its volume", func(l *lake) { l.volume.Folder = "/Volumes/main/security/other" }, upstream, "WRITE VOLUME"},
		{"not its scope", func(l *lake) { l.grant.Scopes = []string{"sql"} }, upstream, "the scope files"},
		{"busy", func(l *lake) { fault(l, emulator.Fault{Route: emulated.UploadRoute, Status: 429}) }, unavailable, "just now"},
		{"broken", func(l *lake) { fault(l, emulator.Fault{Route: emulated.UploadRoute, Status: 500}) }, unavailable, "just now"},
		{"away", func(l *lake) { fault(l, emulator.Fault{Route: emulated.UploadRoute, Hangup: true}) }, unavailable, "can't be reached"},
		{"minting is away", func(l *lake) { fault(l, emulator.Fault{Route: emulated.TokenRoute, Status: 503}) }, unavailable, "can't mint"},
		{"no principal", func(l *lake) { l.RemovePrincipal(applicationID) }, upstream, "service principal"},
		{"by a secret", func(l *lake) { l.grant.Method = exchange.MethodClientSecret }, exchange.CodeInternal, "client_secret"},
		{"no record", func(l *lake) { l.err = errors.New("disk full") }, unavailable, "audit log"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLake(t)
			c.spoil(l)
			err := l.volume.Upload(t.Context(), "a.jsonl", []byte("one\n"))
			var e *exchange.Error
			if !errors.As(err, &e) || e.Code != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v", err)
			}
			if len(l.Files(volume)) > 0 {
				t.Error("a file is there")
			}
		})
	}
}

func fault(l *lake, f emulator.Fault) { l.AddFault(f) }

// A token that the workspace does not take any more is replaced by a new one.
func TestATokenThatIsRefusedIsForgotten(t *testing.T) {
	l := newLake(t)
	if err := l.volume.Upload(t.Context(), "a.jsonl", []byte("one\n")); err != nil {
		t.Fatal(err)
	}
	l.AddFault(emulator.Fault{Route: emulated.UploadRoute, Status: http.StatusUnauthorized, Times: 1})
	var e *exchange.Error
	if err := l.volume.Upload(t.Context(), "a.jsonl", []byte("one\n")); !errors.As(err, &e) || e.Code != exchange.CodeUnavailable {
		t.Fatalf("error %v", err)
	}
	if err := l.volume.Upload(t.Context(), "a.jsonl", []byte("one\n")); err != nil || l.Mints("") != 2 {
		t.Errorf("%v after %d mints", err, l.Mints(""))
	}
}
