package e2e_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// auditCommands are the lines of docs/api.md that ask the audit with a program.
func auditCommands(t *testing.T, program string) (lines []string) {
	t.Helper()
	document, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(document), "\n## Searching the audit\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.SplitSeq(section, "\n") {
		if strings.HasPrefix(line, program+" ") {
			lines = append(lines, line)
		}
	}
	if len(lines) < 2 {
		t.Fatalf("docs/api.md has only %d lines of %s", len(lines), program)
	}
	return lines
}

// auditShell is a shell in which they run, of a world in which there is something to be found.
func auditShell(t *testing.T) func(command string) *exec.Cmd {
	t.Helper()
	w := newWorld(t, withAccess, func(_ *world, s *setup) { s.config["grpc"] = object{"reflection": true} })
	a := &auditor{w, w.bearer("security")}
	granted := w.Ask(with("subject_token", w.Token(map[string]any{"sub": "alice"})))
	mustGrant(t, granted, tenMinutes)
	a.said.addSecret(granted.AccessToken)
	a.event(granted.DecisionID)
	a.Eventually("there is a receipt", func() bool {
		return a.API("/v1/audit/events/"+granted.DecisionID+"/receipt", "", a.authorization).Status == 200
	})
	return func(command string) *exec.Cmd {
		command = strings.ReplaceAll(command, "sts.example:8444", `"$STS_GRPC"`)
		sh := exec.Command("sh", "-euc", command)
		sh.Env = append(os.Environ(), "STS=http://"+w.sts.http, "STS_GRPC="+w.sts.grpc, "ID="+granted.DecisionID, "LEAKED="+granted.AccessToken,
			"TOKEN="+strings.TrimPrefix(a.authorization, "Bearer "))
		return sh
	}
}

// TestAuditDocument runs what docs/api.md says of searching the audit, with curl.
func TestAuditDocument(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("curl is not installed; make test installs it")
	}
	shell := auditShell(t)
	for _, line := range auditCommands(t, "curl") {
		if strings.Contains(line, ":tail") {
			said := firstPrinted(t, shell("exec "+line))
			if !strings.HasPrefix(said, `{"result":{"cursor":`) && !strings.HasPrefix(said, "id: ") {
				t.Errorf("%s\n%s", line, said)
			}
			continue
		}
		out, err := shell(line).Output()
		var answer map[string]any
		if err != nil || json.Unmarshal(out, &answer) != nil || answer["error"] != nil {
			t.Errorf("%s\n%v: %s", line, err, out)
		}
	}
}

// firstPrinted is the first that a command prints, which goes on.
func firstPrinted(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	return said
}
