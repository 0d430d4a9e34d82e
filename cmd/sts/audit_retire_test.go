package main

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/exchange"
)

// A log that is gone fails verify --all until somebody says that it is gone for good; no other is excused by that, and
// neither is one that goes on.
func TestAuditRetire(t *testing.T) {
	path, key := auditedFolder(t)
	cfg := loaded(t, path)
	ledger, err := openLedgerAsItIs(t.Context(), cfg.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ledger.Close() }()
	elsewhere := t.TempDir()
	origins := map[string]string{}
	write := func(replica string) {
		l, err := audit.Open(audit.Config{
			Directory: elsewhere, Replica: replica, Key: key, Log: slog.New(slog.DiscardHandler),
			Witnesses: []audit.Witness{audit.NewLedgerWitness(ledger, key.Public())},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Record(context.Background(), &exchange.Event{ID: "x", Time: now(), Admin: &exchange.Admin{Action: "note"}}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		origins[replica] = l.Checkpoint().Origin
	}
	write("pod-a")
	write("pod-b")
	verify := func(want int, texts ...string) {
		t.Helper()
		out, errs, code := command(t, "audit", "verify", "--all", "--config", path)
		for _, text := range texts {
			if !strings.Contains(out, text) {
				t.Errorf("%q is not in %s", text, out)
			}
		}
		if code != want {
			t.Errorf("%d %s%s", code, out, errs)
		}
	}
	if err := os.MkdirAll(cfg.Audit.Directory, 0o700); err != nil {
		t.Fatal(err)
	}
	missing := "WRONG: %s: the log is missing, with 2 records or more"
	of := func(replica string) string { return strings.ReplaceAll(missing, "%s", origins[replica]) }
	verify(exitFault, of("pod-a"), of("pod-b"))

	for _, test := range []struct {
		origin, reason, says string
		code                 int
	}{
		{"sts.example/audit/pod-x/00000000", "typo", "there never was a log", exitFault},
		{origins["pod-a"], "two\nlines", "the reason must be one line", exitFault},
		{origins["pod-a"], "", "the reason must be one line", exitFault},
		{origins["pod-a"], "node drained, no volume", "", 0},
		{origins["pod-a"], "again", "has been retired already", exitFault},
	} {
		if _, errs, code := command(t, "audit", "retire", test.origin, "--reason", test.reason, "--config", path); code != test.code || !strings.Contains(errs, test.says) {
			t.Errorf("%+v: %d %s", test, code, errs)
		}
	}
	verify(exitFault, "retired: "+origins["pod-a"]+", with 2 records, by ", ": node drained, no volume", of("pod-b"))
	if _, errs, code := command(t, "audit", "retire", origins["pod-b"], "--reason", "the same", "--config", path); code != 0 {
		t.Error(errs)
	}
	verify(0, "retired: "+origins["pod-a"], "retired: "+origins["pod-b"])

	retired := 0
	for r, err := range audit.Read(cfg.Audit.Directory) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Admin != nil && r.Admin.Action == "audit.retire" && r.Admin.Object == origins["pod-a"] && r.Admin.Detail == "node drained, no volume" {
			retired++
		}
	}
	if retired != 1 {
		t.Errorf("recorded %d times", retired)
	}

	write("pod-b") // which lives after all
	verify(exitFault, "it was retired with 2, and went on since")
	if out, errs, code := command(t, "audit", "verify", elsewhere, cfg.Audit.Directory, "--all", "--config", path); code != 0 || strings.Contains(out, "WRONG") {
		t.Errorf("%d %s%s", code, out, errs) // all are there
	}

	// Nobody without the key can retire a log.
	text, version, err := ledger.Get(t.Context(), "audit/retired/"+origins["pod-b"])
	if err != nil {
		t.Fatal(err)
	}
	forged := strings.Replace(string(text), "\n2\n", "\n9\n", 1)
	if err := ledger.Put(t.Context(), "audit/retired/"+origins["pod-b"], []byte(forged), version, now().AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := command(t, "audit", "verify", "--all", "--config", path); code != exitFault || !strings.Contains(errs, "not signed by") {
		t.Errorf("%d %s", code, errs)
	}
}
