//go:build long

package e2e_test

import (
	"net/http"
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
