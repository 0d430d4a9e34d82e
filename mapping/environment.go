package mapping

import (
	"slices"
	"strings"

	"github.com/lakegate/sts/exchange"
)

// Environment is what the configuration knows and a policy refers to. It is read, never changed.
//
// A nil *Environment means that there is no configuration at hand, as under "sts policy lint FILE": then providers,
// clients and accounts are taken as the policy names them, a client may ask for every audience, every principal is
// minted by federation, and a provider counts as shared, or as Entra, by its name alone (github, google, entra, …).
type Environment struct {
	// Providers are the identity providers, by their configured name.
	Providers map[string]Provider
	// Clients are the registered clients by id, with the audiences that each may ask for: "workspace" or
	// "workspace/principal". A nil list stands for all of them.
	Clients map[string][]string
	// Accounts are the names of the Databricks accounts.
	Accounts []string
	// Credentials say how principals are minted. One that isn't listed is minted by federation.
	Credentials map[string]Credential
	// FederationDetails says that the federation grant honours authorization details; without it a principal that has
	// some must be minted by client_secret.
	FederationDetails bool
}

// Provider is what policy must know of an identity provider.
type Provider struct {
	// Issuer is its iss, for the identities in policy tests; the provider's name stands in for an empty one. "{tenantid}" in
	// it stands for each of Tenants.
	Issuer  string
	Tenants []string
	// Shared says that tenants of many owners have this one issuer: a subject means nothing without its tenant.
	Shared bool
	// Entra says that its groups are object ids, never names: that there are no roles among them.
	Entra bool
}

// Credential is how one principal is minted.
type Credential struct {
	Method exchange.Method
	// Generation changes when the secret is rotated, see exchange.Grant.Credential.
	Generation string
}

// sharedByName are the names under which shared issuers usually appear, for when there is no configuration.
var sharedByName = map[string]bool{
	"github": true, "github_actions": true, "github-actions": true, "google": true, "gitlab": true, "gitlab-com": true,
	"circleci": true, "buildkite": true, "terraform-cloud": true,
}

// entraByName are the names under which Entra ID usually appears.
var entraByName = map[string]bool{"entra": true, "entra-id": true, "entraid": true, "azuread": true, "azure-ad": true, "aad": true}

// provider finds a provider by its name.
func (e *Environment) provider(name string) (Provider, bool) {
	if e == nil {
		return Provider{Issuer: name, Shared: sharedByName[name], Entra: entraByName[name]}, true
	}
	p, ok := e.Providers[name]
	if p.Issuer == "" {
		p.Issuer = name
	}
	return p, ok
}

// issuerOf is the issuer of somebody with these claims, whose tid is his tenant.
func (p Provider) issuerOf(claims map[string]any) string {
	if tenant, ok := claims["tid"].(string); ok && slices.Contains(p.Tenants, tenant) {
		return strings.ReplaceAll(p.Issuer, tenantID, tenant)
	}
	return p.Issuer
}

// issuers are all that it has.
func (p Provider) issuers() []string {
	if !strings.Contains(p.Issuer, tenantID) {
		return []string{p.Issuer}
	}
	var all []string
	for _, tenant := range p.Tenants {
		all = append(all, strings.ReplaceAll(p.Issuer, tenantID, tenant))
	}
	return all
}

const tenantID = "{tenantid}"

// credential says how a principal is minted.
func (e *Environment) credential(principal string) Credential {
	if e != nil {
		if c, ok := e.Credentials[principal]; ok {
			return c
		}
	}
	return Credential{Method: exchange.MethodFederation}
}
