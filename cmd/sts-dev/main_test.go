package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain lets the test binary stand in for the program.
func TestMain(m *testing.M) {
	if os.Getenv("STS_DEV_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "STS_DEV_TEST_MAIN=1")
	return cmd
}

// startUp runs "sts-dev up" and returns what it prints, and how to interrupt it.
func startUp(t *testing.T, args ...string) (worldURLs, func() error) {
	t.Helper()
	cmd := command(append([]string{"up"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() error {
		stopped = true
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return cmd.Wait()
	}
	t.Cleanup(func() {
		if !stopped {
			_ = stop()
		}
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var urls worldURLs
	if err := json.Unmarshal(line, &urls); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return urls, stop
}

func post(t *testing.T, target, media, body string) map[string]any {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", media)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer map[string]any
	_ = json.NewDecoder(resp.Body).Decode(&answer)
	if answer == nil {
		answer = map[string]any{}
	}
	answer["status"] = resp.StatusCode
	return answer
}

// The provider plays the service's federation issuer here: its token is traded for a workspace's.
func TestUp(t *testing.T) {
	clock, config := filepath.Join(t.TempDir(), "clock"), filepath.Join(t.TempDir(), "world.json")
	printed, err := command("up", "--print-config").Output()
	if err == nil {
		err = os.WriteFile(config, printed, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	urls, stop := startUp(t, "--clock-file", clock, "--config", config)
	if len(urls.Issuers) != 3 || len(urls.Workspaces) != 2 || !strings.HasPrefix(urls.Issuers["okta"], urls.IDP) {
		t.Fatalf("%+v", urls)
	}
	prod := urls.Workspaces["prod"]
	setup, err := json.Marshal(map[string]any{"principals": []any{map[string]any{
		"application_id": appInference, "policies": []any{map[string]any{"issuer": urls.Issuers["okta"]}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := post(t, prod+"/_emulator/setup", "application/json", string(setup)); got["status"] != 204 {
		t.Fatalf("setup: %v", got)
	}
	recipe := `{"claims":{"sub":"` + appInference + `","aud":"11111111-2222-3333-4444-555555555555"},"lifetime":"10m"}`
	token, _ := post(t, urls.IDP+"/_emulator/tokens", "application/json", recipe)["token"].(string)
	form := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "client_id": {appInference},
		"subject_token": {token}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
	}.Encode()
	exchange := func() map[string]any {
		return post(t, prod+"/oidc/v1/token", "application/x-www-form-urlencoded", form)
	}
	if got := exchange(); got["status"] != 200 || got["access_token"] == nil {
		t.Errorf("exchange: %v", got)
	}
	if err := os.WriteFile(clock, []byte("10m"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := exchange(); got["error"] != "invalid_grant" {
		t.Errorf("ten minutes later: %v", got)
	}
	if err := stop(); err != nil {
		t.Errorf("stopped: %v", err)
	}
	if _, err := (&http.Client{Timeout: time.Second}).Get(prod); err == nil {
		t.Error("it still answers")
	}
}

// What --print-config prints is a configuration, and the same one.
func TestConfigRoundTrip(t *testing.T) {
	first, err := command("up", "--print-config", "--federation-issuer", "https://keys.example").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(first, []byte("https://keys.example")) || !bytes.Contains(first, []byte(appETL)) {
		t.Errorf("printed %s", first)
	}
	path := filepath.Join(t.TempDir(), "world.json")
	if err := os.WriteFile(path, first, 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := command("up", "--print-config", "--config", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(first), string(second)); diff != "" {
		t.Error(diff)
	}
}

func TestBadUsage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "world.json")
	if err := os.WriteFile(path, []byte(`{"issuers":[{"title":"a"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"up", "--config", path}, {"up", "--config", path + "x"}, {"up", "extra"}, {"down"}} {
		if out, err := command(args...).CombinedOutput(); err == nil {
			t.Errorf("%v: %s", args, out)
		}
	}
}
