//go:build long

package e2e_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestLong_GRPCURL exchanges a token as a person would, over gRPC, with no other description of it than the service's own.
// The tool is built for it, which takes minutes where it was never built before.
func TestLong_GRPCURL(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, s *setup) { s.config["grpc"] = object{"reflection": true} })
	const ours = `grpcurl() { go tool -modfile=../../tools/grpcurl/go.mod grpcurl -plaintext "$@"; }` + "\n"
	var a struct{ AccessToken, DecisionID string } // grpcurl prints names in camelCase
	w.shell(t, ours+commandsOf(t, "export AUTHORIZATION="), &a)
	if got := w.Exchange(a.DecisionID); got.Entrance != "grpc" || got.Client != "kong" || got.Outcome != "granted" {
		t.Errorf("recorded as %+v", got)
	}
	if status := w.Invoke("churn", a.AccessToken); status != http.StatusOK {
		t.Errorf("the token calls the model: status %d", status)
	}
}

// TestLong_GRPCURLAudit asks the audit as docs/api.md says.
func TestLong_GRPCURLAudit(t *testing.T) {
	t.Parallel()
	shell := auditShell(t)
	for _, line := range auditCommands(t, "grpcurl") {
		line = strings.Replace(line, "grpcurl ", "exec go tool -modfile=../../tools/grpcurl/go.mod grpcurl -plaintext ", 1)
		if strings.Contains(line, "TailEvents") {
			if said := firstPrinted(t, shell(line)); said != "{\n" {
				t.Errorf("%s\n%s", line, said)
			}
			continue
		}
		if out, err := shell(line).Output(); err != nil || !strings.HasPrefix(string(out), "{") {
			t.Errorf("%s\n%v: %s", line, err, out)
		}
	}
}
