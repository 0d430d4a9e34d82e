//go:build long

package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestLong_OpenIDClient exchanges a token as a Node.js program would, by openid-client as npm has it and by nothing but
// our metadata: the exchange by its generic grant, then introspection and revocation of what came out.
func TestLong_OpenIDClient(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("testdata/openid-client")); err != nil {
		t.Fatal(err)
	}
	install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = folder
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	// The issuer is the address that it is found at, which is known before the service has one: it stands behind a proxy.
	var w *world
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: w.sts.http})
	}})
	defer front.Close()
	w = newWorld(t, func(_ *world, s *setup) {
		s.config["issuer"] = front.URL
		s.config["databricks"].(object)["federation"] = object{"issuer": stsIssuer}
	})
	// run does one thing with a token; the program ends with 1 where the service refuses.
	run := func(does, token string, wantExit int, into any) {
		t.Helper()
		node := exec.Command("node", "sts.mjs", does)
		node.Dir, node.Stdin = folder, strings.NewReader(token+"\n")
		node.Env = append(os.Environ(), "STS="+front.URL, "CLIENT=kong", "SECRET="+w.secrets["kong"], "AUDIENCE=prod")
		var stderr strings.Builder
		node.Stderr = &stderr
		out, _ := node.Output()
		if node.ProcessState.ExitCode() != wantExit {
			t.Fatalf("%s: exit code %d: %s\n%s", does, node.ProcessState.ExitCode(), out, stderr.String())
		}
		if err := json.Unmarshal(out, into); err != nil {
			t.Fatalf("%s: %v: %s", does, err, out)
		}
	}

	var a answer
	run("exchange", w.Token(nil), 0, &a)
	a.Status = http.StatusOK
	mustGrant(t, a, tenMinutes)
	if got := w.Exchange(a.DecisionID); got.Client != "kong" || got.Entrance != "form" || got.Outcome != "granted" {
		t.Errorf("recorded as %+v", got)
	}
	if status := w.Invoke("churn", a.AccessToken); status != http.StatusOK {
		t.Errorf("the token calls the model: status %d", status)
	}

	var refused answer
	run("exchange", w.Token(map[string]any{"groups": []string{"nobody"}}), 1, &refused)
	if refused.Error != "invalid_request" || refused.Reason != "no_matching_rule" || refused.Description == "" {
		t.Errorf("without a rule: %+v", refused)
	}

	var is struct{ Active bool }
	if run("introspect", a.AccessToken, 0, &is); !is.Active {
		t.Error("the token is not active")
	}
	var none object
	run("revoke", a.AccessToken, 0, &none)
	w.Eventually("the token is not active any more", func() bool {
		run("introspect", a.AccessToken, 0, &is)
		return !is.Active
	})
}
