package main

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/exchange"
)

// auditedFolder holds a configuration, the key of its log, and a ledger.
func auditedFolder(t *testing.T) (path string, key audit.Key) {
	t.Helper()
	path, key, _ = auditFolder(t, "sqlite:sts.db")
	l, err := openLedger(t.Context(), loaded(t, path).Database)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return path, key
}

// auditFolder holds a configuration and the key of its log. It returns the path of the one, and the other with its public
// half.
func auditFolder(t *testing.T, database string) (path string, key audit.Key, public string) {
	t.Helper()
	private, public, err := audit.NewSigningKey(rand.Reader, "sts.example/audit")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, text := range map[string]string{"policy.yaml": "", "audit.key": private, "sts.yaml": `issuer: https://sts.example
listen: {http: 127.0.0.1:0, admin: 127.0.0.1:0}
database: ` + database + `
identity_providers:
  okta: {issuer: https://okta.example, audiences: [lakegate], token_types: [jwt]}
clients:
  kong:
    auth_method: client_secret_basic
    secret_sha256: [383bd1b11b3f1f631e962bc33de8f264ec5eb2b0fd8d2ca39a6e4547140bb411]
    identity_providers: [okta]
    authorized_parties: any
    audiences: [prod]
databricks:
  accounts:
    aws: {id: 11111111-2222-3333-4444-555555555555, host: https://accounts.example/}
policy: {files: [policy.yaml]}
audit: {directory: log, signing_key_file: audit.key}
`} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if key, err = audit.ParseKey(private); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, "sts.yaml"), key, public
}

func loaded(t *testing.T, path string) *config.Config {
	t.Helper()
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Commands of one host, one after the other and at once, write one log, of which the ledger knows.
func TestCommandLog(t *testing.T) {
	path, key := auditedFolder(t)
	cfg := loaded(t, path)
	ledger, err := openLedgerAsItIs(t.Context(), cfg.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ledger.Close() }()
	use := func(object string) {
		var said strings.Builder
		if err := recordCommand(context.Background(), cfg, ledger, &said, exchange.Admin{Action: "audit.search", Object: object}); err != nil || said.Len() > 0 {
			t.Errorf("%v %s", err, said.String())
		}
	}
	use("first")
	use("second")
	var together sync.WaitGroup
	for range 5 {
		together.Go(func() { use("together") })
	}
	together.Wait()

	registered, err := audit.NewLedgerWitness(ledger, key.Public()).All(t.Context())
	if err != nil || len(registered) != 1 || registered[0].Size != 8 || !strings.HasPrefix(registered[0].Origin, "sts.example/audit/cli-"+replica()+"/") {
		t.Errorf("registered: %+v, %v", registered, err)
	}
	if segments, err := filepath.Glob(filepath.Join(cfg.Audit.Directory, "*.jsonl")); err != nil || len(segments) != 1 {
		t.Errorf("%v, %v", segments, err)
	}
	if out, errs, code := command(t, "audit", "verify", "--all", "--config", path); code != 0 {
		t.Errorf("%d %s%s", code, out, errs)
	}
	for r, err := range audit.Read(cfg.Audit.Directory) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Admin != nil && (r.Admin.Entrance != "cli" || r.Admin.Claimed.Source == "" || r.Admin.Outcome != "granted") {
			t.Errorf("%+v", r.Admin)
		}
	}
}

// What can't be recorded is not done; and a ledger is not made in passing.
func TestCommandLogRefuses(t *testing.T) {
	path, _ := auditedFolder(t)
	cfg := loaded(t, path)
	if err := os.WriteFile(cfg.Audit.Directory, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ledger, err := openLedgerAsItIs(t.Context(), cfg.Database)
	if err != nil {
		t.Fatal(err)
	}
	if err := recordCommand(context.Background(), cfg, ledger, os.Stderr, exchange.Admin{Action: "audit.search"}); err == nil || !strings.Contains(err.Error(), "recording this command") {
		t.Error(err)
	}
	if err := ledger.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Database.SQLite += ".missing"
	if _, err := openLedgerAsItIs(t.Context(), cfg.Database); err == nil {
		t.Error("opened a ledger that is not there")
	}
	if _, err := os.Stat(cfg.Database.SQLite); err == nil {
		t.Error("made one")
	}
}
