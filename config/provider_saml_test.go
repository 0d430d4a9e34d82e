package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/config"
)

const samlMetadata = `<?xml version="1.0"?><!-- x --><md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="urn:acme:idp"/>`

// metadataFile writes a file of metadata, and returns its path.
func metadataFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "idp.xml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSAML(t *testing.T) {
	file := metadataFile(t, "\uFEFF"+samlMetadata) // as Entra ID and AD FS write it
	for _, c := range []struct {
		file string
		want config.Provider
	}{
		{`{saml: {metadata_file: ` + file + `, audience: https://sts.acme.example/saml}, token_types: [saml2]}`, config.Provider{
			Issuer: "urn:acme:idp", TokenTypes: []string{"saml2"}, GroupsClaim: "groups", ClockSkew: 30 * time.Second, MaxTokenAge: 24 * time.Hour,
			SAML: &config.SAML{
				EntityID: "urn:acme:idp", MetadataFile: file, MaxStale: 24 * time.Hour,
				Audience: "https://sts.acme.example/saml", Recipient: "https://sts.example/oauth2/token",
			},
		}},
		{`{clock_skew: 0s, max_token_age: 5m, groups_claim: "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups", saml: {entity_id: https://idp.example/x,
    metadata_uri: https://idp.example/metadata, max_stale: 1h, audience: a, recipient: https://app.example/acs, subject_attribute: employeeNumber}}`, config.Provider{
			Issuer: "https://idp.example/x", TokenTypes: []string{"saml2"}, GroupsClaim: "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups", MaxTokenAge: 5 * time.Minute,
			SAML: &config.SAML{
				EntityID: "https://idp.example/x", MetadataURI: "https://idp.example/metadata", MaxStale: time.Hour,
				Audience: "a", Recipient: "https://app.example/acs", SubjectAttribute: "employeeNumber",
			},
		}},
	} {
		cfg, err := config.Parse("sts.yaml", []byte(strings.Replace(small, provider, c.file, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, cfg.IdentityProviders["okta"]); diff != "" {
			t.Error(diff)
		}
		checkShow(t, cfg)
	}
}

// Entra ID has one name for assertions and for tokens of version 1, and Keycloak one for all of a realm.
func TestAssertionsAndTokensOfOneIssuer(t *testing.T) {
	const assertions = "\n  other: {saml: {audience: a, metadata_uri: https://i.example/metadata, entity_id: "
	for _, c := range []struct{ tokens, entity string }{
		{"{preset: entra, " + entraV2 + ", audiences: [a]}", "https://sts.windows.net/" + tenant1 + "/"},
		{"{preset: keycloak, issuer: https://sso.example/realms/acme, audiences: [a]}", "https://sso.example/realms/acme"},
	} {
		checkFaults(t, provider, c.tokens+assertions+c.entity+"}}",
			`5:3: identity_providers.other: has the issuer of "okta" too; keep one of them: a person is one identity, and an assertion's subject can't be told to be a token's`)
	}
}

func TestSAMLFaults(t *testing.T) {
	good, bad, other := metadataFile(t, samlMetadata), metadataFile(t, "nonsense"), metadataFile(t, `<a/>`)
	for _, c := range []struct{ name, new, want string }{
		{"nothing said", `{saml: {}}`, `4:16: identity_providers.okta.saml: missing key "audience"; add it
4:16: identity_providers.okta.saml: missing key "metadata_file"; add it, or metadata_uri: where the identity provider's certificates are`},
		{"two sources", `{saml: {audience: a, metadata_uri: "https://i.example", metadata_file: "` + good + `"}}`,
			`4:80: identity_providers.okta.saml: both metadata_file and metadata_uri; keep one`},
		{"in the clear", `{saml: {audience: a, entity_id: e, metadata_uri: "http://i.example"}}`,
			`4:58: identity_providers.okta.saml.metadata_uri: http:// is for a loopback host only, and "i.example" is none; use https://`},
		{"metadata of whom", `{saml: {audience: a, metadata_uri: "https://i.example"}}`,
			`4:16: identity_providers.okta.saml: missing key "entity_id"; add it: the entityID of the metadata, so that no other metadata is taken for it`},
		{"no metadata", `{saml: {audience: a, metadata_file: "` + bad + `"}}`, `4:45: identity_providers.okta.saml.metadata_file: the file is no XML; name the metadata of the identity provider`},
		{"other XML", `{saml: {audience: a, metadata_file: "` + other + `"}}`, `4:45: identity_providers.okta.saml.metadata_file: the file has no EntityDescriptor as its root; name the metadata of the identity provider`},
		{"another entity", `{saml: {audience: a, entity_id: e, metadata_file: "` + good + `"}}`, `4:41: identity_providers.okta.saml.entity_id: the metadata is of another entity; write its entityID letter for letter, or leave this out`},
		{"what tokens have", `{issuer: https://i.example, audiences: [a], saml: {audience: a, metadata_file: "` + good + `"}}`,
			`4:10: identity_providers.okta.issuer: not for SAML assertions; leave it out; they have token_types, groups_claim, clock_skew, max_token_age, saml
4:37: identity_providers.okta.audiences: not for SAML assertions; leave it out; they have token_types, groups_claim, clock_skew, max_token_age, saml`},
		{"another type", `{token_types: [jwt], saml: {audience: a, metadata_file: "` + good + `"}}`, `4:24: identity_providers.okta.token_types: SAML assertions have another type; write saml2, or leave it out`},
		{"what it says by itself", `{groups_claim: act, saml: {audience: a, subject_attribute: sub, metadata_file: "` + good + `"}}`,
			`4:24: identity_providers.okta.groups_claim: the name of what an assertion says by itself; name an attribute
4:68: identity_providers.okta.saml.subject_attribute: the name of what an assertion says by itself; name an attribute`},
		{"lengths", `{clock_skew: 1h, max_token_age: 0s, saml: {audience: a, max_stale: 0s, metadata_file: "` + good + `"}}`,
			`4:22: identity_providers.okta.clock_skew: longer than 10m; make it shorter, or leave it out for 30s
4:41: identity_providers.okta.max_token_age: shorter than 1s; make it longer, or leave it out for 24h
4:76: identity_providers.okta.saml.max_stale: shorter than 1s; make it longer, or leave it out for 24h`},
	} {
		t.Run(c.name, func(t *testing.T) { checkFaults(t, provider, c.new, c.want) })
	}
	checkFaults(t, "token_types: [jwt]", "token_types: [jwt, saml2]",
		`4:82: identity_providers.okta.token_types: saml2 is for SAML assertions; add the key saml to a provider of their own, or leave it out`)
}
