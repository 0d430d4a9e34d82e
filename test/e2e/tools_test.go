package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// clientsDocument is docs/clients.md, whose commands are those that are run here.
func clientsDocument(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// commandsOf is the document's shell commands that begin so.
func commandsOf(t *testing.T, start string) string {
	t.Helper()
	_, rest, found := strings.Cut(clientsDocument(t), "```sh\n"+start)
	commands, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatalf("docs/clients.md has no commands that begin with %s", start)
	}
	return start + commands
}

// shell runs commands, which know the service by the document's names, and reads the JSON that comes out into.
func (w *world) shell(t *testing.T, commands string, into any) {
	t.Helper()
	sh := exec.Command("sh", "-euc", commands)
	sh.Env = append(os.Environ(), "STS=http://"+w.sts.http, "STS_GRPC="+w.sts.grpc, "SECRET="+w.secrets["kong"], "SUBJECT="+w.Token(nil))
	var stderr strings.Builder
	sh.Stderr = &stderr
	out, err := sh.Output()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, out, stderr.String())
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestCurl exchanges a token as a person would, by a form and by JSON.
func TestCurl(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("curl is not installed; make test installs it")
	}
	w := newWorld(t)
	for entrance, path := range map[string]string{"form": "/oauth2/token", "json": "/v1/exchange"} {
		var a answer
		w.shell(t, commandsOf(t, `curl -sS -u "kong:$SECRET" "$STS`+path), &a)
		a.Status = http.StatusOK
		mustGrant(t, a, tenMinutes)
		if got := w.Exchange(a.DecisionID); got.Entrance != entrance || got.Client != "kong" {
			t.Errorf("%s: recorded as %+v", entrance, got)
		}
		if status := w.Invoke("churn", a.AccessToken); status != http.StatusOK {
			t.Errorf("%s: the token calls the model: status %d", entrance, status)
		}
	}
}

// TestOpenIDClientDocument holds that the document shows the program that TestLong_OpenIDClient runs.
func TestOpenIDClientDocument(t *testing.T) {
	t.Parallel()
	program, err := os.ReadFile(filepath.Join("testdata", "openid-client", "sts.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(clientsDocument(t), "```js\n"+string(program)+"```") {
		t.Error("docs/clients.md shows another program than testdata/openid-client/sts.mjs")
	}
}
