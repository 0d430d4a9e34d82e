package config_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// withWorkload is small with a provider of a platform, and a client that authenticates by its tokens.
func withWorkload(provider, keys string) string {
	text := strings.Replace(small, "clients:\n", "  k8s: "+provider+"\nclients:\n", 1)
	return strings.Replace(text, "databricks:", "  nightly:\n    auth_method: federated_assertion\n    identity_providers: [k8s]\n    authorized_parties: any\n    audiences: [prod]\n"+keys+"databricks:", 1)
}

func TestFederated(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "there"), "x")
	const (
		k8s  = "{preset: kubernetes, issuer: https://k8s.example, audiences: [databricks]}"
		both = "    assertion_provider: k8s\n    assertion_subject: system:serviceaccount:data:etl\n"
	)
	cfg, err := parse(t, folder, withWorkload(k8s, both))
	if err != nil {
		t.Fatal(err)
	}
	if c := cfg.Clients["nightly"]; c.AssertionProvider != "k8s" || c.AssertionSubject != "system:serviceaccount:data:etl" {
		t.Errorf("%+v", c)
	}
	checkShow(t, cfg)

	if _, err := parse(t, folder, withWorkload("{issuer: https://agent.buildkite.com, token_types: [jwt], shared: true, audiences: [databricks]}", strings.Replace(both, "system:serviceaccount:data:etl", "organization:acme:pipeline:etl:ref:refs/heads/main:commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485:step:build", 1))); err != nil {
		t.Error(err)
	}

	for _, c := range []struct{ provider, keys, want string }{
		{k8s, "", `clients.nightly: missing key "assertion_subject"; add it: the sub of its tokens, like system:serviceaccount:NAMESPACE:NAME, or its SPIFFE ID
clients.nightly: missing key "assertion_provider"; add it: the identity provider that issues its tokens`},
		{k8s, strings.Replace(both, "k8s", "k8", 1), `clients.nightly.assertion_provider: unknown identity provider "k8"; did you mean "k8s"? Else add it under identity_providers`},
		{k8s, "    assertion_provider: k8s\n    assertion_subject: \"\"\n", `clients.nightly.assertion_subject: an empty text; fill it in, or leave it out`},
		{k8s, both + "    secret_sha256: [" + digest + "]\n", `clients.nightly: "secret_sha256" is a key of client_secret_basic and client_secret_post, and this client's auth_method is federated_assertion; leave it out; a client has one way to authenticate`},
		{"{preset: okta, issuer: https://k8s.example, audiences: [databricks]}", both, `clients.nightly.assertion_provider: the tokens of this identity provider are not presented as jwt; name a provider with jwt among its token_types, like one of preset kubernetes or spiffe`},
		{"{preset: kubernetes, issuer: https://k8s.example, audiences: [databricks, https://sts.example]}", both,
			`clients.nightly.assertion_provider: this identity provider's tokens for subjects are for our issuer, too, so that whoever exchanges one could pass for its subject; give subjects' tokens another audience than https://sts.example`},
		{"{preset: github_actions, audiences: [databricks]}", "    assertion_provider: k8s\n    assertion_subject: environment:production\n",
			`clients.nightly.assertion_subject: a subject that anybody can give his own jobs, at an issuer that is everybody's; write one that begins with its tenant, like repo:OWNER/NAME:environment:NAME or project_path:GROUP/NAME:…`},
		{"{preset: entra, issuer: https://login.microsoftonline.com/" + tenant1 + "/v2.0, token_types: [jwt], audiences: [databricks]}", both,
			`clients.nightly.assertion_provider: every token of Entra ID is an access token or an ID token, and neither authenticates a client; name a provider of another kind, like one of preset kubernetes or spiffe`},
		{k8s, both + "  other: {auth_method: federated_assertion, assertion_provider: k8s, assertion_subject: 'system:serviceaccount:data:etl', identity_providers: [k8s], authorized_parties: any, audiences: [prod]}\n",
			`clients.other.assertion_subject: the same as that of client "nightly"; give each client a workload of its own`},
	} {
		_, err := parse(t, folder, withWorkload(c.provider, c.keys))
		if err == nil {
			t.Errorf("no fault, want %s", c.want)
			continue
		}
		var got []string
		for _, line := range strings.Split(err.Error(), "\n") {
			_, line, _ = strings.Cut(line, ": ")
			got = append(got, line)
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), c.want)
		}
	}
}
