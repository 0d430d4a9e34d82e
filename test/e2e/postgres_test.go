package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/internal/testservice"
	"github.com/lakegate/sts/store"
)

// postgres is the cluster of all tests that don't stop it.
var postgres testservice.SharedPostgres

// on lets a world keep its ledger in a database of PostgreSQL.
func on(d *testservice.Database) func(*world, *setup) {
	return func(w *world, s *setup) {
		keyset := filepath.Join(w.dir, "store.keyset.json")
		if err := store.MakeKeyset(keyset); err != nil {
			w.t.Fatal(err)
		}
		w.database, w.secrets["database"] = d, d.Password()
		s.config["database"] = d.URL
		s.config["store"] = object{"keyset_file": keyset}
	}
}

// onEach runs a test with each kind of ledger.
func onEach(t *testing.T, test func(t *testing.T, change ...func(*world, *setup))) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, on(postgres.NewDatabase(t)))
	})
}

// Replica starts another service on the same configuration and emulators, with a folder of its own.
func (w *world) Replica() *world {
	w.t.Helper()
	r := *w
	r.dir, r.said, r.secrets = w.t.TempDir(), &collected{}, maps.Clone(w.secrets)
	r.auditDir = filepath.Join(r.dir, "data", "audit")
	for _, principal := range []string{"legacy", "endpoint-caller"} {
		r.principalSecret(principal)
	}
	config := maps.Clone(w.config)
	config["telemetry"] = object{"otlp_endpoint": startCollector(w.t, r.said), "sample_ratio": 1}
	r.WriteConfig(config)
	r.WritePolicy(w.policy)
	r.Start()
	return &r
}

// versions are the digests of the policies that a ledger remembers, newest first.
func versions(t *testing.T, d *testservice.Database) (digests []string) {
	t.Helper()
	l, err := store.OpenPostgres(t.Context(), store.PostgresConfig{URL: d.URL, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	value, _, err := l.Get(t.Context(), "policy/versions")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Digest string `json:"digest"`
	}
	if err := json.Unmarshal(value, &list); err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		digests = append(digests, v.Digest)
	}
	return digests
}

// shorter is the world's policy with another lifetime for data-eng.
func (w *world) shorter() object {
	policy := maps.Clone(w.policy)
	rules, _ := policy["rules"].(list)
	changed := append(list{}, rules...)
	for i, r := range rules {
		if rule, _ := r.(object); rule["id"] == "engineers" {
			rule = maps.Clone(rule)
			rule["grant"] = object{"principal": "ml-inference", "lifetime": "5m"}
			changed[i] = rule
		}
	}
	policy["rules"] = changed
	return policy
}

// TestReplicasShareALedger holds that two services on one PostgreSQL sign with one key and share their policy's versions.
func TestReplicasShareALedger(t *testing.T) {
	t.Parallel()
	d := postgres.NewDatabase(t)
	w := newWorld(t, on(d))
	r := w.Replica()
	if one, other := w.JWKS(), r.JWKS(); one != other || !strings.Contains(one, `"kid"`) {
		t.Errorf("keys %s and %s", one, other)
	}
	var policies []string
	for _, replica := range []*world{w, r} {
		a := replica.Ask()
		mustGrant(t, a, tenMinutes)
		policies = append(policies, replica.Exchange(a.DecisionID).Policy)
	}
	if got := versions(t, d); len(got) != 1 || policies[0] != policies[1] || !strings.Contains(policies[0], got[0]) {
		t.Errorf("policies %v, versions %v", policies, got)
	}
	for _, replica := range []*world{w, r} {
		replica.WritePolicy(w.shorter())
	}
	for _, replica := range []*world{w, r} {
		replica.Eventually("the new policy is in force", func() bool { a := replica.Ask(); return a.Status == http.StatusOK && a.ExpiresIn <= 300 })
		replica.Eventually("it is well", func() bool { return replica.Ready().Status == "ok" })
	}
	if got := versions(t, d); len(got) != 2 {
		t.Errorf("versions %v", got)
	}
	// A replica that comes later finds both.
	late := w.Replica()
	if late.JWKS() != w.JWKS() {
		t.Error("a late replica has another key")
	}
}

// load asks replicas until it is told to stop: for a token that is in memory, and for one that must be minted.
type load struct {
	stop   chan struct{}
	wait   sync.WaitGroup
	mu     sync.Mutex
	failed []string
	asked  int
}

func (w *world) load(replicas ...*world) *load {
	l := &load{stop: make(chan struct{})}
	warm := w.lasting("ada", "data-eng")
	for n, replica := range replicas {
		l.wait.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				case <-time.After(50 * time.Millisecond): // two cores are shared with all other tests
				}
				cold := w.lasting(fmt.Sprintf("subject-%d-%d", n, i), "private")
				for _, subject := range []string{warm, cold} {
					a, err := replica.try(replica.tokenRequest(subject))
					l.mu.Lock()
					l.asked++
					if err != nil {
						l.failed = append(l.failed, err.Error())
					} else if a.Status != http.StatusOK {
						l.failed = append(l.failed, string(a.Body))
					}
					l.mu.Unlock()
				}
			}
		})
	}
	return l
}

// More waits until the load has asked some more.
func (l *load) More(w *world) {
	w.t.Helper()
	asked := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.asked
	}
	before, minted := asked(), w.mints()
	w.Eventually("the load goes on, with mints", func() bool { return asked() >= before+20 && w.mints() > minted })
}

func (l *load) End(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.wait.Wait()
	if len(l.failed) > 0 {
		t.Errorf("%d of %d exchanges failed, such as %s", len(l.failed), l.asked, l.failed[0])
	}
}

// TestLedgerOutage holds that replicas go on without their PostgreSQL, say so, and recover unaided.
func TestLedgerOutage(t *testing.T) {
	t.Parallel()
	cluster := testservice.NewPostgres(t)
	d := cluster.NewDatabase(t)
	w := newWorld(t, on(d))
	r := w.Replica()
	both := []*world{w, r}
	keys := w.JWKS()
	under := w.load(both...)
	under.More(w)

	fastest := patience // of the answers of /readyz without a ledger
	degraded := func(replica *world) bool {
		start := time.Now()
		ready := replica.Ready()
		is := ready.HTTP == http.StatusOK && ready.Status == "degraded" && ready.Parts["ledger"].Status == "degraded" && ready.Parts["ledger"].Reason != ""
		if is {
			fastest = min(fastest, time.Since(start))
		}
		return is
	}
	for _, outage := range []struct {
		name       string
		begin, end func() error
	}{
		{"stopped", func() error { cluster.Stop(); return nil }, cluster.Start},
		{"killed", cluster.Crash, cluster.Start},
		{"hung", cluster.Hang, cluster.Resume},
	} {
		if err := outage.begin(); err != nil {
			t.Fatal(err)
		}
		for _, replica := range both {
			replica.Eventually("it tells of the ledger that is "+outage.name, func() bool { return degraded(replica) })
		}
		under.More(w)
		if outage.name == "stopped" {
			w.policy = w.shorter()
			for _, replica := range both {
				replica.WritePolicy(w.policy)
				replica.Eventually("the new policy is in force without the ledger", func() bool { return replica.Ask().ExpiresIn <= 300 })
			}
			wantNoStart(t, w, d)
		}
		if err := outage.end(); err != nil {
			t.Fatal(err)
		}
		for _, replica := range both {
			replica.Eventually("it is well again", func() bool { return replica.Ready().Status == "ok" })
			if replica.JWKS() != keys {
				t.Error("the keys have changed")
			}
		}
		under.More(w)
	}
	under.End(t)
	if fastest > time.Second {
		t.Errorf("/readyz took %v at least: it waits for the ledger", fastest)
	}
	if got := versions(t, d); len(got) != 2 {
		t.Errorf("versions %v", got)
	}
}

// wantNoStart holds that a replica that can't read its ledger doesn't start, and says why.
func wantNoStart(t *testing.T, w *world, d *testservice.Database) {
	t.Helper()
	dir := t.TempDir()
	other := *w
	other.dir = dir
	other.principalSecret("legacy")
	other.principalSecret("endpoint-caller")
	other.writeYAML("sts.yaml", w.config)
	other.writeYAML("policy.yaml", w.policy)
	p, listening := launch(t, dir, w.clock)
	select {
	case <-p.done:
	case <-listening:
		t.Fatal("the service listens without its ledger")
	case <-time.After(patience):
		t.Fatal("the service neither listens nor ends")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(p.Log(), "database: opening "+d.Name+" at ") || strings.Contains(p.Log(), d.Password()) {
		t.Errorf("exit code %d:\n%s", code, p.Log())
	}
}

// TestAnotherKeyset holds that a replica with a keyset of its own doesn't start: it could not sign as the others do.
func TestAnotherKeyset(t *testing.T) {
	t.Parallel()
	w := newWorld(t, on(postgres.NewDatabase(t)))
	w.sts.Stop(t)
	if err := store.MakeKeyset(filepath.Join(w.dir, "other.json")); err != nil {
		t.Fatal(err)
	}
	w.config["store"] = object{"keyset_file": "other.json"}
	w.WriteConfig(w.config)
	p, listening := launch(t, w.dir, w.clock)
	select {
	case <-p.done:
	case <-listening:
		t.Fatal("the service listens with another keyset")
	case <-time.After(patience):
		t.Fatal("the service neither listens nor ends")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(p.Log(), "sealed under another keyset") {
		t.Errorf("exit code %d:\n%s", code, p.Log())
	}
}
