package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lakegate/sts/exchange"
)

// TestRowI09 holds that a panic is a 500 in our own words, and recorded. Programs under test panic at one token text.
func TestRowI09(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.Ask(token("panic, please"))
	mustRefuse(t, a, http.StatusInternalServerError, "server_error", exchange.ReasonInternal)
	if got := w.Exchange(a.DecisionID); got.Outcome != "failed" || got.Reason != "internal" || got.Client != "kong" {
		t.Errorf("recorded as %+v", got)
	}
	mustGrant(t, w.Ask(), tenMinutes)
}

// TestRowI10 fills the disk under the audit log: no token, an answer that says so, and recovery without help. The disk is
// a small tmpfs of the service's own, in a mount namespace that only it and its files are in.
func TestRowI10(t *testing.T) {
	t.Parallel()
	w := prepareWorld(t)
	if err := os.MkdirAll(filepath.Join(w.dir, "data", "audit"), 0o700); err != nil {
		t.Fatal(err)
	}
	mount := fmt.Sprintf("mount -t tmpfs -o size=256k tmpfs %q && exec %q serve --config sts.yaml",
		filepath.Join(w.dir, "data", "audit"), program)
	w.command = func() *exec.Cmd { return exec.Command("unshare", "-Urm", "sh", "-c", mount) }
	w.Start()
	w.auditDir = filepath.Join(fmt.Sprintf("/proc/%d/root", w.sts.cmd.Process.Pid), w.dir, "data", "audit")

	ada := w.lasting("ada", "data-eng")
	mustGrant(t, w.Ask(token(ada)), tenMinutes)
	filler := filepath.Join(w.auditDir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the small disk took a megabyte")
	}
	a := w.Ask(token(ada))
	for range 100 { // the last block of the log may still have room for a few
		if a.Status != http.StatusOK {
			break
		}
		a = w.Ask(token(ada))
	}
	mustRefuse(t, a, http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonAuditUnavailable)
	wantRetryAfter(t, a)
	if ready := w.Ready(); ready.Status == "ok" {
		t.Errorf("/readyz says %+v", ready)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.Eventually("there is room again", func() bool { return w.Ask(token(ada)).Status == http.StatusOK })
	again := w.Ask(token(ada))
	mustGrant(t, again, tenMinutes)
	if got := w.Exchange(again.DecisionID); got.Outcome != "granted" {
		t.Errorf("recorded as %+v", got)
	}
	w.Eventually("it says so", func() bool { return w.Ready().Status == "ok" })
}
