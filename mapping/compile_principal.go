package mapping

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/strictyaml"
)

func (c *compiler) addWorkspaces(d *document) {
	for _, e := range d.Workspaces.Entries {
		where := "workspace " + e.Key
		c.name(e.Pos, where, e.Key)
		if first := c.p.workspaces[e.Key]; first != nil {
			c.twice(e.Pos, first.pos, where)
			continue
		}
		w := &workspace{name: e.Key, account: e.Value.Account.V, pos: e.Pos}
		c.p.workspaces[e.Key] = w
		if c.env != nil {
			known(c, e.Value.Account, where, "account", c.accounts, "add it to databricks.accounts of the configuration")
		}
		if host := e.Value.Host; host.Set() {
			c.host(host, where, w)
		}
	}
}

func (c *compiler) host(host text, where string, w *workspace) {
	normal, err := normalizeHost(host.V)
	if err != nil {
		c.problem(host.Pos, where, err)
		return
	}
	if first := c.p.hosts[normal]; first != nil {
		c.fault(host.Pos, where, "its host is that of workspace "+first.name, "one host is one workspace: keep one")
		return
	}
	w.host = normal
	c.p.hosts[normal] = w
}

// normalizeHost takes https://host, and http only where nobody can listen in.
func normalizeHost(host string) (string, error) {
	normal, err := exchange.NormalizeResource(host)
	if err != nil {
		return "", strictyaml.Problemf("write https:// and its name, like https://dbc-a1b2c3d4-e5f6.cloud.databricks.com", "the host is not the URL of a workspace")
	}
	u, err := url.Parse(normal)
	if err != nil || u.Path != "" || strings.Contains(normal, "?") {
		return "", strictyaml.Problemf("cut it off behind the host", "the host has a path or a query")
	}
	if u.Scheme != "https" && !isLoopback(u.Hostname()) {
		return "", strictyaml.Problemf("write https://", "the host is reached without TLS, which only a loopback address may be")
	}
	return normal, nil
}

func isLoopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	return host == "localhost"
}

func (c *compiler) addPrincipals(d *document) {
	for _, e := range d.Principals.Entries {
		where := "principal " + e.Key
		c.name(e.Pos, where, e.Key)
		if first := c.p.principals[e.Key]; first != nil {
			c.twice(e.Pos, first.pos, where)
			continue
		}
		c.p.principals[e.Key] = c.principal(where, e.Key, e.Pos, &e.Value)
	}
}

func (c *compiler) principal(where, name string, pos strictyaml.Pos, d *principalDoc) *principal {
	p := &principal{
		name: name, pos: pos, owner: d.Owner.V, description: d.Description.V, applicationID: d.ApplicationID.V, isolation: d.Isolation.Or(isolateClient),
		maxLifetime: time.Duration(d.MaxLifetime.V), minLifetime: time.Duration(d.MinLifetime.Or(strictyaml.Duration(minLifetime))),
	}
	if known(c, d.Workspace, where, "workspace", c.p.workspaces, "add it under workspaces") {
		p.workspace = c.p.workspaces[d.Workspace.V]
	}
	if d.ApplicationID.Set() {
		if id, err := uuid.Parse(p.applicationID); err != nil || id.String() != p.applicationID {
			c.fault(d.ApplicationID.Pos, where, "the application_id is not a UUID in lower case", "copy the service principal's application id, like 6f1c2b9e-0f0e-4c56-9d58-3c1b0b1c7a11")
		}
	}
	p.scopes = c.scopes(d.Scopes, where)
	c.lifetime(d.MaxLifetime, where, "max_lifetime")
	c.lifetime(d.MinLifetime, where, "min_lifetime")
	if d.MaxLifetime.Set() && p.minLifetime > p.maxLifetime {
		at := d.MinLifetime.Pos
		if at.IsZero() {
			at = d.MaxLifetime.Pos
		}
		c.fault(at, where, "min_lifetime is longer than max_lifetime", "no token could be granted: shorten one")
	}
	p.details = c.details(d.Details, where)
	if len(p.details) > 0 && c.env != nil && !c.env.FederationDetails && c.env.credential(name).Method == exchange.MethodFederation {
		c.fault(d.Details[0].Pos, where, "a principal that is minted by federation can't have authorization_details, since it is not known whether that grant honours them",
			"once it has been measured, set databricks.federation.authorization_details: true; or mint it by client_secret, under databricks.credentials")
	}
	return p
}

const (
	minLifetime       = time.Minute    // a shorter token is over before it is of use
	maxPolicyLifetime = 24 * time.Hour // the longest assertion that a signing key is kept published for
)

func (c *compiler) lifetime(d span, where, key string) {
	switch v := time.Duration(d.V); {
	case !d.Set():
	case v < minLifetime:
		c.fault(d.Pos, where, key+" is under 60 s", "a shorter token is over before it is of use: write 60s or more")
	case v > maxPolicyLifetime:
		c.fault(d.Pos, where, key+" is over a day", "write 24h or less")
	case v%time.Second != 0:
		c.fault(d.Pos, where, key+" is not a whole number of seconds", "tokens end at whole seconds: round it")
	}
}

// scopes checks a list of scope names, and sorts it.
func (c *compiler) scopes(list texts, where string) []string {
	if list.Set() && len(list.V) == 0 {
		c.fault(list.Pos, where, "an empty list of scopes", "name at least one")
	}
	var names []string
	for _, t := range list.V {
		parsed, err := exchange.ParseScope(t.V)
		if err != nil || len(parsed) != 1 || parsed[0] != t.V {
			c.fault(t.Pos, where, "not the name of a scope", "write one name per element, without spaces, quotes and backslashes")
			continue
		}
		names = append(names, t.V)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (c *compiler) details(docs []detailDoc, where string) exchange.Details {
	var list []exchange.Detail
	for _, d := range docs {
		detail := exchange.Detail{Type: d.Type.V, ObjectType: d.ObjectType.V, ObjectPath: d.ObjectPath.V}
		for _, action := range d.Actions.V {
			detail.Actions = append(detail.Actions, action.V)
		}
		if _, err := exchange.MakeDetails([]exchange.Detail{detail}); err != nil {
			c.fault(d.Pos, where, "authorization_details: "+strings.Replace(err.Error(), "element 0", "this element", 1), "")
			continue
		}
		list = append(list, detail)
	}
	made, err := exchange.MakeDetails(list)
	if err != nil || len(made) == 0 {
		return nil // each element has been checked above
	}
	return made
}

func (c *compiler) addAliases(d *document) {
	for _, e := range d.Groups.Entries {
		where := "group " + e.Key
		if first := c.p.aliases[e.Key]; first != nil {
			c.twice(e.Pos, first.pos, where)
			continue
		}
		a := &alias{names: map[string]string{}, pos: e.Pos}
		c.p.aliases[e.Key] = a
		if len(e.Value.Entries) == 0 {
			c.fault(e.Pos, where, "it has no name at any provider", "write it as {okta: its-name, entra: its-object-id}")
		}
		for _, at := range e.Value.Entries {
			c.provider(text{V: at.Key, Pos: at.Pos}, where)
			c.groupName(at.Value, where)
			a.names[at.Key] = at.Value.V
		}
	}
}

func (c *compiler) provider(ref text, where string) {
	if c.env != nil {
		known(c, ref, where, "identity provider", c.env.Providers, "add it to identity_providers of the configuration")
	} else if err := strictyaml.CheckName(ref.V); ref.Set() && err != nil {
		c.problem(ref.Pos, where, err)
	}
}

func (c *compiler) groupName(t text, where string) {
	switch {
	case !t.Set():
	case t.V == "" || strings.TrimSpace(t.V) != t.V:
		c.fault(t.Pos, where, "the name of a group is empty, or has white space at its ends", "write it as the provider does")
	case strings.ContainsAny(t.V, "*?"):
		c.fault(t.Pos, where, "groups are compared whole; * and ? are no patterns there", "list the groups one by one")
	}
}
