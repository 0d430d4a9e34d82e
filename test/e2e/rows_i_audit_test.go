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
	eachEntrance(t, newWorld(t), "I09", func(t *testing.T, w *world) {
		a := w.Ask(token("panic, please"))
		mustRefuse(t, a, http.StatusInternalServerError, "server_error", exchange.ReasonInternal)
		if got := w.Exchange(a.DecisionID); got.Outcome != "failed" || got.Reason != "internal" || got.Client != "kong" {
			t.Errorf("recorded as %+v", got)
		}
		mustGrant(t, w.Ask(), tenMinutes)
	})
}

// TestRowI10 fills the disk under the audit log: no token, an answer that says so, and recovery without help. The disk is
// a small tmpfs of the service's own, in a mount namespace that only it and its files are in.
func TestRowI10(t *testing.T) {
	t.Parallel()
	w := prepareWorld(t)
	if err := os.MkdirAll(filepath.Join(w.dir, "data", "audit"), 0o700); err != nil {
		t.Fatal(err)
	}
	mount := fmt.Sprintf("mount -t tmpfs -o size=1m tmpfs %q && exec %q serve --config sts.yaml",
		filepath.Join(w.dir, "data", "audit"), program)
	w.command = func() *exec.Cmd { return exec.Command("unshare", "-Urm", "sh", "-c", mount) }
	w.Start()
	w.auditDir = filepath.Join(fmt.Sprintf("/proc/%d/root", w.sts.cmd.Process.Pid), w.dir, "data", "audit")

	filler := filepath.Join(w.auditDir, "filler")
	eachOf(t, singles, w, "I10", func(t *testing.T, w *world) {
		ada := token(w.lasting("ada", "data-eng"))
		mustGrant(t, w.Ask(ada), tenMinutes)
		if err := os.WriteFile(filler, make([]byte, 4<<20), 0o600); err == nil {
			t.Fatal("the small disk took four megabytes")
		}
		w.Eventually("the log's last block is full", func() bool { return w.Probe(ada).Status != http.StatusOK })
		a := w.Ask(ada)
		mustRefuse(t, a, http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonAuditUnavailable)
		wantRetryAfter(t, a)
		if ready := w.Ready(); ready.Status == "ok" {
			t.Errorf("/readyz says %+v", ready)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		w.Eventually("there is room again", func() bool { return w.Probe(ada).Status == http.StatusOK })
		again := w.Ask(ada)
		mustGrant(t, again, tenMinutes)
		if got := w.Exchange(again.DecisionID); got.Outcome != "granted" {
			t.Errorf("recorded as %+v", got)
		}
		w.Eventually("it says so", func() bool { return w.Ready().Status == "ok" })
	})
}
