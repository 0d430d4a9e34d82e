package config_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// platformFile is small with another provider.
func platformFile(provider string) string {
	return strings.Replace(small, "{issuer: https://okta.example, audiences: [lakegate], token_types: [jwt]}", provider, 1)
}

func TestPlatforms(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "there"), "x")
	for _, c := range []struct{ provider, want string }{
		{`{preset: gitlab, audiences: [a]}`, `issuer: "https://gitlab.com" token_types: [jwt] algorithms: [RS256] shared: true`},
		{`{preset: gitlab, issuer: https://git.acme.example, audiences: [a], shared: false}`, `issuer: "https://git.acme.example" shared: false`},
		{`{preset: github_actions, issuer: https://token.actions.githubusercontent.com/acme, audiences: [a]}`, `shared: true`},
		{`{preset: github_actions, issuer: https://token.actions.githubusercontent.com/acme, audiences: [a], shared: false}`, `shared: false`},
		{`{issuer: https://gitlab.com, audiences: [a], token_types: [jwt], shared: true}`, `shared: true`},
		{`{issuer: https://agent.buildkite.com, audiences: [a], token_types: [jwt], shared: true}`, `shared: true`},
		{`{preset: entra, issuer: https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0, audiences: [a], shared: true}`, `shared: true`},
		{`{preset: kubernetes, issuer: https://k, audiences: [a], jwks_uri: https://k/openid/v1/jwks, jwks_ca_file: there, jwks_token_file: there}`,
			`token_types: [jwt] jwks_uri: "https://k/openid/v1/jwks" jwks_ca_file: FOLDER/there jwks_token_file: FOLDER/there shared: false`},
		{`{preset: spiffe, trust_domain: acme.example, audiences: [a], jwks_uri: https://spire/bundle}`,
			`issuer: "spiffe://acme.example" algorithms: [RS256, ES256, ES384] trust_domain: acme.example`},
		{`{trust_domain: acme.example, issuer: "spiffe://acme.example", token_types: [jwt], audiences: [a], jwks_file: there}`, `issuer: "spiffe://acme.example"`},
	} {
		cfg, err := parse(t, folder, platformFile(c.provider))
		if err != nil {
			t.Errorf("%s: %v", c.provider, err)
			continue
		}
		checkShow(t, cfg)
		shown := strings.ReplaceAll(string(cfg.Show()), folder, "FOLDER")
		for _, line := range strings.Split(strings.NewReplacer(" token_types", "\ntoken_types", " algorithms", "\nalgorithms", " jwks", "\njwks", " shared", "\nshared", " trust", "\ntrust").Replace(c.want), "\n") {
			if !strings.Contains(strings.ReplaceAll(shown, `"`, ""), "    "+strings.ReplaceAll(line, `"`, "")+"\n") {
				t.Errorf("%s: %q is not in\n%s", c.provider, line, shown)
			}
		}
	}
}

func TestPlatformFaults(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "there"), "x")
	for _, c := range []struct{ provider, want string }{
		{`{preset: gitlab, audiences: [a], shared: false}`, `4:50: identity_providers.okta.shared: this issuer is everybody's; leave it out`},
		{`{issuer: https://gitlab.com, audiences: [a], token_types: [jwt]}`, `4:18: identity_providers.okta: this issuer is everybody's; write shared: true, so that every rule for it must say whose tokens it means`},
		{`{issuer: https://app.terraform.io, audiences: [a], token_types: [jwt], shared: false}`, `4:18: identity_providers.okta: this issuer is everybody's; write shared: true, so that every rule for it must say whose tokens it means`},
		{`{preset: entra, issuer: https://sts.windows.net/9188040d-6c67-4c5b-b112-36a304b66dad/, audiences: [a]}`, `4:33: identity_providers.okta: this issuer is everybody's; write shared: true, so that every rule for it must say whose tokens it means`},
		{`{preset: kubernetes, audiences: [a]}`, `4:9: identity_providers.okta: missing key "issuer"; add it`},
		{`{preset: kubernetes, issuer: https://k, audiences: [a], jwks_token_file: there}`,
			`4:82: identity_providers.okta.jwks_token_file: a bearer token, and no https address that is configured to send it to; add jwks_uri, like https://kubernetes.default.svc/openid/v1/jwks`},
		{`{preset: kubernetes, issuer: https://k, audiences: [a], jwks_uri: "http://127.0.0.1/k", jwks_token_file: there}`,
			`4:114: identity_providers.okta.jwks_token_file: a bearer token, and no https address that is configured to send it to; add jwks_uri, like https://kubernetes.default.svc/openid/v1/jwks`},
		{`{preset: kubernetes, issuer: https://k, audiences: [a], jwks_file: there, jwks_ca_file: gone}`,
			`4:97: identity_providers.okta.jwks_ca_file: there is no such file; make it, or mend the path; relative paths start at this file's folder
4:97: identity_providers.okta.jwks_ca_file: a CA for keys that are fetched, and jwks_file is not; keep one`},
		{`{preset: spiffe, audiences: [a], jwks_file: there}`, `4:9: identity_providers.okta: missing key "trust_domain"; add it: the name behind spiffe://, like acme.example`},
		{`{preset: spiffe, trust_domain: acme.example, audiences: [a]}`, `4:9: identity_providers.okta: missing key "jwks_uri"; add it, or jwks_file: the trust domain's bundle`},
		{`{preset: spiffe, trust_domain: "spiffe://acme.example", audiences: [a], jwks_file: there}`, `4:40: identity_providers.okta.trust_domain: a trust domain is written without its scheme; write acme.example`},
		{`{preset: spiffe, trust_domain: Acme.example, audiences: [a], jwks_file: there}`,
			`4:40: identity_providers.okta.trust_domain: "Acme.example" is no trust domain; write it in small letters, digits, dots, dashes and underscores, like acme.example`},
		{`{preset: spiffe, trust_domain: acme.example, issuer: https://i, audiences: [a], jwks_file: there}`,
			`4:62: identity_providers.okta.issuer: an issuer beside trust_domain: whatever iss a JWT-SVID has, what stands for it is spiffe://acme.example; leave it out`},
		{`{issuer: "spiffe://acme.example", audiences: [a], token_types: [jwt], jwks_file: there}`,
			`4:18: identity_providers.okta.issuer: a trust domain in place of an issuer; write preset: spiffe and trust_domain: "acme.example"`},
		{`{preset: spiffe, trust_domain: acme.example, audiences: [a], jwks_file: there, token_types: [jwt, id_token], subject_claim: uid}`,
			`4:107: identity_providers.okta.token_types[1]: JWT-SVIDs are presented as jwt; leave it out
4:133: identity_providers.okta.subject_claim: the SPIFFE ID of a JWT-SVID is its sub; leave it out`},
	} {
		_, err := parse(t, folder, platformFile(c.provider))
		if err == nil {
			t.Errorf("%s: no fault", c.provider)
			continue
		}
		if got := strings.ReplaceAll(err.Error(), "sts.yaml:", ""); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.provider, got, c.want)
		}
	}
}
