package mapping

import (
	"slices"
	"strconv"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/strictyaml"
)

// testCase is one of the policy's own tests: an attempt, and what shall come of it.
type testCase struct {
	name     string
	pos      strictyaml.Pos
	attempt  exchange.Attempt // without its time
	at       time.Time        // zero: now
	lifetime time.Duration    // requested
	session  time.Duration    // how old the actor's is, at the time of the test
	expect   expectation
}

// expectation is what a test says; what it doesn't say, it doesn't mind.
type expectation struct {
	principal, rule, reason       string
	lifetime, gatewayCache, lease *time.Duration
	scopes                        []string
	roles                         []Role
	wantsRoles, wantsDecision     bool
}

// reasons are those that a policy can give.
var reasons = map[string]bool{
	string(exchange.ReasonNoMatchingRule): true, string(exchange.ReasonDeniedByRule): true, string(exchange.ReasonGroupsOverage): true,
	string(exchange.ReasonTargetUnknown): true, string(exchange.ReasonPrincipalAmbiguous): true,
	string(exchange.ReasonScopeExceedsPolicy): true, string(exchange.ReasonDetailsExceedPolicy): true,
}

func (c *compiler) addTests(d *document) {
	for i := range d.Tests {
		t := &d.Tests[i]
		where := "test " + strconv.Quote(t.Name.V)
		if first, there := c.tests[t.Name.V]; there && t.Name.Set() {
			c.twice(t.Name.Pos, first, where)
			continue
		}
		c.tests[t.Name.V] = t.Name.Pos
		c.p.tests = append(c.p.tests, c.test(where, t))
	}
}

func (c *compiler) test(where string, d *testDoc) *testCase {
	t := &testCase{name: d.Name.V, pos: d.Pos, at: time.Time(d.At.V), lifetime: time.Duration(d.Lifetime.V)}
	t.expect = c.expectation(where, d.Expect)
	t.attempt.Call = &exchange.Call{Client: &exchange.Client{ID: d.Client.V, Audiences: c.audiences(d.Client.V)}}
	if d.Subject.Set() {
		t.attempt.Subject = c.identity(where, &d.Subject.V)
	}
	if d.Actor.Set() {
		t.attempt.Actor = c.identity(where+": actor", &d.Actor.V)
		t.session = time.Duration(d.Actor.V.SessionAge.V)
	}
	if age := d.Subject.V.SessionAge; age.Set() {
		c.fault(age.Pos, where, "session_age is of an actor: no rule asks how old the subject's session is", "remove it; a condition may read claims.auth_time")
	}
	switch {
	case t.expect.wantsDecision && !d.Client.Set():
		c.fault(d.Pos, where, `missing key "client"`, "say which client presents the token; only a test of roles goes without")
	case d.Client.Set() && c.env != nil:
		known(c, d.Client, where, "client", c.env.Clients, "add it to clients of the configuration")
	}
	t.attempt.Request = c.request(where, d)
	return t
}

// request takes the way of a real request, through the one parser there is.
func (c *compiler) request(where string, d *testDoc) *exchange.Request {
	params := exchange.Params{
		SubjectToken: "a", SubjectTokenType: string(exchange.TypeJWT), Scope: d.Scope.V, AuthorizationDetails: c.details(d.Details, where).JSON(),
		Audience: []string{d.Audience.V}, Resource: []string{d.Resource.V},
	}
	if d.Lifetime.Set() {
		params.RequestedLifetime = strconv.FormatInt(int64(time.Duration(d.Lifetime.V)/time.Second), 10)
	}
	request, refused := params.Parse()
	if refused == nil && d.Scope.Set() {
		_, refused = exchange.ParseScope(d.Scope.V)
	}
	if refused != nil {
		c.fault(d.Pos, where, "the request is malformed: "+refused.Message, "")
		return &exchange.Request{}
	}
	return request
}

// audiences is what the test's client may ask for: what the configuration says; else every workspace.
func (c *compiler) audiences(client string) []string {
	if c.env != nil && c.env.Clients[client] != nil {
		return c.env.Clients[client]
	}
	return keysOf(c.p.workspaces)
}

func (c *compiler) identity(where string, d *identityDoc) *exchange.Identity {
	c.provider(d.Issuer, where)
	provider, _ := c.env.provider(d.Issuer.V)
	id := &exchange.Identity{
		Provider: d.Issuer.V, Subject: d.Subject.V, Party: d.Party.V, Claims: map[string]any{},
		Groups: exchange.Groups{Known: d.Groups.Set()},
	}
	if d.Subject.Set() && d.Subject.V == "" {
		c.fault(d.Subject.Pos, where, "the subject is empty", "no token has an empty subject")
	}
	for _, g := range d.Groups.V {
		id.Groups.Names = append(id.Groups.Names, g.V)
	}
	slices.Sort(id.Groups.Names)
	id.Groups.Names = slices.Compact(id.Groups.Names)
	for _, claim := range d.Claims.Entries {
		id.Claims[claim.Key] = claim.Value
	}
	id.Issuer = provider.issuerOf(id.Claims)
	return id
}

func (c *compiler) expectation(where string, d strictyaml.Value[expectDoc]) expectation {
	v := &d.V
	e := expectation{principal: v.Principal.V, rule: v.Rule.V, reason: v.Reason.V, wantsRoles: v.Roles.Set()}
	known(c, v.Principal, where, "principal", c.p.principals, "add it under principals")
	known(c, v.Rule, where, "rule", c.ids, "add it under rules")
	known(c, v.Reason, where, "reason that a policy gives", reasons, "")
	if v.Scopes.Set() {
		e.scopes = c.scopes(v.Scopes, where)
	}
	for _, part := range []struct {
		d    span
		into **time.Duration
	}{{v.Lifetime, &e.lifetime}, {v.GatewayCache, &e.gatewayCache}, {v.Lease.V.Max, &e.lease}} {
		if part.d.Set() {
			span := time.Duration(part.d.V)
			*part.into = &span
		}
	}
	for _, r := range v.Roles.V {
		e.roles = append(e.roles, r.V)
	}
	granted := e.principal != "" || e.lifetime != nil || e.scopes != nil || e.gatewayCache != nil || e.lease != nil
	e.wantsDecision = granted || e.rule != "" || e.reason != ""
	switch {
	case !d.Set():
	case granted && e.reason != "":
		c.fault(d.Pos, where, "it expects both a grant and a reason for a refusal", "keep one")
	case !e.wantsDecision && !e.wantsRoles:
		c.fault(d.Pos, where, "it expects nothing", "say principal and rule, or reason, or roles")
	case e.wantsDecision && !granted && e.reason == "":
		c.fault(d.Pos, where, "it expects neither a grant nor a refusal", "say principal, or reason")
	}
	return e
}
