package mapping

import (
	"slices"
	"strings"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/strictyaml"
)

func (c *compiler) addRules(d *document) {
	for i := range d.Rules {
		r := &d.Rules[i]
		where := "rule " + string(r.ID.V)
		if r.ID.Set() {
			if first, there := c.ids[string(r.ID.V)]; there {
				c.twice(r.ID.Pos, first, where)
				continue
			}
			c.ids[string(r.ID.V)] = r.ID.Pos
		}
		var next strictyaml.Pos
		if i+1 < len(d.Rules) {
			next = d.Rules[i+1].Pos
		}
		c.p.rules = append(c.p.rules, c.rule(where, r, next))
	}
}

// soundBetween says that nothing has been found wrong from one place of a file up to another. What a rule lacks is not
// worth telling where a part of it could not be read.
func (c *compiler) soundBetween(from, to strictyaml.Pos) bool {
	return !slices.ContainsFunc(c.faults, func(f strictyaml.Fault) bool {
		return f.Pos.File == from.File && !before(f.Pos, from) && (to.IsZero() || before(f.Pos, to))
	})
}

func before(a, b strictyaml.Pos) bool {
	return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
}

func (c *compiler) rule(where string, d *ruleDoc, next strictyaml.Pos) *rule {
	r := &rule{
		id: string(d.ID.V), order: len(c.p.rules), pos: d.Pos, deny: d.Effect.Or(allow) == deny,
		priority: d.Priority.V, expires: time.Time(d.Expires.V), everyone: d.Everyone.V || d.Match.V.Everyone.V,
		owner: d.Owner.V, ticket: d.Ticket.V, description: d.Description.V,
	}
	if r.priority != int(int32(r.priority)) { //nolint:gosec // whether it overflows is what is asked
		c.fault(d.Priority.Pos, where, "the priority does not fit into 32 bits", "write a smaller number")
	}
	if d.Match.Set() {
		r.match = c.matcher(where, d.Match.Pos, &d.Match.V)
	}
	if r.deny {
		c.denyRule(where, d)
		return r
	}
	sound := c.soundBetween(d.Pos, next)
	switch {
	case d.Grant.Set():
		c.grant(where, r, &d.Grant.V)
	case sound:
		c.fault(d.Pos, where, `missing key "grant"`, "an allow rule says what it grants: add grant: {principal: …}")
	}
	if d.Match.Set() && sound {
		c.narrow(where, d.Match.Pos, &r.match, r.everyone)
	}
	return r
}

func (c *compiler) denyRule(where string, d *ruleDoc) {
	if d.Grant.Set() {
		c.fault(d.Grant.Pos, where, "a deny rule grants nothing", "remove grant, or write effect: allow")
	}
	if d.Priority.Set() {
		c.fault(d.Priority.Pos, where, "a deny rule has no priority: any that matches wins", "remove it")
	}
	// In a deny they would shut out the young sessions, and the requests that name their principal: the opposite of what
	// they are read as.
	who := &d.Match.V.Actor.V.who
	if who.MaxSessionAge.Set() {
		c.fault(who.MaxSessionAge.Pos, where, "a deny rule has no max_session_age: it is what an allow rule wants of an agent",
			`write it into the allow rules; or deny old sessions by when: now - actor.session_start > duration("30m")`)
	}
	if who.NamesPrincipal.Set() {
		c.fault(who.NamesPrincipal.Pos, where, "a deny rule has no names_principal: it is what an allow rule wants of an agent",
			`write it into the allow rules; or deny requests that name none by when: request.principal == ""`)
	}
}

func (c *compiler) grant(where string, r *rule, d *grantDoc) {
	if !known(c, d.Principal, where, "principal", c.p.principals, "add it under principals") {
		return
	}
	p := c.p.principals[d.Principal.V]
	if p.workspace == nil {
		return // its own fault stands already
	}
	r.principal = p
	lifetime := time.Duration(d.Lifetime.Or(strictyaml.Duration(p.maxLifetime)))
	c.lifetime(d.Lifetime, where, "lifetime")
	if d.Lifetime.Set() && lifetime > p.maxLifetime {
		c.fault(d.Lifetime.Pos, where, "its lifetime "+d.Lifetime.V.String()+" is above the max_lifetime of principal "+p.name+", "+strictyaml.Duration(p.maxLifetime).String(),
			"shorten it, or raise the principal's ceiling")
	}
	scopes := p.scopes
	if d.Scopes.Set() {
		scopes = c.scopes(d.Scopes, where)
		for _, s := range d.Scopes.V {
			if slices.Contains(scopes, s.V) && !slices.Contains(p.scopes, s.V) {
				c.fault(s.Pos, where, "scope "+s.V+" is above the ceiling of principal "+p.name, strictyaml.DidYouMean(s.V, p.scopes, "add it to the principal's scopes"))
			}
		}
	}
	if v := time.Duration(d.GatewayCache.V); v > lifetime {
		c.fault(d.GatewayCache.Pos, where, "gateway_cache is longer than the lifetime", "shorten it")
	}
	if d.Lease.Set() {
		c.lifetime(d.Lease.V.Max, where, "lease.max")
	}
	r.gatewayCache, r.lease = time.Duration(d.GatewayCache.V), time.Duration(d.Lease.V.Max.V)
	credential := c.env.credential(p.name)
	r.grant = exchange.Grant{
		Workspace: p.workspace.name, Principal: p.name, Account: p.workspace.account, Host: p.workspace.host, ApplicationID: p.applicationID,
		Method: credential.Method, Credential: credential.Generation,
		Scopes: scopes, Details: p.details, Lifetime: lifetime, MinLifetime: p.minLifetime,
	}
}

// narrow checks that an allow rule is no wider than it says: that it doesn't reach everyone unsaid, and binds the tenant
// of every shared issuer that it reaches.
func (c *compiler) narrow(where string, pos strictyaml.Pos, m *matcher, everyone bool) {
	if !everyone && m.isOpen() {
		c.fault(pos, where, "it is open to everyone whom the provider lets in", "add groups, subject, clients or when; or say everyone: true")
	}
	c.tenant(where, pos, m, m.condition != nil && m.condition.tenant, "when")
	if m.actor != nil && m.actor.who != nil {
		c.tenant(where+": actor", m.actor.who.pos, m.actor.who, m.condition != nil && m.condition.actorTenant, "when, over actor")
	}
}

// isOpen says that neither a group, nor a subject pattern, a client or a condition narrows it.
func (m *matcher) isOpen() bool {
	return (m.groups == nil || len(m.groups.any)+len(m.groups.all) == 0) &&
		(m.subjects == nil || slices.ContainsFunc(m.subjects, glob.isOpen)) && m.clients == nil && m.condition == nil
}

// tenant checks that for a shared issuer either each subject pattern or the condition stands for one tenant.
func (c *compiler) tenant(where string, pos strictyaml.Pos, m *matcher, bound bool, condition string) {
	if bound || m.subjects != nil && !slices.ContainsFunc(m.subjects, func(g glob) bool { return !g.bindsTenant() }) {
		return
	}
	issuers := m.issuers
	if issuers == nil && c.env != nil {
		issuers = keysOf(c.env.Providers)
	}
	for _, issuer := range issuers {
		if p, ok := c.env.provider(issuer); ok && p.Shared {
			c.fault(pos, where, "provider "+issuer+" serves many tenants, and this rule doesn't bind one",
				"start each subject pattern with the tenant, like repo:OWNER/* or project_path:GROUP/*, or compare a claim of the tenant in "+condition+`, like claims.repository_owner == "OWNER"`)
			return
		}
	}
}

func (c *compiler) addAccess(d *document) {
	for i := range d.Access {
		a := &d.Access[i]
		where := "access for " + string(a.Role.V)
		rule := &accessRule{role: a.Role.V, pos: a.Pos, expires: time.Time(a.Expires.V)}
		if m := &a.Match; m.Set() {
			rule.match = c.matcher(where, m.Pos, &m.V)
			for key, pos := range map[string]strictyaml.Pos{"clients": m.V.Clients.Pos, "actor": m.V.Actor.Pos, "everyone": m.V.Everyone.Pos} {
				if !pos.IsZero() {
					c.fault(pos, where, key+" is not known for access to our own API: a token of the identity provider is all that is there", "remove it")
				}
			}
			if c.soundBetween(a.Pos, strictyaml.Pos{}) {
				c.narrow(where, m.Pos, &rule.match, false)
			}
		}
		c.p.access = append(c.p.access, rule)
	}
}

// source is a file's text, for positions inside of expressions.
type source struct {
	data  []byte
	lines []string
}

// inExpression is the place of line and column of an expression that starts at pos, if the file shows the expression as
// it is; else pos. Escapes and folded lines move text, so the place is taken only where the same text stands.
func (c *compiler) inExpression(pos strictyaml.Pos, expression string, line, column int) strictyaml.Pos {
	s := c.sources[pos.File]
	if s.lines == nil {
		s.lines = strings.Split(string(s.data), "\n")
		c.sources[pos.File] = s
	}
	lines := strings.Split(expression, "\n")
	if line > len(lines) {
		return pos
	}
	want := strings.TrimRight(lines[line-1], " ")
	// A flow scalar stands at pos, perhaps in quotes; a block scalar starts on that line or the next, at its indentation.
	for _, at := range []int{pos.Line - 1 + line - 1, pos.Line + line - 1} {
		if at >= len(s.lines) {
			break
		}
		from := 0
		if at == pos.Line-1 {
			from = min(len(s.lines[at]), max(0, pos.Column-1))
		}
		if i := strings.Index(s.lines[at][from:], want); i >= 0 && want != "" {
			return strictyaml.Pos{File: pos.File, Line: at + 1, Column: len([]rune(s.lines[at][:from+i])) + column}
		}
	}
	return pos
}
