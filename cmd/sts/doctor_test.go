package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// clinic is where providers are looked at.
type clinic struct {
	t         *testing.T
	idp       *idp.Server
	other     *idp.Server // whose clock is its own
	dir       string
	providers map[string]map[string]any
}

const sampleAudience = "api://lakegate"

// newClinic has three providers that are well: okta and entra on one server, and opaque on another.
func newClinic(t *testing.T) *clinic {
	t.Helper()
	start := func(issuers ...idp.IssuerConfig) *idp.Server {
		s, err := idp.New(idp.Config{Issuers: issuers})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	named := func(name string) idp.IssuerConfig {
		return idp.IssuerConfig{Name: name, Audience: sampleAudience, Algorithms: []string{"ES256"}}
	}
	asked := named("opaque")
	asked.Inquirers = map[string]string{"lakegate": "hush-hush"}
	c := &clinic{t: t, dir: t.TempDir(), idp: start(named("okta"), asked), other: start(named("other"))}
	provider := func(issuer *idp.Issuer, types ...string) map[string]any {
		return map[string]any{"issuer": issuer.URL(), "audiences": []string{sampleAudience}, "token_types": types}
	}
	c.providers = map[string]map[string]any{
		"okta":   provider(c.idp.Issuer("okta"), "jwt", "access_token"),
		"other":  provider(c.other.Issuer("other"), "jwt"),
		"opaque": provider(c.idp.Issuer("opaque"), "access_token"),
	}
	c.providers["opaque"]["introspection"] = map[string]any{
		"endpoint": c.idp.Issuer("opaque").IntrospectionEndpoint(), "client_id": "lakegate", "client_secret_file": "secret",
	}
	c.write("secret", "hush-hush\n")
	c.write("policy.yaml", "")
	return c
}

func (c *clinic) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// ask runs the doctor.
func (c *clinic) ask(args ...string) (code int, out, errs string) {
	c.t.Helper()
	config, err := json.Marshal(map[string]any{ // YAML holds JSON
		"issuer": "https://sts.example", "listen": map[string]any{"http": "127.0.0.1:0", "admin": "127.0.0.1:0"},
		"identity_providers": c.providers,
		"clients": map[string]any{"kong": map[string]any{
			"auth_method": "client_secret_basic", "secret_sha256": []string{"383bd1b11b3f1f631e962bc33de8f264ec5eb2b0fd8d2ca39a6e4547140bb411"},
			"identity_providers": []string{"okta"}, "authorized_parties": "any", "audiences": []string{"prod"},
		}},
		"databricks": map[string]any{"accounts": map[string]any{"aws": map[string]any{"id": "11111111-2222-3333-4444-555555555555", "host": "https://accounts.example/"}}},
		"policy":     map[string]any{"files": []string{"policy.yaml"}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.write("sts.yaml", string(config))
	var stdout, stderr bytes.Buffer
	code = run(c.t.Context(), append([]string{"doctor", "--config", filepath.Join(c.dir, "sts.yaml")}, args...), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestDoctorFindsNothing(t *testing.T) {
	c := newClinic(t)
	code, out, errs := c.ask()
	if code != 0 || errs != "" || strings.Contains(out, "FAULT") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	for _, want := range []string{"this host  clock", "okta       discovery", "okta       keys", "ES256", "opaque     introspection", "other      clock", "agrees with ours"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q isn't in\n%s", want, out)
		}
	}
}

// TestDoctorFindsFaults has one fault each: it is found, nothing else is, and the setting to change is named.
func TestDoctorFindsFaults(t *testing.T) {
	set := func(provider, key string, value any) func(*clinic) {
		return func(c *clinic) { c.providers[provider][key] = value }
	}
	okta := func(c *clinic) *idp.Issuer { return c.idp.Issuer("okta") }
	fault := func(route func(*idp.Issuer) string, f emulator.Fault) func(*clinic) {
		return func(c *clinic) { f.Route = route(okta(c)); c.idp.AddFault(f) }
	}
	for _, test := range []struct {
		name  string
		spoil func(*clinic)
		want  []string // expressions, in the line of the fault; a Date has whole seconds, and takes its time
	}{
		{"a slash too many", func(c *clinic) { c.providers["okta"]["issuer"] = okta(c).URL() + "/" }, []string{"okta", "discovery", "byte for byte", "set issuer"}},
		{"an issuer that isn't there", func(c *clinic) { c.providers["okta"]["issuer"] = okta(c).URL() + "x" }, []string{"okta", "discovery", "mend issuer"}},
		{"no discovery", fault((*idp.Issuer).DiscoveryRoute, emulator.Fault{Status: http.StatusServiceUnavailable}), []string{"okta", "discovery", "503", "jwks_uri"}},
		{"dead keys", fault((*idp.Issuer).JWKSRoute, emulator.Fault{Hangup: true}), []string{"okta", "keys", "can't be had", "jwks_uri"}},
		{"no keys", fault((*idp.Issuer).JWKSRoute, emulator.Fault{Body: `{"keys":[]}`}), []string{"okta", "keys", "no key that can be used"}},
		{"keys that are none", fault((*idp.Issuer).JWKSRoute, emulator.Fault{Body: `{"keys":[{"kty":"oct","k":"AAAA"}]}`}), []string{"okta", "keys", "1 not used", "mend"}},
		{"another algorithm", set("okta", "algorithms", []string{"RS256"}), []string{"okta", "keys", "are for ES256", "allows RS256 alone", "add to algorithms"}},
		{"a key file that is none", func(c *clinic) { c.write("keys", "{}"); c.providers["okta"]["jwks_file"] = "keys" }, []string{"okta", "keys", "mend jwks_file"}},
		{"one clock", func(c *clinic) { c.other.SetOffset(94 * time.Second) }, []string{"other", "clock", "1m3[2-5]s ahead of ours", "raise clock_skew"}},
		{"one clock behind", func(c *clinic) { c.other.SetOffset(-94 * time.Second) }, []string{"other", "clock", "1m3[3-6]s behind ours", "mend the clock"}},
		{"our clock", func(c *clinic) { c.idp.SetOffset(94 * time.Second); c.other.SetOffset(94 * time.Second) }, []string{"this host", "clock", "3 of 3 providers", "1m3[2-5]s ahead of ours", "our own clock that is wrong", "NTP"}},
		{"a wrong secret", func(c *clinic) { c.write("secret", "of yesterday") }, []string{"opaque", "introspection", "refuses our credential", "introspection.client_id"}},
		{"a wrong endpoint", func(c *clinic) {
			c.providers["opaque"]["introspection"].(map[string]any)["endpoint"] = c.idp.Issuer("opaque").JWKSURI()
		}, []string{"opaque", "introspection", "501", "introspection.endpoint"}},
		{"no way to AWS STS", func(c *clinic) {
			c.providers["aws"] = map[string]any{"aws": map[string]any{
				"account_ids": []string{"123456789012"}, "regions": []string{"eu-central-1"}, "endpoints": map[string]any{"eu-central-1": "http://127.0.0.1:1"},
			}}
		}, []string{"aws", "eu-central-1", "let the service reach", "aws.endpoints"}},
		{"no way to metadata", func(c *clinic) {
			c.providers["legacy"] = map[string]any{"saml": map[string]any{"entity_id": "https://idp.example", "metadata_uri": "http://127.0.0.1:1/", "audience": sampleAudience}}
		}, []string{"legacy", "metadata", "saml.metadata_uri"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClinic(t)
			test.spoil(c)
			code, out, errs := c.ask()
			faults := faultsOf(out)
			if code != exitFault || len(faults) != 1 || errs != "1 fault was found\n" {
				t.Fatalf("exit %d, faults %q: %s%s", code, faults, out, errs)
			}
			for _, want := range test.want {
				if !regexp.MustCompile(want).MatchString(faults[0]) {
					t.Errorf("%q doesn't say %q", faults[0], want)
				}
			}
		})
	}
}

func faultsOf(out string) (faults []string) {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "FAULT") {
			faults = append(faults, line)
		}
	}
	return faults
}

// TestDoctorJudgesAToken holds what is said of a sample, and that its text is not.
func TestDoctorJudgesAToken(t *testing.T) {
	c := newClinic(t)
	mint := func(recipe idp.Token) string {
		if recipe.Issuer == "" {
			recipe.Issuer = "okta"
		}
		return c.idp.MustMint(recipe)
	}
	for _, test := range []struct {
		name, token, typ, provider string
		code                       int
		want                       []string
	}{
		{"good", mint(idp.Token{Claims: map[string]any{"groups": []string{"ml"}}}), "jwt", "okta", 0, []string{"ok ", "okta", "accepted", "1 groups"}},
		{"opaque", mint(idp.Token{Issuer: "opaque", Opaque: true}), "access_token", "opaque", 0, []string{"ok ", "accepted", "groups unknown"}},
		{"opaque, unknown", "0123456789abcdef", "access_token", "opaque", 1, []string{"not active"}},
		{"expired", mint(idp.Token{Lifetime: -42 * time.Second}), "jwt", "okta", 1, []string{"expired", "subject_token_expired"}},
		{"wrong audience", mint(idp.Token{Claims: map[string]any{"aud": "api://other"}}), "jwt", "okta", 1, []string{"another audience", sampleAudience, "audiences"}},
		{"ahead", mint(idp.Token{Claims: map[string]any{"iat": time.Now().Add(94 * time.Second).Unix()}}), "jwt", "okta", 1, []string{"not valid yet", "agrees with ours"}},
		{"forged", mint(idp.Token{Forged: true}), "jwt", "okta", 1, []string{"signature"}},
		{"as another type", mint(idp.Token{}), "id_token", "okta", 1, []string{"token_types"}},
		{"another provider's", mint(idp.Token{}), "jwt", "other", 1, []string{"okta's"}},
		{"nobody's", mint(idp.Token{Claims: map[string]any{"iss": "https://else.example"}}), "jwt", "okta", 1, []string{"identity_providers"}},
	} {
		c.write("token", test.token+"\n")
		code, out, errs := c.ask("--provider", test.provider, "--token-file", filepath.Join(c.dir, "token"), "--token-type", test.typ)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		last := lines[len(lines)-1]
		if code != test.code || !strings.Contains(last, "token") {
			t.Errorf("%s: exit %d: %s%s", test.name, code, out, errs)
		}
		for _, want := range test.want {
			if !strings.Contains(last, want) {
				t.Errorf("%s: %q doesn't say %q", test.name, last, want)
			}
		}
		if strings.Contains(out+errs, test.token) {
			t.Errorf("%s: the token is shown: %s", test.name, out)
		}
	}
}

// TestDoctorExplains holds that a token which is accepted once is not used up.
func TestDoctorExplains(t *testing.T) {
	c := newClinic(t)
	c.providers["okta"]["single_use"] = true
	c.write("token", c.idp.MustMint(idp.Token{Issuer: "okta"}))
	for range 2 {
		if code, out, errs := c.ask("--provider", "okta", "--token-file", filepath.Join(c.dir, "token"), "--token-type", "jwt", "--json"); code != 0 {
			t.Errorf("exit %d: %s%s", code, out, errs)
		} else {
			for line := range strings.Lines(out) {
				var f finding
				if err := json.Unmarshal([]byte(line), &f); err != nil || !f.OK || f.Part == "" || f.Text == "" {
					t.Errorf("%q: %v", line, err)
				}
			}
		}
	}
}

func TestDoctorUsage(t *testing.T) {
	c := newClinic(t)
	c.write("token", "x")
	token := filepath.Join(c.dir, "token")
	for want, args := range map[string][]string{
		`no identity provider "octa"`: {"--provider", "octa"},
		"go together":                 {"--token-file", token},
		"unknown --token-type":        {"--token-file", token, "--token-type", "JWT"},
		"reading the sample token":    {"--token-file", token + "x", "--token-type", "jwt"},
	} {
		if code, _, errs := c.ask(args...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%v: exit %d: %s, want %q", args, code, errs, want)
		}
	}
}
