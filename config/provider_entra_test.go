package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	tenant1 = "00000000-1111-2222-3333-444444444444"
	tenant2 = "00000000-5555-6666-7777-888888888888"

	entraV2  = "issuer: https://login.microsoftonline.com/" + tenant1 + "/v2.0"
	entraV1  = "issuer: https://sts.windows.net/" + tenant1 + "/"
	entraAll = `issuer: "https://login.microsoftonline.com/{tenantid}/v2.0"`
)

func TestEntraFaults(t *testing.T) {
	const notOne = "not an issuer of Entra ID; write it like https://login.microsoftonline.com/TENANT-ID/v2.0, the Tenant ID in small letters; for several tenants write {tenantid} in its place, and list them under tenants"
	for _, c := range []struct{ provider, want string }{
		{"issuer: https://login.microsoftonline.com/common/v2.0, preset: entra", "4:18: identity_providers.okta.issuer: " + notOne},
		{"issuer: https://login.microsoftonline.com/acme.onmicrosoft.com/v2.0, preset: entra", "4:18: identity_providers.okta.issuer: " + notOne},
		{"issuer: https://login.microsoftonline.com/" + strings.ToUpper("00000000-aaaa-2222-3333-444444444444") + "/v2.0, preset: entra", "4:18: identity_providers.okta.issuer: " + notOne},
		{"issuer: https://login.microsoftonline.com/" + tenant1 + "/v2.0/, preset: entra", "4:18: identity_providers.okta.issuer: " + notOne},
		{entraAll + ", preset: entra", "4:18: identity_providers.okta.issuer: {tenantid} would be every tenant of the world; list the ids of those whose tokens are accepted under tenants, or write the tenant's id"},
		{entraV2 + ", preset: entra, tenants: [" + tenant2 + "]", "4:18: identity_providers.okta.issuer: the issuer of one tenant, beside a list of others; write {tenantid} in place of the tenant's id, or leave tenants out"},
		{entraAll + ", token_types: [jwt]", "4:18: identity_providers.okta.issuer: only Entra ID has this; add preset: entra, or leave it out"},
		{"issuer: https://o, token_types: [jwt], tenants: [" + tenant1 + "]", "4:58: identity_providers.okta.tenants: only Entra ID has this; add preset: entra, or leave it out"},
		{"issuer: https://o, token_types: [jwt], groups_overage: graph", "4:65: identity_providers.okta.groups_overage: only Entra ID has this; add preset: entra, or leave it out"},
		{"preset: entra, " + entraAll + ", tenants: [acme]", "4:96: identity_providers.okta.tenants[0]: not the id of a tenant; write its Tenant ID as Entra does, in small letters, like 00000000-1111-2222-3333-444444444444"},
		{"preset: entra, " + entraAll + ", tenants: [" + tenant1 + ", " + tenant2 + "], shared: false", "4:181: identity_providers.okta.shared: several tenants share this provider; leave it out"},
		{"preset: entra, groups_overage: graph, " + entraV2, `4:9: identity_providers.okta: missing key "graph"; add it: the credential that Microsoft Graph is asked with`},
		{"preset: entra, graph: {client_id: a, client_secret_file: there}, " + entraV2, "4:32: identity_providers.okta.graph: a credential that nothing is asked with; add groups_overage: graph, or leave it out"},
		{"preset: entra, groups_overage: graph, graph: {endpint: x}, " + entraV2, `4:55: identity_providers.okta.graph: missing key "client_id"; add it: the Application (client) ID of the app registration that may read memberships
4:55: identity_providers.okta.graph: missing key "client_assertion_file"; add it: a token of ours that the app registration trusts; or client_secret_file, or client_secret_env
4:56: identity_providers.okta.graph: unknown key "endpint"; did you mean "endpoint"?`},
		{"preset: entra, groups_overage: graph, graph: {client_id: a, client_secret_file: there, client_assertion_file: there}, " + entraV2, "4:120: identity_providers.okta.graph: both client_assertion_file and a client secret; keep client_assertion_file: then there is no secret to lose"},
		{"preset: entra, groups_overage: graph, graph: {client_id: a, client_assertion_file: missing}, " + entraV2, "4:93: identity_providers.okta.graph.client_assertion_file: there is no such file; make it, or mend the path; relative paths start at this file's folder"},
		{"preset: entra, groups_claim: roles, groups_overage: graph, graph: {client_id: a, client_secret_file: there}, " + entraV2, "4:62: identity_providers.okta.groups_overage: Microsoft Graph knows what stands in groups, and groups_claim is another; take groups as groups_claim, and name the other as roles_claim"},
		{"preset: entra, subject_claim: email, " + entraV2, `4:40: identity_providers.okta.subject_claim: "email" is an address, which changes hands; name a claim that stays with a person, like sub`},
		{"preset: google, shared: false", "4:34: identity_providers.okta.shared: this issuer is everybody's; leave it out"},
	} {
		t.Run(c.provider, func(t *testing.T) { checkFaults(t, provider, "{"+c.provider+", audiences: [a]}", c.want) })
	}
}

// A person is one identity: no second provider may have a tenant in another version's words.
func TestEntraTenantTwice(t *testing.T) {
	const want = `5:3: identity_providers.other: has the issuer of "okta" too; make one provider of them: a person is one identity`
	const byHand = ", token_types: [jwt], audiences: [a]}"
	for _, c := range []struct{ first, second string }{
		{"{preset: entra, " + entraV2 + ", audiences: [a]}", "{preset: entra, " + entraV1 + ", audiences: [a]}"},
		{"{preset: entra, " + entraAll + ", tenants: [" + tenant2 + ", " + tenant1 + "], audiences: [a]}", "{preset: entra, " + entraV2 + ", audiences: [b]}"},
		{"{preset: entra, " + entraV2 + ", audiences: [a]}", "{" + entraV1 + byHand},
		{"{" + entraV1 + byHand, "{" + entraV2 + byHand},
	} {
		checkFaults(t, provider, c.first+"\n  other: "+c.second, want)
	}
}

// The version in which the issuer is written makes no difference, and the hosts are those of its cloud.
func TestEntraShow(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "key"), "dose-of-a-secret\n")
	loadWith := func(credential, issuer string) string {
		cfg, err := parse(t, folder, strings.Replace(small, provider, "{preset: entra, "+issuer+", audiences: [a], roles_claim: roles, groups_overage: graph, graph: {client_id: b, "+credential+": key}}", 1))
		if err != nil {
			t.Fatal(err)
		}
		checkShow(t, cfg)
		_, shown, _ := strings.Cut(string(cfg.Show()), "  okta:\n")
		shown, _, _ = strings.Cut(shown, "clients:")
		return strings.ReplaceAll(shown, folder, "/folder")
	}
	load := func(issuer string) string { return loadWith("client_secret_file", issuer) }
	const want = `    preset: entra
    issuer: https://login.microsoftonline.com/00000000-1111-2222-3333-444444444444/v2.0
    tenants: ["00000000-1111-2222-3333-444444444444"]
    audiences: [a]
    token_types: [access_token]
    algorithms: [RS256]
    subject_claim:
      access_token: oid
      id_token: oid
      jwt: oid
    groups_claim: groups
    roles_claim: roles
    groups_overage: graph
    graph:
      client_id: b
      client_secret_file: /folder/key
      endpoint: https://graph.microsoft.com
      authority: https://login.microsoftonline.com
    party_claims: [azp, client_id, appid]
    clock_skew: 30s
    max_token_age: 24h
    jwks_max_stale: 24h
    shared: false
    single_use: false
`
	for _, issuer := range []string{entraV2, entraV1} {
		if diff := cmp.Diff(want, load(issuer)); diff != "" {
			t.Error(diff)
		}
	}
	if diff := cmp.Diff(strings.Replace(want, "client_secret_file", "client_assertion_file", 1), loadWith("client_assertion_file", entraV2)); diff != "" {
		t.Error(diff)
	}
	if shown := load("issuer: https://login.microsoftonline.us/" + tenant1 + "/v2.0"); !strings.Contains(shown, "https://graph.microsoft.us\n      authority: https://login.microsoftonline.us\n") {
		t.Error(shown)
	}
}
