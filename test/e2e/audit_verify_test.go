package e2e_test

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// run runs the program in the world's folder, and returns what it prints and its exit code.
func (w *world) run(args ...string) (out string, code int) {
	w.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "STS_CLOCK_FILE="+w.clock)
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// TestAuditIsProven holds the whole way: a running service's log is proven against what the ledger was told; one that is
// cut short with everything beside it is found by the ledger alone, at the next start too.
func TestAuditIsProven(t *testing.T) {
	t.Parallel()
	onEach(t, auditIsProven)
}

func auditIsProven(t *testing.T, change ...func(*world, *setup)) {
	w := newWorld(t, change...)
	first := w.Ask()
	mustGrant(t, first, tenMinutes)
	verify := []string{"audit", "verify", "--config", "sts.yaml", "--all"}
	w.Eventually("the ledger has the checkpoint of what is there", func() bool {
		out, code := w.run(append(verify, "-o", "json")...)
		return code == 0 && strings.Contains(out, `"faults":[]`)
	})
	var receipt string
	w.Eventually("there is a receipt", func() bool {
		var code int
		receipt, code = w.run("audit", "receipt", "data/audit", first.DecisionID, "--config", "sts.yaml")
		return code == 0
	})
	w.WriteFile("receipt", receipt)
	key, code := w.run("audit", "key", "--config", "sts.yaml")
	if code != 0 {
		t.Fatal(key)
	}
	if out, code := w.run("audit", "verify", "--receipt", "receipt", "--key", strings.TrimSpace(key)); code != 0 || !strings.Contains(out, first.DecisionID) {
		t.Errorf("%d %s", code, out)
	}

	early := filepath.Join(t.TempDir(), "early")
	w.sts.Stop(t)
	if err := os.CopyFS(early, os.DirFS(w.auditDir)); err != nil {
		t.Fatal(err)
	}
	w.Start()
	mustGrant(t, w.Ask(), tenMinutes)
	w.sts.Stop(t)
	if out, code := w.run(verify...); code != 0 {
		t.Errorf("%d %s", code, out)
	}

	// The disk is put back to what it was. By itself it is sound.
	if err := os.RemoveAll(w.auditDir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(w.auditDir, os.DirFS(early)); err != nil {
		t.Fatal(err)
	}
	if out, code := w.run("audit", "verify", "--config", "sts.yaml"); code != 0 {
		t.Errorf("%d %s", code, out)
	}
	if out, code := w.run(verify...); code != 1 || !strings.Contains(out, "records follow here that are gone") {
		t.Errorf("%d %s", code, out)
	}
	w.Start()
	w.Eventually("the service says so", func() bool {
		r := w.Ready()
		return r.HTTP == http.StatusOK && r.Status == "degraded" && strings.Contains(r.Parts["audit_checkpoints"].Reason, ".fault")
	})
	mustGrant(t, w.Ask(), tenMinutes)
	w.Eventually("and why, on record", func() bool {
		for _, r := range w.Of("admin") {
			if r.Action == "audit.renew" {
				return true
			}
		}
		return false
	})
}

// TestWitnessCommand holds that each checkpoint reaches the command that is configured.
func TestWitnessCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world, s *setup) {
		s.config["audit"] = object{"witness": object{"command": []string{"sh", "-c", "cat >>" + filepath.Join(w.dir, "kept")}}}
	})
	mustGrant(t, w.Ask(), tenMinutes)
	w.Eventually("a checkpoint with records is kept", func() bool {
		text, err := os.ReadFile(filepath.Join(w.dir, "kept"))
		return err == nil && bytes.Contains(text, []byte("/audit/")) && !bytes.HasSuffix(text, []byte("\n0\n"))
	})
}
