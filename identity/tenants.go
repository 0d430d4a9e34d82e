package identity

import (
	"errors"
	"regexp"
	"strings"
)

// tenantID stands in an issuer for the id of each tenant. Entra ID writes it so itself: in the discovery document that all
// tenants share, and in the keys of it.
const tenantID = "{tenantid}"

// tenantClaim is where Entra ID's tokens name their tenant, and objectClaim where they name who they are of: the same in
// all applications, other than sub. applicationMark is in idtyp where that is an application itself.
const (
	tenantClaim     = "tid"
	objectClaim     = "oid"
	typeClaim       = "idtyp"
	applicationMark = "app"
)

// anyTenant is the name under which Entra ID publishes what its tenants of organizations share.
const anyTenant = "organizations"

// entraID is how Entra ID writes the ids of tenants, people and groups.
var entraID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// IsEntraID reports whether a text is an id as Entra ID writes it.
func IsEntraID(text string) bool { return entraID.MatchString(text) }

// tenancy is what an iss stands for.
type tenancy struct {
	issuer string // of the identities: one for each tenant, whatever the version of the token
	tenant string // its id, "" of a provider without tenants
}

// tenancies are the iss of a provider's tokens. Each is accepted byte for byte.
func (p Provider) tenancies() map[string]tenancy {
	all := map[string]tenancy{}
	if len(p.Tenants) == 0 {
		all[p.Issuer] = tenancy{issuer: p.Issuer}
		return all
	}
	for _, tenant := range p.Tenants {
		of := tenancy{issuer: strings.ReplaceAll(p.Issuer, tenantID, tenant), tenant: tenant}
		all[of.issuer] = of
		if p.OtherIssuer != "" {
			all[strings.ReplaceAll(p.OtherIssuer, tenantID, tenant)] = of
		}
	}
	return all
}

// discoverable is the issuer with the name of all tenants in place of each one's: where their common document is.
func discoverable(issuer string) string { return strings.ReplaceAll(issuer, tenantID, anyTenant) }

// tenancy is that of the token's iss.
func (t *trial) tenancy() tenancy {
	issuer, _ := t.claims["iss"].(string)
	if of, ok := t.provider.tenancies[issuer]; ok {
		return of
	}
	return tenancy{issuer: t.provider.Issuer} // a JWT-SVID, whose iss says nothing
}

// checkTenant holds a token to its tenant: Entra ID's tenants share their keys, so the signature alone doesn't say whose
// token it is. The tid must be that of the iss, and the key one that signs for that tenant.
func (t *trial) checkTenant() error {
	of := t.tenancy()
	if of.tenant == "" {
		return nil
	}
	if t.claims[tenantClaim] != any(of.tenant) {
		return t.Invalid("has a tid that is not the tenant of its iss, or none")
	}
	if signs := t.key.Issuer; signs != "" && strings.ReplaceAll(signs, tenantID, of.tenant) != of.issuer {
		return t.Invalid("is signed by a key that the identity provider %s has for another issuer", t.provider.Name)
	}
	return nil
}

// tenantFaults are those of a provider's tenants.
func (p Provider) tenantFaults() (faults []error) {
	if len(p.Tenants) == 0 {
		if strings.Contains(p.Issuer, tenantID) || p.OtherIssuer != "" || p.ResolveOverage {
			faults = append(faults, errors.New("tenants is empty: name the ids of those whose tokens are accepted"))
		}
		return faults
	}
	for _, tenant := range p.Tenants {
		if !IsEntraID(tenant) {
			faults = append(faults, errors.New("tenants must be ids in small letters"))
		}
	}
	for _, issuer := range []string{p.Issuer, p.OtherIssuer} {
		if issuer != "" && !strings.Contains(issuer, tenantID) && (len(p.Tenants) > 1 || !strings.Contains(issuer, p.Tenants[0])) {
			faults = append(faults, errors.New("issuer must hold {tenantid}, or the id of the only tenant"))
		}
	}
	return faults
}
