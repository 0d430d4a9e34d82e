package config_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/internal/strictyaml"
)

// small is the least that a configuration has; the tables below replace one part of it.
const small = `issuer: https://sts.example
listen: {http: 127.0.0.1:0, admin: 127.0.0.1:0}
identity_providers:
  okta: {issuer: https://okta.example, audiences: [lakegate], token_types: [jwt]}
clients:
  kong:
    auth_method: client_secret_basic
    secret_sha256: [383bd1b11b3f1f631e962bc33de8f264ec5eb2b0fd8d2ca39a6e4547140bb411]
    identity_providers: [okta]
    authorized_parties: any
    audiences: [prod]
databricks:
  accounts:
    aws: {id: 11111111-2222-3333-4444-555555555555, host: https://accounts.example/}
policy: {files: [policy.yaml]}
`

// parse reads text as if it stood in the folder.
func parse(t *testing.T, folder, text string) (*config.Config, error) {
	t.Helper()
	t.Chdir(folder)
	return config.Parse("sts.yaml", []byte(text))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDefaults(t *testing.T) {
	folder := t.TempDir()
	got, err := parse(t, folder, small)
	if err != nil {
		t.Fatal(err)
	}
	digest := config.Digest{}
	if err := digest.UnmarshalScalar("383bd1b11b3f1f631e962bc33de8f264ec5eb2b0fd8d2ca39a6e4547140bb411"); err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Issuer:   "https://sts.example",
		Listen:   config.Listen{HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0"},
		Database: config.Database{SQLite: filepath.Join(folder, "data/sts.db")},
		IdentityProviders: map[string]config.Provider{"okta": {
			Issuer: "https://okta.example", Audiences: []string{"lakegate"}, TokenTypes: []string{"jwt"}, Algorithms: []string{"RS256", "ES256"},
			SubjectClaim: map[string]string{"access_token": "sub", "id_token": "sub", "jwt": "sub"}, GroupsClaim: "groups", GroupsOverage: "deny",
			PartyClaims: []string{"azp", "client_id"},
			ClockSkew:   30 * time.Second, MaxTokenAge: 24 * time.Hour, JWKSMaxStale: 24 * time.Hour,
		}},
		Clients: map[string]config.Client{"kong": {
			AuthMethod: "client_secret_basic", SecretSHA256: []config.Digest{digest}, IdentityProviders: []string{"okta"},
			AuthorizedParties: config.Parties{Any: true}, Audiences: []config.Audience{{Workspace: "prod"}}, Grants: []string{"token_exchange"},
		}},
		Databricks: config.Databricks{
			Accounts: map[string]config.Account{"aws": {ID: "11111111-2222-3333-4444-555555555555", Host: "https://accounts.example"}},
			Federation: config.Federation{
				Issuer: "https://sts.example", PublishAhead: 24 * time.Hour, KeyRotation: 720 * time.Hour,
				Audience: map[string]string{"aws": "11111111-2222-3333-4444-555555555555"},
			},
			Credentials: map[string]config.Credential{}, Timeout: 5 * time.Second,
		},
		Policy:    config.Policy{Files: []string{filepath.Join(folder, "policy.yaml")}},
		Audit:     config.Audit{Directory: filepath.Join(folder, "data/audit"), Sync: "mint", Retention: 8760 * time.Hour},
		Telemetry: config.Telemetry{SampleRatio: 0.01},
		Log:       config.Log{Level: slog.LevelInfo, Format: "json"},

		Delegation: config.Delegation{MaxChain: 5},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(config.Config{}, config.Secret{})); diff != "" {
		t.Error(diff)
	}
	if pos := got.Where("clients.kong"); pos != (strictyaml.Pos{File: "sts.yaml", Line: 6, Column: 3}) {
		t.Error(pos)
	}
	if got.Limits.Global.PerSecond() != 0 {
		t.Error("a limit that nobody set")
	}
}

func TestPresets(t *testing.T) {
	for _, c := range []struct{ provider, want string }{
		{`{preset: okta, issuer: https://o, audiences: [a]}`, `https://o access_token,id_token RS256,ES256 uid/sub/sub shared=false`},
		{`{preset: okta, issuer: https://o, audiences: [a], subject_claim: sub}`, `https://o access_token,id_token RS256,ES256 sub/sub/sub shared=false`},
		{`{preset: okta, issuer: https://o, audiences: [a], subject_claim: {id_token: email_id}}`, `https://o access_token,id_token RS256,ES256 uid/email_id/sub shared=false`},
		{`{preset: entra, issuer: https://e/` + tenant1 + `/v2.0, audiences: [a]}`, `https://e/` + tenant1 + `/v2.0 access_token RS256 oid/oid/oid shared=false`},
		{`{preset: entra, issuer: https://e/` + tenant1 + `/v2.0, audiences: [a], token_types: [id_token], shared: true}`, `https://e/` + tenant1 + `/v2.0 id_token RS256 oid/oid/oid shared=true`},
		{`{preset: entra, issuer: https://sts.windows.net/` + tenant1 + `/, audiences: [a]}`, `https://login.microsoftonline.com/` + tenant1 + `/v2.0 access_token RS256 oid/oid/oid shared=false`},
		{`{preset: entra, issuer: "https://login.microsoftonline.com/{tenantid}/v2.0", tenants: [` + tenant1 + `, ` + tenant2 + `], audiences: [a]}`, `https://login.microsoftonline.com/{tenantid}/v2.0 access_token RS256 oid/oid/oid shared=true`},
		{`{preset: entra, issuer: "https://login.microsoftonline.com/{tenantid}/v2.0", tenants: [` + tenant1 + `], audiences: [a]}`, `https://login.microsoftonline.com/{tenantid}/v2.0 access_token RS256 oid/oid/oid shared=false`},
		{`{preset: keycloak, issuer: https://k/realms/acme, audiences: [a]}`, `https://k/realms/acme access_token,id_token RS256,ES256 sub/sub/sub shared=false`},
		{`{preset: google, audiences: [a]}`, `https://accounts.google.com id_token RS256 sub/sub/sub shared=true`},
		{`{preset: github_actions, audiences: [a]}`, `https://token.actions.githubusercontent.com jwt RS256 sub/sub/sub shared=true`},
		{`{preset: github_actions, issuer: https://g, audiences: [a], algorithms: [ES256]}`, `https://g jwt ES256 sub/sub/sub shared=true`},
	} {
		cfg, err := parse(t, t.TempDir(), strings.Replace(small, "{issuer: https://okta.example, audiences: [lakegate], token_types: [jwt]}", c.provider, 1))
		if err != nil {
			t.Errorf("%s: %v", c.provider, err)
			continue
		}
		p := cfg.IdentityProviders["okta"]
		got := p.Issuer + " " + strings.Join(p.TokenTypes, ",") + " " + strings.Join(p.Algorithms, ",") + " " +
			p.SubjectClaim["access_token"] + "/" + p.SubjectClaim["id_token"] + "/" + p.SubjectClaim["jwt"]
		if p.Shared {
			got += " shared=true"
		} else {
			got += " shared=false"
		}
		if got != c.want {
			t.Errorf("%s:\n%s\n%s", c.provider, got, c.want)
		}
	}
}

func TestSecrets(t *testing.T) {
	const credentials = "databricks:\n  credentials: {etl: {method: client_secret, client_secret_%s}}\n"
	t.Setenv("ETL_SECRET", "from the environment\n")
	t.Setenv("EMPTY", "\n")
	for _, c := range []struct{ name, file, key, want string }{
		{"file", "dose123\n", "file: s", "dose123"},
		{"file without newline", "dose123", "file: s", "dose123"},
		{"file with CRLF", "dose123\r\n", "file: s", "dose123"},
		{"environment", "", "env: ETL_SECRET", "from the environment"},
		{"two newlines", "dose123\n\n", "file: s", "fault: sts.yaml:13:66: databricks.credentials.etl.client_secret_file: the secret has characters that no secret has (control characters, line ends or non-ASCII); write the secret there alone, without quotes, on one line"},
		{"empty file", "\n", "file: s", "fault: sts.yaml:13:66: databricks.credentials.etl.client_secret_file: the secret is empty; write the secret there"},
		{"empty environment", "", "env: EMPTY", "fault: sts.yaml:13:65: databricks.credentials.etl.client_secret_env: the secret is empty; write the secret there"},
		{"huge file", strings.Repeat("x", 1<<17), "file: s", `fault: sts.yaml:13:66: databricks.credentials.etl.client_secret_file: the file can't be read; mend the path, or the file`},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, filepath.Join(folder, "s"), c.file)
			cfg, err := parse(t, folder, strings.Replace(small, "databricks:\n", strings.Replace(credentials, "%s", c.key, 1), 1))
			if want, isFault := strings.CutPrefix(c.want, "fault: "); isFault {
				if err == nil || err.Error() != want {
					t.Fatalf("%v, want %s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			secret := cfg.Databricks.Credentials["etl"].ClientSecret
			if secret.Reveal() != c.want {
				t.Errorf("%q", secret.Reveal())
			}
			var logged strings.Builder
			slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "secret", secret, "credentials", cfg.Databricks.Credentials)
			for _, printed := range append(spellings(secret), spellings(cfg.Databricks)...) {
				logged.WriteString(printed)
			}
			if strings.Contains(logged.String()+string(cfg.Show()), c.want) {
				t.Error("the secret shows")
			}
		})
	}
}

func TestFileTooLargeOrAbsent(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "large.yaml"), strings.Repeat("#", 9<<20))
	for _, name := range []string{"large.yaml", "absent.yaml"} {
		if _, err := config.Load(filepath.Join(folder, name)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The example that we ship loads, and its Show too.
func TestExample(t *testing.T) {
	cfg, err := config.Load("../deploy/config/sts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	checkShow(t, cfg)
}
