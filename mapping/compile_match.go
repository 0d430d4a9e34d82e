package mapping

import (
	"fmt"
	"slices"
	"time"

	"github.com/lakegate/sts/internal/strictyaml"
)

// matcher compiles the match part of a rule, or of access.
func (c *compiler) matcher(where string, pos strictyaml.Pos, d *matchDoc) matcher {
	m := matcher{
		pos: pos, issuers: c.issuers(where, d.Issuer), subjects: c.subjects(where, d.Subject), clients: c.clients(where, d.Clients),
		condition: c.condition(where, d.When),
	}
	if d.Groups.Set() {
		m.groups = c.groups(where, d.Groups.Pos, &d.Groups.V, m.issuers)
	}
	if d.Subject.Set() && !d.Issuer.Set() {
		c.fault(d.Subject.Pos, where, "a subject means nothing without its issuer", "add issuer: […]")
	}
	if d.Actor.Set() {
		m.actor = c.actor(where+": actor", d.Actor)
	}
	return m
}

func (c *compiler) actor(where string, d strictyaml.Value[actorDoc]) *actorMatcher {
	if d.V.any {
		return &actorMatcher{}
	}
	who := &d.V.who
	m := &matcher{pos: d.Pos, issuers: c.issuers(where, who.Issuer), subjects: c.subjects(where, who.Subject)}
	if who.Groups.Set() {
		m.groups = c.groups(where, who.Groups.Pos, &who.Groups.V, m.issuers)
	}
	if d := who.MaxSessionAge; d.Set() && (d.V == 0 || time.Duration(d.V) > maxSessionAge || time.Duration(d.V)%time.Second != 0) {
		c.fault(d.Pos, where, "max_session_age is not between a second and 720h, in whole seconds", "write how old the agent's session may be, like 30m; or leave it out")
	}
	return &actorMatcher{who: m, maxSessionAge: time.Duration(who.MaxSessionAge.V), namesPrincipal: who.NamesPrincipal.V}
}

// list gives the elements of a list. An empty one is a fault: absent means any, and so would it.
func (c *compiler) list(where, key string, l texts) []string {
	if l.Set() && len(l.V) == 0 {
		c.fault(l.Pos, where, key+" is an empty list", "name at least one, or leave the key out")
	}
	var values []string
	for _, t := range l.V {
		if slices.Contains(values, t.V) {
			c.fault(t.Pos, where, fmt.Sprintf("%s has %q twice", key, t.V), "keep one")
			continue
		}
		values = append(values, t.V)
	}
	return values
}

func (c *compiler) issuers(where string, l texts) []string {
	for _, t := range l.V {
		c.provider(t, where)
	}
	return c.list(where, "issuer", l)
}

func (c *compiler) subjects(where string, l texts) []glob {
	c.list(where, "subject", l)
	var globs []glob
	for _, t := range l.V {
		g, err := parseGlob(t.V)
		if err != nil {
			c.problem(t.Pos, where, err)
			continue
		}
		globs = append(globs, g)
	}
	return globs
}

func (c *compiler) clients(where string, l texts) []string {
	for _, t := range l.V {
		switch {
		case c.env != nil:
			known(c, t, where, "client", c.env.Clients, "add it to clients of the configuration")
		case t.V == "":
			c.fault(t.Pos, where, "the name of a client is empty", "write its id")
		}
	}
	return c.list(where, "clients", l)
}

func (c *compiler) groups(where string, pos strictyaml.Pos, d *groupsDoc, issuers []string) *groupMatcher {
	g := &groupMatcher{pos: pos}
	for _, part := range []struct {
		key  string
		list texts
		into *[]string
	}{{"any", d.Any, &g.any}, {"all", d.All, &g.all}, {"none", d.None, &g.none}} {
		for _, t := range part.list.V {
			c.groupName(t, where)
		}
		*part.into = c.list(where, "groups."+part.key, part.list)
	}
	if !d.Any.Set() && !d.All.Set() && !d.None.Set() {
		c.fault(pos, where, "groups names no group", "add any, all or none")
	}
	g.plain = groupSet{any: g.any, all: g.all, none: g.none, wantsAny: len(g.any) > 0}
	c.resolve(g, issuers)
	return g
}

// resolve translates the names that are aliases, for each provider that the rule reaches.
func (c *compiler) resolve(g *groupMatcher, issuers []string) {
	names := slices.Concat(g.any, g.all, g.none)
	if !slices.ContainsFunc(names, func(n string) bool { return c.p.aliases[n] != nil }) {
		return
	}
	if issuers == nil {
		issuers = c.providers()
	}
	// A provider outside of all these has no name for an alias.
	g.plain = c.groupsAt(g, "")
	g.byProvider = make(map[string]*groupSet, len(issuers))
	for _, issuer := range issuers {
		set := c.groupsAt(g, issuer)
		g.byProvider[issuer] = &set
	}
}

func (c *compiler) groupsAt(g *groupMatcher, provider string) groupSet {
	translate := func(names []string) (there []string, all bool) {
		all = true
		for _, n := range names {
			a := c.p.aliases[n]
			if a != nil {
				a.used = true
				if n, all = a.names[provider], all && a.names[provider] != ""; n == "" {
					continue
				}
			}
			there = append(there, n)
		}
		return there, all
	}
	set := groupSet{wantsAny: len(g.any) > 0}
	set.any, _ = translate(g.any)
	set.none, _ = translate(g.none)
	var complete bool
	set.all, complete = translate(g.all)
	set.never = !complete
	return set
}

// providers are all that can be named: those of the configuration, or those that the aliases name.
func (c *compiler) providers() []string {
	if c.env != nil {
		return keysOf(c.env.Providers)
	}
	seen := map[string]bool{}
	for _, a := range c.p.aliases {
		for provider := range a.names {
			seen[provider] = true
		}
	}
	return keysOf(seen)
}

// compiledCondition is a condition or what is wrong with it.
type compiledCondition struct {
	condition *condition
	faults    []conditionFault
}

// condition compiles an expression once, however many rules write it.
func (c *compiler) condition(where string, when text) *condition {
	if !when.Set() {
		return nil
	}
	done, there := c.conditions[when.V]
	if !there {
		done.condition, done.faults = compileCondition(c.cel, when.V)
		c.conditions[when.V] = done
	}
	for _, f := range done.faults {
		c.fault(c.inExpression(when.Pos, when.V, f.line, f.column), where,
			fmt.Sprintf("when: %s (line %d, column %d of the condition)", f.message, f.line, f.column), f.mend)
	}
	return done.condition
}
