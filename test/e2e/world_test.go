package e2e_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/awssts"
	"github.com/lakegate/sts/internal/emulator/databricks"
	"github.com/lakegate/sts/internal/emulator/idp"
	"github.com/lakegate/sts/internal/emulator/samlidp"
	"github.com/lakegate/sts/internal/testservice"
)

// The principals of the worlds' workspace.
const (
	mlInference    = "6f1c2b9e-0f0e-4c56-9d58-3c1b0b1c7a11"
	etl            = "0d7c4b1a-6e0b-4b8e-9f57-2f3e1d4c5b6a"
	legacy         = "3b8f7f0e-53c5-4d0b-b0a5-6f2a1f6f9c01"
	endpointCaller = "b7d4c5aa-19e3-4a0d-8d7a-0e1f2a3b4c02"
	privateOnes    = "5a1e0f9d-2c3b-4e5f-8a7b-9c0d1e2f3a03"
	stagingApp     = "c0ffee00-1111-4222-8333-444455556666"
)

// stsIssuer is the service's own issuer identifier in all worlds.
const stsIssuer = "https://sts.acme.example"

// object is a YAML mapping, written as JSON, which YAML contains.
type object = map[string]any

// list is a YAML sequence.
type list = []any

// setup is what a world is made of; tests change it before it starts.
type setup struct {
	config object
	policy object
}

// world is a running service between its emulators.
type world struct {
	t       *testing.T
	dir     string
	clock   string // the clock file
	base    time.Duration
	idp     *idp.Server
	dbx     *databricks.Server
	aws     *awssts.Server  // nil but in tests of AWS
	saml    *samlidp.Server // nil but in tests of SAML
	sts     *process
	secrets map[string]string // of clients and principals, by name
	config  object
	policy  object
	// door is how it is asked, and hear is told each answer of [world.Ask]; nil for nobody.
	door entrance
	hear func(answer)
	ctx  context.Context // nil for the test's
	// scheme, http and credentials are how connections are made, over HTTP and over gRPC.
	scheme      string
	http        *http.Client
	credentials credentials.TransportCredentials
	kept        *grpc.ClientConn // nil for a new one each time

	command  func() *exec.Cmd      // starts the service; the program itself where a test has no wish
	auditDir string                // where the test sees the audit log
	database *testservice.Database // nil where the ledger is a file
	redis    *testservice.Redis    // nil where there is none, or where the test has ended or emptied it for good

	sinks       map[string]sink // far ends of exports, by their names; nil for none
	said        *collected
	lastMetrics string
	finished    bool
}

// newWorld starts emulators and a service for one test, with what change makes of the usual setup.
func newWorld(t *testing.T, change ...func(w *world, s *setup)) *world {
	t.Helper()
	w := prepareWorld(t, change...)
	w.Start()
	return w
}

// prepareWorld makes a world whose service is not started.
func prepareWorld(t *testing.T, change ...func(w *world, s *setup)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), secrets: map[string]string{}, said: &collected{}, command: serve, door: entrances[0], scheme: "http", credentials: insecure.NewCredentials()}
	w.auditDir = filepath.Join(w.dir, "data", "audit")
	w.http = &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	w.clock = filepath.Join(w.dir, "clock")
	if err := emulator.WriteClock(w.clock, 0); err != nil {
		t.Fatal(err)
	}
	w.startEmulators()
	s := &setup{config: w.usualConfig(), policy: w.usualPolicy()}
	for _, f := range change {
		f(w, s)
	}
	w.WriteConfig(s.config)
	w.WritePolicy(s.policy)
	return w
}

// databricksKey signs the tokens of all worlds' workspaces: to make an RSA key takes longer than most tests.
var databricksKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func (w *world) startEmulators() {
	t := w.t
	now := emulator.FileClock(w.clock)
	w.secrets["opaque"] = newSecret(t)
	var err error
	w.idp, err = idp.New(idp.Config{Now: now, Issuers: []idp.IssuerConfig{
		{Name: "okta", Audience: "api://lakegate", Algorithms: []string{"ES256"}},
		{Name: "strict", Audience: "api://lakegate", Algorithms: []string{"ES256"}},
		{Name: "other", Audience: "api://lakegate", Algorithms: []string{"ES256"}},
		{Name: "opaque", Audience: "api://lakegate", Algorithms: []string{"ES256"}, Inquirers: map[string]string{inquirer: w.secrets["opaque"]}},
		{Name: "unconfigured", Audience: "api://lakegate", Algorithms: []string{"ES256"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.idp.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.idp.Close)

	w.secrets["legacy"], w.secrets["endpoint-caller"] = newSecret(t), newSecret(t)
	w.dbx, err = databricks.New(databricks.Config{Now: now, Key: databricksKey(), Endpoints: []databricks.Endpoint{{Name: "churn"}, {Name: "fraud"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.dbx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.dbx.Close)
}

// putPrincipals lets the workspace trust the running service's keys.
func (w *world) putPrincipals() {
	federated := []databricks.FederationPolicy{{Issuer: stsIssuer, Reach: "http://" + w.sts.http}}
	for _, p := range []databricks.Principal{
		{ApplicationID: mlInference, Policies: federated, Query: []string{"churn"}},
		{ApplicationID: etl, Policies: federated, Query: []string{"churn", "fraud"}},
		{ApplicationID: privateOnes, Policies: federated, Query: []string{"churn"}},
		{ApplicationID: legacy, Secrets: []string{w.secrets["legacy"]}, Query: []string{"churn"}},
		{ApplicationID: endpointCaller, Secrets: []string{w.secrets["endpoint-caller"]}, Query: []string{"churn"}},
	} {
		if err := w.dbx.PutPrincipal(p); err != nil {
			w.t.Fatal(err)
		}
	}
}

// usualConfig is the configuration of worlds whose test has no wish of its own.
func (w *world) usualConfig() object {
	provider := func(name string, more object) object {
		p := object{
			"issuer": w.idp.Issuer(name).URL(), "audiences": list{"api://lakegate"},
			"token_types": list{"access_token", "id_token", "jwt"},
		}
		maps.Copy(p, more)
		return p
	}
	return object{
		"issuer": stsIssuer,
		"listen": object{"http": "127.0.0.1:0", "grpc": "127.0.0.1:0", "admin": "127.0.0.1:0"},
		"identity_providers": object{
			"okta":   provider("okta", object{"groups_claim": "groups"}),
			"strict": provider("strict", object{"require_typ": "at+jwt", "algorithms": list{"ES256"}}),
			"other":  provider("other", nil),
		},
		"clients": object{
			"kong":     w.client("kong", object{"limits": object{"rate": "100000/s", "burst": 100000}}),
			"poster":   w.client("poster", object{"auth_method": "client_secret_post"}),
			"stager":   w.client("stager", object{"audiences": list{"staging"}}),
			"pinned":   w.client("pinned", object{"audiences": list{"prod/ml-inference"}}),
			"both":     w.client("both", object{"audiences": list{"prod", "staging"}}),
			"web-only": w.client("web-only", object{"authorized_parties": list{"gateway-web"}}),
			"tracker":  w.client("tracker", object{"forwards_source": true}),
		},
		"databricks": object{
			"accounts":    object{"main": object{"id": w.dbx.AccountID(), "host": "https://accounts.cloud.databricks.com"}},
			"credentials": object{"legacy": w.principalSecret("legacy"), "endpoint-caller": w.principalSecret("endpoint-caller")},
			"timeout":     "5s",
		},
		"policy":    object{"files": list{"policy.yaml"}},
		"audit":     object{"directory": "data/audit"},
		"telemetry": object{"otlp_endpoint": startCollector(w.t, w.said), "sample_ratio": 1},
		"log":       object{"level": "debug"},
	}
}

// client is a client's configuration, with a secret of its own.
func (w *world) client(name string, more object) object {
	secret := newSecret(w.t)
	w.secrets[name] = secret
	c := object{
		"auth_method": "client_secret_basic", "secret_sha256": list{digest(secret)},
		"identity_providers": list{"okta", "strict"}, "authorized_parties": "any", "audiences": list{"prod"},
	}
	maps.Copy(c, more)
	return c
}

func (w *world) principalSecret(name string) object {
	w.WriteFile(name+".secret", w.secrets[name]+"\n")
	return object{"method": "client_secret", "client_secret_file": name + ".secret"}
}

// usualPolicy grants by group: each group leads to one principal.
func (w *world) usualPolicy() object {
	principal := func(app, workspace string, more object) object {
		p := object{"workspace": workspace, "application_id": app, "scopes": list{"model-serving"}, "max_lifetime": "15m", "owner": "tests"}
		maps.Copy(p, more)
		return p
	}
	rule := func(id, group, principal string, more object) object {
		r := object{
			"id": id, "owner": "tests", "match": object{"issuer": list{"okta", "strict"}, "groups": object{"any": list{group}}},
			"grant": object{"principal": principal, "lifetime": "10m"},
		}
		maps.Copy(r, more)
		return r
	}
	churn := object{
		"type": "workspace_permission", "object_type": "serving-endpoints", "object_path": "/serving-endpoints/churn",
		"actions": list{"query_inference_endpoint"},
	}
	return object{
		"version": 1,
		"workspaces": object{
			"prod":    object{"host": w.dbx.URL(), "account": "main"},
			"staging": object{"host": "https://staging.cloud.databricks.example", "account": "main"},
		},
		"principals": object{
			"ml-inference":    principal(mlInference, "prod", nil),
			"etl":             principal(etl, "prod", object{"scopes": list{"all-apis", "sql"}, "max_lifetime": "1h"}),
			"legacy":          principal(legacy, "prod", object{"scopes": list{"sql"}}),
			"endpoint-caller": principal(endpointCaller, "prod", object{"authorization_details": list{churn}}),
			"private":         principal(privateOnes, "prod", object{"isolation": "subject"}),
			"stage":           principal(stagingApp, "staging", nil),
		},
		"rules": list{
			object{"id": "no-contractors", "effect": "deny", "owner": "tests", "match": object{"issuer": list{"okta"}, "groups": object{"any": list{"contractors"}}}},
			rule("engineers", "data-eng", "ml-inference", nil),
			rule("etl", "etl", "etl", object{"grant": object{"principal": "etl", "lifetime": "1h"}}),
			rule("legacy", "legacy", "legacy", nil),
			rule("details", "details", "endpoint-caller", nil),
			rule("private", "private", "private", nil),
			rule("stage", "staging", "stage", nil),
		},
	}
}

// Start starts the service, or starts it again on the same files.
func (w *world) Start() {
	w.t.Helper()
	w.sts = startProcess(w.t, w.command(), w.dir, w.clock)
	w.putPrincipals()
	w.finished = false
	w.t.Cleanup(w.Finish)
}

// Finish stops the service and looks for secrets in all that it has said.
func (w *world) Finish() {
	if w.finished {
		return
	}
	w.finished = true
	select {
	case <-w.sts.done: // the test has ended it
	default:
		w.dbx.ClearFaults()
		w.lastMetrics = w.Metrics()
		w.sts.Stop(w.t)
	}
	w.scan()
}

// WriteConfig replaces the service's configuration.
func (w *world) WriteConfig(config object) { w.config = config; w.writeYAML("sts.yaml", config) }

// WritePolicy replaces the service's policy.
func (w *world) WritePolicy(policy object) { w.policy = policy; w.writeYAML("policy.yaml", policy) }

func (w *world) writeYAML(name string, value object) {
	w.t.Helper()
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		w.t.Fatal(err)
	}
	w.WriteFile(name, string(text)+"\n")
}

// WriteFile replaces a file of the service's folder in one step.
func (w *world) WriteFile(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		w.t.Fatal(err)
	}
}

// Move sets the clock of the service and its emulators to the machine's plus offset, counted from the last [world.Later].
func (w *world) Move(offset time.Duration) {
	w.t.Helper()
	if err := emulator.WriteClock(w.clock, w.base+offset); err != nil {
		w.t.Fatal(err)
	}
}

// Later lets so much time pass that everything that was kept or held against somebody is over, and makes the emulators
// forget: a test can begin anew without another world.
func (w *world) Later() {
	w.t.Helper()
	w.idp.Reset()
	w.dbx.Reset()
	w.base = time.Until(w.Now()).Round(time.Second) + 2*time.Hour // no token of Databricks lives longer
	w.Move(0)
}

// Now is the time of this world.
func (w *world) Now() time.Time { return w.idp.Now() }

// Eventually waits until ok holds: for what the service does by itself, such as noticing a file. It is the machine's
// time that is waited for, and only where nothing else tells that it is done.
func (w *world) Eventually(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain until %s", what)
		}
	}
}

func newSecret(t *testing.T) string {
	t.Helper()
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
