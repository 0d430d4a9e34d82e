package e2e_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// A disk that gets full is told while there is still time, and stops nothing.
func TestDiskAlarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	room := w.clock + ".disk"
	if err := os.WriteFile(room, []byte("19000000000 100000000000"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Eventually("the alarm is raised", func() bool { return w.Ready().Parts["audit_disk"].Status == "degraded" })
	if part := w.Ready().Parts["audit_disk"]; part.Status != "degraded" || !strings.Contains(part.Reason, "19.0 GB free, 19 % of it") {
		t.Errorf("%+v", part)
	}
	if a := w.Ask(token(w.lasting("ada", "data-eng"))); a.Status != http.StatusOK {
		t.Errorf("%d", a.Status)
	}
	if ratio := w.Metric("sts_audit_disk_free_ratio"); ratio != 0.19 {
		t.Errorf("%v", ratio)
	}
	if err := os.Remove(room); err != nil {
		t.Fatal(err)
	}
	w.Eventually("it is over", func() bool { return w.Ready().Parts["audit_disk"].Status == "ok" })
}
