package config_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/config"
)

// spellings are the ways to print a value.
func spellings(v any) []string {
	return []string{fmt.Sprint(v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%x", v), fmt.Sprintf("%q", v)}
}

// checkShow holds that Show says the same again once it is loaded.
func checkShow(t *testing.T, cfg *config.Config) {
	t.Helper()
	shown := cfg.Show()
	again, err := config.Parse("shown.yaml", shown)
	if err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	if diff := cmp.Diff(string(shown), string(again.Show())); diff != "" {
		t.Fatal(diff)
	}
	if differ := cfg.RestartNeeded(again); differ != nil {
		t.Fatal(differ)
	}
}

const shown = `issuer: https://sts.example
listen:
  http: "127.0.0.1:0"
  grpc: "127.0.0.1:0"
  admin: "127.0.0.1:0"
  plaintext: false
  trusted_proxies: ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]
  tls:
    cert_file: /folder/crt
    key_file: /folder/key
    client_ca_file: /folder/crt
grpc:
  reflection: true
database: sqlite:/folder/data/sts.db
identity_providers:
  okta:
    issuer: https://okta.example
    audiences: [lakegate]
    token_types: [jwt]
    algorithms: [RS256, ES256]
    subject_claim:
      access_token: sub
      id_token: sub
      jwt: sub
    groups_claim: groups
    groups_overage: deny
    party_claims: [azp, client_id]
    clock_skew: 30s
    max_token_age: 24h
    jwks_max_stale: 24h
    shared: false
    single_use: false
clients:
  "a: b #":
    auth_method: client_secret_post
    secret_sha256: ["0000000000000000000000000000000000000000000000000000000000000000"]
    identity_providers: [okta]
    authorized_parties: ["*", "null", "a b"]
    may_act: true
    actor_parties: [agents]
    audiences: [prod, prod/etl]
    forwards_source: false
    grants: [token_exchange]
    limits:
      rate: 50/m
      burst: 3
      per_subject: 20/s
      per_actor: 5/h
  kong:
    auth_method: client_secret_basic
    secret_sha256: ["383bd1b11b3f1f631e962bc33de8f264ec5eb2b0fd8d2ca39a6e4547140bb411"]
    identity_providers: [okta]
    authorized_parties: any
    audiences: [prod]
    forwards_source: false
    grants: [token_exchange]
  none:
    auth_method: none
    identity_providers: [okta]
    authorized_parties: any
    audiences: [prod]
    forwards_source: false
    grants: []
  signs:
    auth_method: private_key_jwt
    jwks_file: /folder/crt
    audience_token_endpoint: true
    identity_providers: [okta]
    authorized_parties: any
    audiences: [prod]
    forwards_source: false
    grants: [token_exchange]
  tls:
    auth_method: tls_client_auth
    tls_client_auth_subject_dn: "CN=etl, OU=\"Data\",O=Acme"
    identity_providers: [okta]
    authorized_parties: any
    audiences: [prod]
    forwards_source: false
    grants: [token_exchange]
databricks:
  accounts:
    aws:
      id: "11111111-2222-3333-4444-555555555555"
      host: https://accounts.example
  federation:
    issuer: https://sts.example
    publish_ahead: 24h
    key_rotation: 720h
    audience:
      aws: "11111111-2222-3333-4444-555555555555"
    authorization_details: false
  credentials:
    etl:
      method: client_secret
      client_secret_env: ETL_SECRET
    other:
      method: client_secret
      client_secret_file: /folder/key
    third:
      method: federation
  timeout: 5s
policy:
  files: [/folder/policy.yaml]
store:
  keyset_file: /folder/key
audit:
  directory: /folder/data/audit
  sync: always
  retention: 8760h
  record_claims: [department]
  signing_key_file: /folder/key
  witness:
    url: https://witness.example/sts
    command: [/bin/keep, "-a", "-a"]
  exports:
    - name: collector
      otlp: http://127.0.0.1:4317
    - name: disk
      file: /folder/out/audit.jsonl
      format: json
    - name: shipper
      command: [/bin/ship, "-x"]
      format: ocsf
    - name: siem
      url: https://siem.example/in
      authorization_file: /folder/key
      format: ocsf
    - name: lake
      volume: /Volumes/main/security/sts/audit
      workspace: prod
      principal: audit-writer
limits:
  global: 20000/s
telemetry:
  otlp_endpoint: https://collector.example:4317
  sample_ratio: 0.5
log:
  level: warn
  format: json
delegation:
  enabled: true
  max_chain: 3
`

const full = small + `store: {keyset_file: key}
audit: {sync: always, record_claims: [department], signing_key_file: key, witness: {url: "https://witness.example/sts", command: [/bin/keep, -a, -a]},
  exports: [{name: collector, otlp: "http://127.0.0.1:4317"}, {name: disk, file: out/audit.jsonl}, {name: shipper, command: [/bin/ship, -x], format: ocsf},
    {name: siem, url: "https://siem.example/in", authorization_file: key, format: ocsf},
    {name: lake, volume: /Volumes/main/security/sts/audit, workspace: prod, principal: audit-writer}]}
limits: {global: 20000/s}
telemetry: {otlp_endpoint: "https://collector.example:4317", sample_ratio: 0.5}
log: {level: warn}
delegation: {enabled: true, max_chain: 3}
leases: {enabled: false, max_lifetime: 24h}
databricks_door: {enabled: false, identity_providers: [], audience: "", networks: []}
grpc: {reflection: true}
`

func fullText() string {
	return strings.NewReplacer(
		"admin: 127.0.0.1:0}", "grpc: 127.0.0.1:0, admin: 127.0.0.1:0, trusted_proxies: [10.0.0.0/8, 192.0.2.1, \"2001:db8::/32\"], tls: {cert_file: crt, key_file: ./key, client_ca_file: crt}}",
		"  kong:\n", `  "a: b #":
    auth_method: client_secret_post
    secret_sha256: ["0000000000000000000000000000000000000000000000000000000000000000"]
    identity_providers: [okta]
    authorized_parties: ["*", "null", a b]
    audiences: [prod, prod/etl]
    may_act: true
    actor_parties: [agents]
    limits: {rate: 50/m, burst: 3, per_subject: 20/s, per_actor: 5/h}
  signs: {auth_method: private_key_jwt, jwks_file: crt, audience_token_endpoint: true, identity_providers: [okta], authorized_parties: any, audiences: [prod]}
  tls: {auth_method: tls_client_auth, tls_client_auth_subject_dn: 'CN=etl, OU="Data",O=Acme', identity_providers: [okta], authorized_parties: any, audiences: [prod]}
  none: {auth_method: none, audience_token_endpoint: false, identity_providers: [okta], authorized_parties: any, audiences: [prod], grants: []}
  kong:
`,
		"  accounts:\n", `  credentials:
    third: {method: federation}
    etl: {method: client_secret, client_secret_env: ETL_SECRET}
    other: {method: client_secret, client_secret_file: key}
  accounts:
`).Replace(full)
}

func TestShow(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "crt"), "x")
	write(t, filepath.Join(folder, "key"), "dose-of-a-secret\n")
	t.Setenv("ETL_SECRET", "dose-of-another")
	cfg, err := parse(t, folder, fullText())
	if err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(string(cfg.Show()), folder, "/folder")
	if diff := cmp.Diff(shown, got); diff != "" {
		t.Error(diff)
	}
	checkShow(t, cfg)
}

func TestRestartNeeded(t *testing.T) {
	folder := t.TempDir()
	for _, c := range []struct{ old, new, want string }{
		{"127.0.0.1:0, admin", "127.0.0.1:1, admin", "listen.http"},
		{"issuer: https://sts.example", "issuer: https://sts.example2", "databricks.federation.issuer issuer"},
		{"  accounts:", "  federation: {issuer: https://keys.example, key_rotation: 800h, publish_ahead: 25h, authorization_details: true}\n  accounts:",
			"databricks.federation.issuer databricks.federation.key_rotation databricks.federation.publish_ahead"},
		{"policy.yaml", "other.yaml", "policy.files"},
		{"policy: {", "limits: {global: 1/s}\naudit: {sync: always, retention: 1h}\npolicy: {", "audit.retention audit.sync limits.global"},
		{"policy: {", "audit: {exports: [{name: a, file: a}]}\npolicy: {", "audit.exports"},
		{"    audiences: [prod]", "    audiences: [staging]", ""},
		{"  okta:", "  github: {preset: github_actions, audiences: [a]}\n  okta:", ""},
		{"  accounts:", "  timeout: 3s\n  accounts:", ""},
	} {
		before, err := parse(t, folder, small)
		if err != nil {
			t.Fatal(err)
		}
		after, err := parse(t, folder, strings.Replace(small, c.old, c.new, 1))
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range [][]string{before.RestartNeeded(after), after.RestartNeeded(before)} {
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s: %q, want %q", c.new, got, c.want)
			}
		}
		before.KeepFixed(after)
		for _, key := range before.RestartNeeded(after) {
			if strings.HasPrefix(key, "databricks.") {
				t.Errorf("%s: %s still differs", c.new, key)
			}
		}
	}
}

// What FuzzLoad holds: Parse returns, either faults with positions inside the file or a configuration that its own Show repeats.
func FuzzLoad(f *testing.F) {
	example, err := os.ReadFile("../deploy/config/sts.yaml")
	if err != nil {
		f.Fatal(err)
	}
	wrong, err := os.ReadFile("testdata/wrong.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{small, fullText(), string(example), string(wrong)} {
		f.Add([]byte(seed))
	}
	f.Setenv("ETL_SECRET", "dose-of-another")
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := config.Parse(filepath.Join(t.TempDir(), "sts.yaml"), data)
		if err == nil {
			checkShow(t, cfg)
			return
		}
		checkPositions(t, bytes.Count(data, []byte("\n"))+1, err)
	})
}
