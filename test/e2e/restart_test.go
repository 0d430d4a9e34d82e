package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
)

// TestRestart holds that the service signs with the same key after a restart, and remembers its policy: started with a
// broken file, it serves the last one that it accepted, and says so.
func TestRestart(t *testing.T) {
	t.Parallel()
	onEach(t, restart)
}

func restart(t *testing.T, change ...func(*world, *setup)) {
	w := newWorld(t, change...)
	keys := w.JWKS()
	first := w.Ask()
	mustGrant(t, first, tenMinutes)
	policy := w.Exchange(first.DecisionID).Policy

	if code := w.sts.Stop(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	w.WriteFile("policy.yaml", "version: 1\nrulez: []\n")
	w.Start()
	if again := w.JWKS(); again != keys {
		t.Errorf("the keys have changed from %s to %s", keys, again)
	}
	second := w.Ask()
	mustGrant(t, second, tenMinutes)
	if got := w.Exchange(second.DecisionID).Policy; got != policy {
		t.Errorf("policy %s decided, want %s", got, policy)
	}
	ready := w.Ready()
	if ready.HTTP != http.StatusOK || ready.Status != "degraded" || !strings.Contains(ready.Parts["policy"].Reason, "policy.yaml:2:1") {
		t.Errorf("/readyz says %+v", ready)
	}
	if !strings.Contains(w.sts.Log(), "rulez") {
		t.Error("the log doesn't say what is wrong with the file")
	}
	w.WritePolicy(w.policy)
	w.Eventually("the mended file is in force", func() bool { return w.Ready().Status == "ok" })
}

// TestRestartWithoutThePolicyFile is the same for a file that is gone.
func TestRestartWithoutThePolicyFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sts.Stop(t)
	if err := os.Remove(filepath.Join(w.dir, "policy.yaml")); err != nil {
		t.Fatal(err)
	}
	w.Start()
	mustGrant(t, w.Ask(), tenMinutes)
	if ready := w.Ready(); ready.HTTP != http.StatusOK || !strings.Contains(ready.Parts["policy"].Reason, "no such file") {
		t.Errorf("/readyz says %+v", ready)
	}
	w.WritePolicy(w.policy)
	w.Eventually("the file is back", func() bool { return w.Ready().Status == "ok" })
}

// TestFirstStartWithABrokenPolicy holds that a service that never had a good policy doesn't start.
func TestFirstStartWithABrokenPolicy(t *testing.T) {
	t.Parallel()
	w := prepareWorld(t)
	w.WriteFile("policy.yaml", "version: 1\nrulez: []\n")
	p, listening := launch(t, w.dir, w.clock)
	select {
	case <-p.done:
	case <-listening:
		t.Fatal("the service listens without a policy")
	case <-time.After(patience):
		t.Fatal("the service neither listens nor ends")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(p.Log(), "policy.yaml:2:1") {
		t.Errorf("exit code %d:\n%s", code, p.Log())
	}
}

// TestABrokenPolicyNeverReplacesAGoodOne is the same while it runs.
func TestABrokenPolicyNeverReplacesAGoodOne(t *testing.T) {
	t.Parallel()
	onEach(t, aBrokenPolicyNeverReplacesAGoodOne)
}

func aBrokenPolicyNeverReplacesAGoodOne(t *testing.T, change ...func(*world, *setup)) {
	w := newWorld(t, change...)
	mustGrant(t, w.Ask(), tenMinutes)
	w.WriteFile("policy.yaml", "version: 1\nrulez: []\n")
	w.Eventually("the broken file is noticed", func() bool { return w.Ready().Status == "degraded" })
	mustGrant(t, w.Ask(), tenMinutes)
	refused := 0
	for _, r := range w.Of("admin") {
		if r.Action == "policy.refuse" {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d records of the refused file", refused)
	}
	w.WritePolicy(w.policy)
	w.Eventually("the mended file is in force", func() bool { return w.Ready().Status == "ok" })
}

// TestWithoutItsKeyset holds that a lost keyset is an error that names it, never a reason for new keys.
func TestWithoutItsKeyset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sts.Stop(t)
	keysets, err := filepath.Glob(filepath.Join(w.dir, "data", "*keyset*"))
	if err != nil || len(keysets) != 1 {
		t.Fatalf("keysets: %v, %v", keysets, err)
	}
	if err := os.Remove(keysets[0]); err != nil {
		t.Fatal(err)
	}
	p, listening := launch(t, w.dir, w.clock)
	select {
	case <-p.done:
	case <-listening:
		t.Fatal("the service listens with another keyset")
	case <-time.After(patience):
		t.Fatal("the service neither listens nor ends")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(p.Log(), "keyset") {
		t.Errorf("exit code %d:\n%s", code, p.Log())
	}
}

// JWKS is the published key set, as it stands.
func (w *world) JWKS() string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.sts.http+"/.well-known/jwks.json", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	a := w.Do(req)
	if a.Status != http.StatusOK {
		w.t.Fatalf("status %d", a.Status)
	}
	return string(a.Body)
}

// TestReloadUnderLoad adds a client and rotates another's secret while requests go on: none fails.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	onEach(t, reloadUnderLoad)
}

func reloadUnderLoad(t *testing.T, change ...func(*world, *setup)) {
	w := newWorld(t, change...)
	ada := w.lasting("ada", "data-eng")
	mustGrant(t, w.Ask(token(ada)), tenMinutes)
	late, rotated := w.client("late", nil), newSecret(t)
	stop, failed := make(chan struct{}), make(chan answer, 4)
	for range 4 {
		go func() {
			for {
				select {
				case <-stop:
					failed <- answer{}
					return
				default:
				}
				if a := w.Ask(token(ada), as("poster")); a.Status != http.StatusOK {
					failed <- a
					return
				}
			}
		}()
	}
	clients, _ := w.config["clients"].(object)
	clients["late"] = late
	w.WriteConfig(w.config)
	w.Eventually("the new client is known", func() bool { return w.Ask(token(ada), as("late")).Status == http.StatusOK })
	withRotated := func(r *request) { r.Secret = rotated }
	late["secret_sha256"] = list{digest(w.secrets["late"]), digest(rotated)}
	w.WriteConfig(w.config)
	w.Eventually("its new secret is known", func() bool { return w.Ask(token(ada), as("late"), withRotated).Status == http.StatusOK })

	// A faulty configuration changes nothing, and says so.
	w.WriteFile("sts.yaml", `{"issuer": 7}`)
	w.Eventually("the fault is noticed", func() bool { return w.Ready().Status == "degraded" })
	mustGrant(t, w.Ask(token(ada), as("late")), tenMinutes)
	w.WriteConfig(w.config)
	w.Eventually("all is well", func() bool { return w.Ready().Status == "ok" })
	close(stop)
	for range 4 {
		if a := <-failed; a.Status != 0 {
			t.Errorf("a request failed while the configuration changed: %s", a.Body)
		}
	}
	if got := w.Exchange(w.Ask(as("late")).DecisionID); got.Client != "late" || got.Outcome != string(exchange.OutcomeGranted) {
		t.Errorf("recorded as %+v", got)
	}
}

// TestGracefulStop holds that a request under way is answered, and recorded, before the service ends.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.lasting("ada", "data-eng")
	mustGrant(t, w.Ask(token(ada), as("poster")), tenMinutes) // Databricks knows our keys now
	remove := w.dbx.AddFault(hold())
	answers := make(chan answer, 5)
	for range cap(answers) {
		go func() { answers <- w.Ask(token(ada)) }()
	}
	w.Eventually("the requests wait", func() bool { return w.Metric("sts_flight_waiters") >= float64(cap(answers)) })
	ended := make(chan int, 1)
	go func() { ended <- w.sts.Stop(t) }()
	w.Eventually("the service has stopped listening", func() bool {
		_, err := w.http.Get("http://" + w.sts.http + "/.well-known/jwks.json")
		return err != nil
	})
	remove()
	for range cap(answers) {
		a := <-answers
		mustGrant(t, a, tenMinutes)
		if got := w.Exchange(a.DecisionID); got.Outcome != "granted" {
			t.Errorf("recorded as %+v", got)
		}
	}
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
}
