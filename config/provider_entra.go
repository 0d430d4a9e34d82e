package config

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/lakegate/sts/internal/strictyaml"
)

// Graph says how Microsoft Graph is asked for groups that a token leaves out, with a credential of our own.
type Graph struct {
	ClientID            string `yaml:"client_id"`
	ClientSecret        Secret `yaml:"client_secret,omitempty"`
	ClientAssertionFile string `yaml:"client_assertion_file,omitempty"` // absolute; in place of a secret, and read whenever it is used
	Endpoint            string `yaml:"endpoint"`
	Authority           string `yaml:"authority"` // whose /TENANT/oauth2/v2.0/token gives tokens for Graph
}

type graphFile struct {
	Pos                 strictyaml.Pos
	ClientID            text                      `yaml:"client_id"`
	ClientSecretFile    text                      `yaml:"client_secret_file"`
	ClientSecretEnv     text                      `yaml:"client_secret_env"`
	ClientAssertionFile text                      `yaml:"client_assertion_file"`
	Endpoint            strictyaml.Value[hostURL] `yaml:"endpoint"`
	Authority           strictyaml.Value[hostURL] `yaml:"authority"`
}

const (
	overageGraph = "graph"
	// tenantID stands in an issuer for the id of each of tenants, as in Entra's own discovery document.
	tenantID = "{tenantid}"
)

// entraClouds are Microsoft's clouds, by the host of their v2 issuers: the host of their v1 issuers, and Graph's. The
// public cloud is the first. Elsewhere, which is in tests, one host is all.
var entraClouds = []struct{ host, v1, graph string }{
	{"https://login.microsoftonline.com", "https://sts.windows.net", "https://graph.microsoft.com"},
	{"https://login.microsoftonline.us", "https://sts.windows.net", "https://graph.microsoft.us"},
	{"https://login.partner.microsoftonline.cn", "https://sts.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn"},
}

var (
	// entraIssuer is an issuer of either version.
	entraIssuer = regexp.MustCompile(`^(https?://[^/]+)/([^/]+)/(v2\.0)?$`)
	// entraID is how Entra writes ids.
	entraID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
)

// tenant is a tenant's id.
type tenant string

func (t *tenant) UnmarshalScalar(text string) error {
	*t = tenant(text)
	if !entraID.MatchString(text) {
		return strictyaml.Problemf("write its Tenant ID as Entra does, in small letters, like 00000000-1111-2222-3333-444444444444", "not the id of a tenant")
	}
	return nil
}

// entraForms are the issuers of a tenant, or of {tenantid}, in both versions. Tokens of version 1 are what Entra gives for
// an API that doesn't ask for version 2, and the people in them are the same.
func entraForms(issuer string) (v2, v1, tenant string, ok bool) {
	parts := entraIssuer.FindStringSubmatch(issuer)
	if parts == nil {
		return "", "", "", false
	}
	host, old := parts[1], parts[1]
	for _, cloud := range entraClouds {
		if host == cloud.host || parts[3] == "" && host == cloud.v1 {
			host, old = cloud.host, cloud.v1
			break
		}
	}
	return host + "/" + parts[2] + "/v2.0", old + "/" + parts[2] + "/", parts[2], true
}

// entra reads what only Entra ID has: tenants, the two versions of their issuers, and groups that are asked for.
func (c *checker) entra(f *providerFile, path string, p *Provider) {
	if f.Preset.V != presetEntra {
		c.notEntra(f, path)
		return
	}
	p.Tenants = toStrings(f.Tenants.values())
	if f.Issuer.Set() {
		c.entraIssuer(f, path, p)
	}
	if len(p.Tenants) > 1 {
		p.Shared = true
		if f.Shared.Set() && !f.Shared.V {
			c.fault(f.Shared.Pos, path+".shared", "several tenants share this provider", "leave it out")
		}
	}
	asks := f.GroupsOverage.V == overageGraph
	switch {
	case asks && !f.Graph.Set():
		c.missing(f.Pos, path, "graph", "add it: the credential that Microsoft Graph is asked with")
	case !asks && f.Graph.Set():
		c.fault(f.Graph.Pos, path+".graph", "a credential that nothing is asked with", "add groups_overage: graph, or leave it out")
	case asks:
		p.GroupsOverage = overageGraph
		p.Graph = c.graph(&f.Graph.V, path+".graph", p.Issuer)
		if p.GroupsClaim != "groups" {
			c.fault(f.GroupsOverage.Pos, path+".groups_overage", "Microsoft Graph knows what stands in groups, and groups_claim is another", "take groups as groups_claim, and name the other as roles_claim")
		}
	}
}

// entraIssuer brings the issuer into the form that identities have, version 2's, and holds it against the tenants.
func (c *checker) entraIssuer(f *providerFile, path string, p *Provider) {
	v2, v1, named, ok := entraForms(p.Issuer)
	at := func(message, mend string) { c.fault(f.Issuer.Pos, path+".issuer", message, mend) }
	switch {
	case !ok || named != tenantID && !entraID.MatchString(named):
		at("not an issuer of Entra ID", "write it like https://login.microsoftonline.com/TENANT-ID/v2.0, the Tenant ID in small letters; for several tenants write {tenantid} in its place, and list them under tenants")
		return
	case named == tenantID && !f.Keys.Has("tenants"):
		at("{tenantid} would be every tenant of the world", "list the ids of those whose tokens are accepted under tenants, or write the tenant's id")
	case named != tenantID && len(p.Tenants) > 0 && (len(p.Tenants) > 1 || p.Tenants[0] != named):
		at("the issuer of one tenant, beside a list of others", "write {tenantid} in place of the tenant's id, or leave tenants out")
	case named != tenantID:
		p.Tenants = []string{named}
	}
	p.Issuer, p.OtherIssuer = v2, v1
}

// notEntra refuses the keys that mean nothing without the preset.
func (c *checker) notEntra(f *providerFile, path string) {
	refuse := func(pos strictyaml.Pos, key string) {
		c.fault(pos, path+"."+key, "only Entra ID has this", "add preset: entra, or leave it out")
	}
	if f.Tenants.set() {
		refuse(f.Tenants.Pos, "tenants")
	}
	if f.Graph.Set() {
		refuse(f.Graph.Pos, "graph")
	}
	if f.GroupsOverage.V == overageGraph {
		refuse(f.GroupsOverage.Pos, "groups_overage")
	}
	if strings.Contains(string(f.Issuer.V), tenantID) {
		refuse(f.Issuer.Pos, "issuer")
	}
}

// graph fills in the hosts of the issuer's cloud.
func (c *checker) graph(f *graphFile, path, issuer string) *Graph {
	g := &Graph{Endpoint: entraClouds[0].graph, Authority: entraClouds[0].host}
	if u, err := url.Parse(issuer); err == nil && u.Host != "" {
		g.Authority = u.Scheme + "://" + u.Host
	}
	for _, cloud := range entraClouds {
		if g.Authority == cloud.host {
			g.Endpoint = cloud.graph
		}
	}
	g.Endpoint, g.Authority = string(f.Endpoint.Or(hostURL(g.Endpoint))), string(f.Authority.Or(hostURL(g.Authority)))
	if g.ClientID = c.filled(f.ClientID, path+".client_id"); !f.ClientID.Set() {
		c.missing(f.Pos, path, "client_id", "add it: the Application (client) ID of the app registration that may read memberships")
	}
	switch secret := f.ClientSecretFile.Set() || f.ClientSecretEnv.Set(); {
	case secret && f.ClientAssertionFile.Set():
		c.fault(f.ClientAssertionFile.Pos, path, "both client_assertion_file and a client secret", "keep client_assertion_file: then there is no secret to lose")
	case secret:
		g.ClientSecret = c.secret(f.ClientSecretFile, f.ClientSecretEnv, f.Pos, path, "client_secret")
	case !f.ClientAssertionFile.Set():
		c.missing(f.Pos, path, "client_assertion_file", "add it: a token of ours that the app registration trusts; or client_secret_file, or client_secret_env")
	default:
		g.ClientAssertionFile = c.file(f.ClientAssertionFile, path+".client_assertion_file")
	}
	return g
}

// issuers are all iss that a provider's tokens may have, for finding two of one. Entra ID's versions count as one
// issuer also where a provider is configured by hand: two of them would make two identities of each person.
func (p Provider) issuers() []string {
	v2, v1, named, ok := entraForms(p.Issuer)
	switch known := strings.HasPrefix(v2, entraClouds[0].host+"/") || strings.HasPrefix(v2, entraClouds[1].host+"/") || strings.HasPrefix(v2, entraClouds[2].host+"/"); {
	case !ok || len(p.Tenants) == 0 && (!known || !entraID.MatchString(named)):
		return []string{p.Issuer}
	case len(p.Tenants) == 0:
		return []string{v2, v1}
	}
	var all []string
	for _, id := range p.Tenants {
		all = append(all, strings.ReplaceAll(v2, tenantID, id), strings.ReplaceAll(v1, tenantID, id))
	}
	return all
}
