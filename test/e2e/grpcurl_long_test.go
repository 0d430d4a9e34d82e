//go:build long

package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestLong_GRPCURL exchanges a token as a person would, over gRPC, with no other description of it than the service's own.
// The tool is built for it, which takes minutes where it was never built before.
func TestLong_GRPCURL(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, s *setup) { s.config["grpc"] = object{"reflection": true} })
	cmd := exec.Command("go", "tool", "-modfile=../../tools/grpcurl/go.mod", "grpcurl", "-plaintext", "-expand-headers",
		"-H", "authorization: ${AUTHORIZATION}", "-d", "@", w.sts.grpc, "sts.v1.TokenService/Exchange")
	cmd.Env = append(os.Environ(), "AUTHORIZATION="+w.basicAuth("kong"))
	cmd.Stdin = strings.NewReader(protoJSON(w, message(w, b0(w))))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var a struct{ AccessToken string } // grpcurl prints names in camelCase
	if err := json.Unmarshal(out, &a); err != nil || a.AccessToken == "" {
		t.Fatalf("%v: %s", err, out)
	}
	if status := w.Invoke("churn", a.AccessToken); status != http.StatusOK {
		t.Errorf("the token calls the model: status %d", status)
	}
}
