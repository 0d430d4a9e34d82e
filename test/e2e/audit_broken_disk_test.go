package e2e_test

import (
	"bufio"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
)

// withoutPtrace leaves out, by the wish of who runs the tests, those that need a tracer: where no tracer is allowed they fail,
// since a test that nobody knows to be left out proves nothing.
const withoutPtrace = "STS_TEST_WITHOUT_PTRACE"

// breakCalls makes system calls of the running service fail until the function that it returns is called. Files, if there
// are any, narrow it to calls on those.
func (w *world) breakCalls(call, errno string, files ...string) (mend func()) {
	w.t.Helper()
	args := []string{"-f", "-p", strconv.Itoa(w.sts.cmd.Process.Pid), "-o", os.DevNull, "-e", "trace=" + call, "-e", "inject=" + call + ":error=" + errno}
	for _, file := range files {
		args = append(args, "-P", file)
	}
	cmd := exec.Command("strace", args...)
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		w.t.Fatalf("strace can't be run: %v; install it (Debian: strace), or set %s=1 to leave this test out", err, withoutPtrace)
	}
	attached, said := make(chan bool, 1), make(chan string, 1)
	go func() {
		var all strings.Builder
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "attached") {
				select {
				case attached <- true:
				default:
				}
			}
		}
		said <- all.String()
	}()
	mend = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it lets go then
		_ = cmd.Wait()
	}
	w.t.Cleanup(func() { _ = cmd.Process.Kill() })
	select {
	case <-attached:
	case text := <-said:
		w.t.Fatalf("no tracer is allowed here: %s\nrun as root, set kernel.yama.ptrace_scope to 0, give a container CAP_SYS_PTRACE, or set %s=1 to leave this test out", text, withoutPtrace)
	case <-time.After(patience):
		w.t.Fatal("strace does not come to it")
	}
	return mend
}

// auditedWorld is a world each of whose answers waits for the disk.
func auditedWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv(withoutPtrace) != "" {
		t.Skip("left out by " + withoutPtrace)
	}
	return newWorld(t, func(_ *world, s *setup) { s.config["audit"] = object{"sync": "always"} })
}

// segments are the files of the service's own log, with their lengths.
func (w *world) segments() map[string]int64 {
	w.t.Helper()
	paths, err := filepath.Glob(filepath.Join(w.auditDir, "*.jsonl"))
	if err != nil {
		w.t.Fatal(err)
	}
	lengths := map[string]int64{}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			lengths[path] = info.Size()
		}
	}
	return lengths
}

func (w *world) onlySegment() string {
	w.t.Helper()
	paths := slices.Collect(maps.Keys(w.segments()))
	if len(paths) != 1 {
		w.t.Fatalf("segments %v", paths)
	}
	return paths[0]
}

// wantRecovery asks until tokens come out again, and holds that all that did have their records in a log that is proven.
func (w *world) wantRecovery(subject string, granted ...answer) {
	w.t.Helper()
	w.Eventually("tokens come out again", func() bool { return w.Probe(token(subject)).Status == http.StatusOK })
	granted = append(granted, w.Ask(token(subject)))
	for _, a := range granted {
		mustGrant(w.t, a, tenMinutes)
		if got := w.Exchange(a.DecisionID); got.Outcome != "granted" {
			w.t.Errorf("recorded as %+v", got)
		}
	}
	w.Eventually("it says so", func() bool { return w.Ready().Status == "ok" })
	w.sts.Stop(w.t)
	if out, code := w.run("audit", "verify", "--config", "sts.yaml", "--all"); code != 0 {
		w.t.Errorf("%d %s", code, out)
	}
}

// TestAuditFsyncFails holds that a disk whose fsyncs fail gives no tokens out, that nothing is written to a file whose fsync
// has failed, and that it all comes back by itself.
func TestAuditFsyncFails(t *testing.T) {
	t.Parallel()
	w := auditedWorld(t)
	ada := w.lasting("ada", "data-eng")
	before := w.Ask(token(ada))
	mustGrant(t, before, tenMinutes)
	old := w.segments()
	mend := w.breakCalls("fsync", "EIO")
	w.Eventually("nothing is on disk any more", func() bool { return w.Probe(token(ada)).Status != http.StatusOK })
	for range 3 {
		a := w.Ask(token(ada))
		mustRefuse(t, a, http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonAuditUnavailable)
		wantRetryAfter(t, a)
	}
	if ready := w.Ready(); ready.HTTP != http.StatusServiceUnavailable || ready.Parts["audit"].Status != "unready" {
		t.Errorf("/readyz says %+v", ready)
	}
	given := w.segments() // what was not on disk is cut off by now
	mend()
	w.wantRecovery(ada, before)
	for path := range old {
		if now := w.segments()[path]; now != given[path] || now < old[path] {
			t.Errorf("%s had %d bytes, %d when it was given up, and has %d", filepath.Base(path), old[path], given[path], now)
		}
	}
	if len(w.segments()) < 2 {
		t.Error("no other file was begun")
	}
}

// TestAuditWriteFails holds that a record that can't be written refuses its request, and that the next goes to another file.
func TestAuditWriteFails(t *testing.T) {
	t.Parallel()
	w := auditedWorld(t)
	ada := w.lasting("ada", "data-eng")
	before := w.Ask(token(ada))
	mustGrant(t, before, tenMinutes)
	path := w.onlySegment()
	mend := w.breakCalls("write", "EIO", path)
	defer mend()
	var refused answer
	w.Eventually("a write fails", func() bool { refused = w.Probe(token(ada)); return refused.Status != http.StatusOK })
	mustRefuse(t, refused, http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonAuditUnavailable)
	w.wantRecovery(ada, before) // while that file is still broken
	if len(w.segments()) != 2 {
		t.Errorf("%v", w.segments())
	}
}

// TestAuditCantBeRead holds that a sector that can't be read stops no start: a log that can't be proven to go on is given up,
// loudly, and another begins.
func TestAuditCantBeRead(t *testing.T) {
	t.Parallel()
	w := auditedWorld(t)
	first := w.Ask()
	mustGrant(t, first, tenMinutes)
	w.sts.Stop(t)
	path := w.onlySegment()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w.command = func() *exec.Cmd {
		return exec.Command("strace", "-D", "-f", "-o", os.DevNull, "-e", "trace=read,pread64", "-e", "inject=read,pread64:error=EIO", "-P", path,
			program, "serve", "--config", "sts.yaml")
	}
	w.Start()
	mustGrant(t, w.Ask(), tenMinutes)
	w.Eventually("it says so", func() bool {
		return w.Ready().Status == "degraded" && strings.Contains(w.Ready().Parts["audit_checkpoints"].Reason, ".fault")
	})
	w.sts.Stop(t)
	if after, err := os.ReadFile(path); err != nil || string(after) != string(whole) {
		t.Errorf("the old log was touched, or %v", err)
	}
	renewed := false
	for _, r := range w.Of("admin") {
		renewed = renewed || r.Action == "audit.renew"
	}
	if !renewed {
		t.Error("no record says why")
	}
}
