package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/exchange"
)

// aLog makes a log of three records and a header, and the file of the key that verifies it.
func aLog(t *testing.T) (dir, keyFile string, newest audit.Checkpoint) {
	t.Helper()
	key, err := audit.NewKey(rand.Reader, "sts.example/audit")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	l, err := audit.Open(audit.Config{Directory: dir, Replica: "sts-0", Key: key, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"one", "two", "three"} {
		if err := l.Record(t.Context(), &exchange.Event{ID: id, Time: time.Now(), Admin: &exchange.Admin{Action: "note"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	keyFile = filepath.Join(t.TempDir(), "audit.pub")
	if err := os.WriteFile(keyFile, []byte(key.Public().String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, keyFile, l.Checkpoint()
}

// command runs the program, and returns what it prints and its exit code.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, &out, &errs)
	return out.String(), errs.String(), code
}

// Whoever edits a log must not reach the terminal of who verifies it.
func TestAuditVerifyShowsNoControls(t *testing.T) {
	dir, key, _ := aLog(t)
	segments, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	text, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segments[0], bytes.Replace(text, []byte(`"id":"two"`), []byte(`"id":"\u001b[1A\u001b[2K"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, code := command(t, "audit", "verify", dir, "--key", key)
	if code != 1 || !strings.Contains(out, `id \u001b[1A`) || strings.Contains(out, "\x1b") {
		t.Errorf("%d %q", code, out)
	}
}

func TestAuditVerify(t *testing.T) {
	dir, key, newest := aLog(t)
	if out, errs, code := command(t, "audit", "verify", dir, "--key", key); code != 0 || !strings.Contains(out, newest.Origin+"  1         4        4") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	out, _, code := command(t, "audit", "verify", dir, "--key", key, "-o", "json")
	var machine struct {
		Logs []struct {
			Origin          string
			Records, Proven int
		}
		Faults []any
	}
	if err := json.Unmarshal([]byte(out), &machine); err != nil || code != 0 || len(machine.Logs) != 1 || machine.Logs[0].Proven != 4 || len(machine.Faults) != 0 {
		t.Errorf("%d %v %s", code, err, out)
	}

	// A checkpoint that was kept elsewhere is of a log that is not here.
	kept := filepath.Join(t.TempDir(), "checkpoint")
	if err := os.WriteFile(kept, []byte(newest.Note), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := command(t, "audit", "verify", dir, "--key", key, "--checkpoint", kept); code != 0 {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if out, _, code := command(t, "audit", "verify", t.TempDir(), "--key", key, "--checkpoint", kept); code != exitFault || !strings.Contains(out, "the log is missing, with 4 records or more") {
		t.Errorf("%d %s", code, out)
	}

	segment, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(segment) != 1 {
		t.Fatal(segment, err)
	}
	text, err := os.ReadFile(segment[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segment[0], bytes.Replace(text, []byte(`"id":"two"`), []byte(`"id":"TWO"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := command(t, "audit", "verify", dir, "--key", key)
	if code != exitFault || !strings.Contains(out, ":3: byte ") || !strings.Contains(out, "record 2, id TWO: it is not as it was written") || !strings.Contains(errs, "1 of 1 logs") {
		t.Errorf("%d %s%s", code, out, errs)
	}
}

func TestAuditReceipt(t *testing.T) {
	dir, key, _ := aLog(t)
	out, errs, code := command(t, "audit", "receipt", dir, "two", "--key", key)
	if code != 0 || !strings.HasPrefix(out, "c2sp.org/tlog-proof@v1\n") {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	path := filepath.Join(t.TempDir(), "two.tlog-proof")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(out)
	proven, errs, code := command(t, "audit", "verify", "--receipt", path, "--key", key)
	if code != 0 || !strings.Contains(proven, "proven: record 2 of sts.example/audit/sts-0/") || !strings.Contains(proven, `"id":"two"`) {
		t.Errorf("%d %s%s", code, proven, errs)
	}
	write(strings.Replace(out, "index 2", "index 1", 1))
	if _, errs, code := command(t, "audit", "verify", "--receipt", path, "--key", key); code != exitFault || !strings.Contains(errs, "does not prove its record") {
		t.Errorf("%d %s", code, errs)
	}
	if _, errs, code := command(t, "audit", "receipt", dir, "four", "--key", key); code != exitFault || !strings.Contains(errs, "no record with the id four") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestAuditUsage(t *testing.T) {
	for _, args := range []string{
		"audit", "audit verify", "audit verify DIR", "audit verify DIR --key k --all", "audit verify DIR --key k -o yaml", "audit verify --key k",
		"audit receipt DIR", "audit receipt DIR ID", "audit key",
	} {
		if _, _, code := command(t, strings.Fields(args)...); code != exitUsage {
			t.Errorf("sts %s: %d", args, code)
		}
	}
}

// What needs nothing of the database does without it.
func TestAuditWithoutTheDatabase(t *testing.T) {
	config, key, public := auditFolder(t, "sqlite:policy.yaml/not-a-folder")
	dir := filepath.Join(filepath.Dir(config), "log")
	l, err := audit.Open(audit.Config{Directory: dir, Replica: "sts-0", Key: key, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Record(t.Context(), &exchange.Event{ID: "one", Time: time.Now(), Admin: &exchange.Admin{Action: "note"}}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := command(t, "audit", "key", "--config", config); code != 0 || strings.TrimSpace(out) != public {
		t.Errorf("%d %s%s", code, out, errs)
	}
	for _, args := range [][]string{{"verify"}, {"receipt", dir, "one"}} {
		if out, errs, code := command(t, append(append([]string{"audit"}, args...), "--config", config)...); code != 0 {
			t.Errorf("%s: %d %s%s", args, code, out, errs)
		}
	}
	if out, _, code := command(t, "audit", "verify", "--all", "--config", config); code != exitFault {
		t.Errorf("--all: %d %s", code, out)
	}

	// A key that was replaced is named beside the one that took its place.
	_, other, err := audit.NewSigningKey(rand.Reader, "sts.example/audit")
	if err != nil {
		t.Fatal(err)
	}
	if out, errs, code := command(t, "audit", "verify", dir, "--key", other, "--key", public); code != 0 {
		t.Errorf("%d %s%s", code, out, errs)
	}
}
