package e2e_test

import (
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// actions counts the records of an action of the service itself.
func (w *world) actions(action string) (n int) {
	w.t.Helper()
	for _, r := range w.Of("admin") {
		if r.Action == action {
			n++
		}
	}
	return n
}

// TestReloadWhenAFileComesThatItNames holds that a configuration which was refused for a file that isn't there is taken
// over when the file comes, since the two may be mounted at different times; and that the refusal is recorded once.
func TestReloadWhenAFileComesThatItNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	changed := maps.Clone(w.config["databricks"].(object))
	credentials := maps.Clone(changed["credentials"].(object))
	credentials["late"] = object{"method": "client_secret", "client_secret_file": "late.secret"}
	changed["credentials"] = credentials
	w.config["databricks"] = changed
	w.WriteConfig(w.config)
	w.Eventually("the missing file is told", func() bool {
		return strings.Contains(w.Ready().Parts["configuration"].Reason, "there is no such file")
	})
	mustGrant(t, w.Ask(), tenMinutes)
	w.WriteFile("late.secret", newSecret(t)+"\n")
	w.Eventually("the configuration is in force", func() bool { return w.Ready().Status == "ok" })
	if refused, loaded := w.actions("config.refuse"), w.actions("config.load"); refused != 1 || loaded != 1 {
		t.Errorf("%d records of the refusal, %d of the load", refused, loaded)
	}
}

// TestFederationIssuerWaitsForARestart holds that what our discovery document says is what our assertions say, until a
// restart changes both; the rest of the file is taken over.
func TestFederationIssuerWaitsForARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config["databricks"].(object)["federation"] = object{"issuer": "https://keys.acme.example", "key_rotation": "800h"}
	w.config["clients"].(object)["late"] = w.client("late", nil)
	w.WriteConfig(w.config)
	w.Eventually("the new client is known", func() bool { return w.Ask(as("late")).Status == http.StatusOK })
	ready := w.Ready()
	reason := ready.Parts["configuration"].Reason
	if ready.Status != "degraded" || !strings.Contains(reason, "databricks.federation.issuer, databricks.federation.key_rotation") {
		t.Errorf("/readyz says %+v", ready)
	}
	// A principal that nothing is cached for: Databricks trusts assertions of the old issuer alone.
	mustGrant(t, w.Ask(with("subject_token", w.Token(map[string]any{"groups": []string{"private"}}))), tenMinutes)
}

// TestStopWithoutACollector holds that a collector which never answers delays no stop, and costs no record.
func TestStopWithoutACollector(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	w := newWorld(t, func(_ *world, s *setup) {
		s.config["telemetry"] = object{"otlp_endpoint": "http://" + silent.Addr().String(), "sample_ratio": 1}
	})
	mustGrant(t, w.Ask(), tenMinutes)
	refused := w.Ask(func(r *request) { r.Secret = "wrong" }) // its summary is written later, at the latest at the end
	began := time.Now()
	code := w.sts.Stop(t)
	if took := time.Since(began); code != 0 || took > 8*time.Second {
		t.Errorf("it ended with %d after %s", code, took)
	}
	summed := false
	for _, r := range w.Of("failures") {
		summed = summed || r.ID == refused.DecisionID
	}
	if !summed {
		t.Error("the last failure has no record")
	}
	for line := range strings.Lines(w.sts.Log()) {
		if !strings.HasPrefix(line, "{") {
			t.Errorf("not JSON on stderr: %s", line)
		}
	}
}
