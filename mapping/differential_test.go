package mapping_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
)

// FuzzDecide makes a random policy and random attempts of its seed. However the policy is indexed, it must decide as the
// slow reference does. The seeds below run with every test.
func FuzzDecide(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := &generator{rand.New(rand.NewPCG(seed, 1))}
		ref := g.policy()
		text := ref.yaml()
		p, err := mapping.Compile([]mapping.File{{Name: "policy.yaml", Data: []byte(text)}}, refEnvironment())
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for range 200 {
			a := g.attempt()
			d := p.Decide(a)
			got := outcome{Rule: d.Rule, Principal: d.Grant.Principal, Lifetime: d.Grant.Lifetime, Scopes: strings.Join(d.Grant.Scopes, " ")}
			if d.Denial != nil {
				got.Reason = d.Denial.Reason
			}
			if diff := cmp.Diff(ref.decide(a), got); diff != "" {
				t.Fatalf("(-reference +got)\n%s\nattempt: subject %+v\nactor %+v\nclient %+v\nrequest %+v\nat %v\n%s",
					diff, describe(a.Subject), describe(a.Actor), *a.Call.Client, *a.Request, a.Time, text)
			}
			checkExplanation(t, p.Explain(a), d)
		}
	})
}

// FuzzDelegation holds that delegation never adds power: what is granted to somebody by way of an actor, he is granted
// without one, for as long, with all those scopes and details, and where no rule speaks of actors, nothing is.
func FuzzDelegation(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := &generator{rand.New(rand.NewPCG(seed, 2))}
		ref := g.policy()
		mute := &refPolicy{aliases: ref.aliases, rules: slices.Clone(ref.rules)}
		for i := range mute.rules {
			mute.rules[i].actor = nil
		}
		files := func(p *refPolicy) []mapping.File {
			return []mapping.File{{Name: "policy.yaml", Data: []byte(p.yaml())}}
		}
		p, err := mapping.Compile(files(ref), refEnvironment())
		if err != nil {
			t.Fatal(err)
		}
		silent, err := mapping.Compile(files(mute), refEnvironment())
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			a := g.attempt()
			if a.Actor == nil {
				a.Actor = g.identity()
				g.session(a)
			}
			if d := silent.Decide(a); d.Denial == nil {
				t.Fatalf("no rule speaks of actors, and one was let in by %s\n%s", d.Rule, mute.yaml())
			}
			by := p.Decide(a)
			if by.Denial != nil {
				continue
			}
			alone := *a
			alone.Actor = nil
			if a.Request.Target.Workspace != "" { // else it names no principal either, and a condition may see the difference
				request := *a.Request
				request.Target.Principal, alone.Request = by.Grant.Principal, &request
			}
			d := p.Decide(&alone)
			switch {
			case d.Denial != nil && d.Denial.Reason == exchange.ReasonPrincipalAmbiguous && alone.Request.Target.Principal == "":
			case d.Denial != nil:
				t.Fatalf("granted %s to an actor by %s, and to the subject alone: %v\n%s", by.Grant.Principal, by.Rule, d.Denial, ref.yaml())
			case alone.Request.Target.Principal == "" && d.Grant.Principal != by.Grant.Principal:
			case d.Grant.Principal != by.Grant.Principal || by.Grant.Lifetime > d.Grant.Lifetime ||
				slices.ContainsFunc(by.Grant.Scopes, func(s string) bool { return !slices.Contains(d.Grant.Scopes, s) }) || !by.Grant.Details.Within(d.Grant.Details):
				t.Fatalf("an actor is granted more (%s, %+v) than the subject alone (%s, %+v)\n%s", by.Rule, by.Grant, d.Rule, d.Grant, ref.yaml())
			}
		}
	})
}

// checkExplanation holds an explanation to its decision.
func checkExplanation(t *testing.T, x *mapping.Explanation, d exchange.Decision) {
	t.Helper()
	if diff := cmp.Diff(d, x.Decision); diff != "" {
		t.Fatalf("the explanation is of another decision:\n%s", diff)
	}
	for _, r := range x.Rules {
		if r.Rule == d.Rule && (d.Denial == nil || d.Denial.Reason == exchange.ReasonDeniedByRule) && !r.Matched && r.Deny == (d.Denial != nil) {
			if !slices.ContainsFunc(x.Rules, func(o mapping.Trace) bool { return o.Rule == r.Rule && o.Matched }) {
				t.Fatalf("rule %s decided, and yet is said not to match: %+v", d.Rule, r)
			}
		}
	}
	if d.Denial == nil && x.Nearest != nil {
		t.Fatal("a grant has a nearest miss")
	}
}

func describe(id *exchange.Identity) string {
	if id == nil {
		return "nobody"
	}
	return fmt.Sprintf("%s %q groups %+v claims %v", id.Provider, id.Subject, id.Groups, id.Claims)
}

func refEnvironment() *mapping.Environment {
	return &mapping.Environment{
		Providers: map[string]mapping.Provider{"okta": {}, "entra": {Entra: true}, "keycloak": {}},
		Clients:   map[string][]string{"kong": nil, "etl": nil, "agents": nil}, Accounts: []string{"aws"},
	}
}

// generator draws from small worlds, so that rules match and collide often.
type generator struct{ *rand.Rand }

func (g *generator) one(of ...string) string { return of[g.IntN(len(of))] }

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

// some are up to n of them, without repetition; never none.
func (g *generator) some(n int, of ...string) []string {
	g.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
	return slices.Clone(of[:1+g.IntN(min(n, len(of)))])
}

func (g *generator) groupNames() []string {
	return g.some(2, "g1", "g2", "g3", "g4", "contractors", "staff")
}

func (g *generator) groups() *refGroups {
	out := &refGroups{}
	if g.chance(60) {
		out.any = g.groupNames()
	}
	if g.chance(20) {
		out.all = g.groupNames()
	}
	if out.any == nil && out.all == nil || g.chance(40) {
		out.none = g.groupNames()
	}
	return out
}

func (g *generator) patterns() []string {
	return g.some(3, "*", "ada", "eve", "e*", "a?a", "ad*", "ada*", "*a", "*?n?*", "agent-*", "agent-1", "?", "repo:acme/*", "repo:acme/etl:*", "repo:*/etl:prod", "é*", "?a")
}

func (g *generator) subject() string {
	return g.one("ada", "eve", "a", "agent-1", "agent-22", "repo:acme/etl:prod", "repo:acme/x", "repo:evil/etl:prod", "éa", "ana")
}

func (g *generator) policy() *refPolicy {
	p := &refPolicy{aliases: map[string]map[string]string{
		"contractors": {"okta": "g3", "entra": "9c1d"}, "staff": {"okta": "g4", "keycloak": "g1"},
	}}
	for i := range 1 + g.IntN(14) {
		p.rules = append(p.rules, g.rule(fmt.Sprintf("r%d", i)))
	}
	return p
}

func (g *generator) rule(id string) refRule {
	r := refRule{id: id, deny: g.chance(12)}
	if g.chance(85) {
		r.issuers = g.some(2, "okta", "entra", "keycloak")
		if g.chance(50) {
			r.subjects = g.patterns()
		}
	}
	if g.chance(60) {
		r.groups = g.groups()
	}
	if g.chance(40) {
		r.clients = g.some(2, "kong", "etl", "agents")
	}
	if g.chance(30) {
		r.condition = 1 + g.IntN(len(refConditions)-1)
	}
	if g.chance(15) {
		r.expires = today.AddDate(0, 0, g.IntN(5)-2)
	}
	if g.chance(30) {
		r.actor = &refActor{any: g.chance(40)}
		if !r.actor.any {
			r.actor.issuers = g.some(2, "okta", "entra", "keycloak")
			if g.chance(50) {
				r.actor.subjects = g.patterns()
			}
			if g.chance(30) {
				r.actor.groups = g.groups()
			}
			if !r.deny && g.chance(50) {
				r.actor.session = time.Duration(1+g.IntN(40)) * time.Minute
			}
			r.actor.names = !r.deny && g.chance(20)
		}
	}
	if r.deny {
		return r
	}
	if g.chance(30) {
		r.priority = g.IntN(3)
	}
	r.principal = g.one("p1", "p1", "p2", "p3", "p4")
	r.lifetime = time.Duration(1+g.IntN(60)) * time.Minute
	r.scopes = g.some(3, "a", "b", "c")
	slices.Sort(r.scopes)
	return r
}

func (g *generator) identity() *exchange.Identity {
	id := &exchange.Identity{Provider: g.one("okta", "okta", "okta", "entra", "entra", "keycloak", "keycloak", "elsewhere"), Subject: g.subject(), Claims: map[string]any{}}
	if g.chance(70) {
		id.Groups.Known = true
		if g.chance(80) {
			id.Groups.Names = g.some(3, "g1", "g2", "g3", "g4", "9c1d", "contractors", "staff")
			slices.Sort(id.Groups.Names)
		}
	}
	if g.chance(70) {
		id.Claims["amr"] = []any{"pwd", g.one("mfa", "otp")}
	}
	if g.chance(10) {
		id.Claims["amr"] = "mfa"
	}
	if g.chance(50) {
		id.Claims["team"] = g.one("x", "y")
	}
	if g.chance(50) {
		id.Claims["level"] = []any{int64(1), int64(3), 2.0, 1.5, "high"}[g.IntN(5)]
	}
	return id
}

func (g *generator) attempt() *exchange.Attempt {
	a := &exchange.Attempt{
		Time:    today.AddDate(0, 0, g.IntN(20)-4),
		Call:    &exchange.Call{Client: &exchange.Client{ID: g.one("kong", "etl", "agents"), Audiences: []string{"staging", "prod"}}},
		Request: &exchange.Request{}, Subject: g.identity(),
	}
	if g.chance(20) {
		a.Call.Client.Audiences = g.some(2, "prod", "staging", "prod/p1", "staging/p4", "nowhere")
	}
	if g.chance(40) {
		a.Actor = g.identity()
		g.session(a)
	}
	r := a.Request
	if g.chance(90) {
		r.Target.Workspace = g.one("prod", "prod", "prod", "prod", "prod", "prod", "staging", "nowhere")
		if g.chance(30) {
			r.Target.Principal = g.one("p1", "p1", "p2", "p4", "p9")
		}
	}
	if g.chance(5) {
		r.Target.Resource = g.one("https://prod.example", "https://staging.example", "https://prod.example/x")
	}
	if g.chance(30) {
		r.Scopes = g.some(2, "a", "b", "c", "d")
		slices.Sort(r.Scopes)
	}
	if g.chance(3) {
		r.Details = exchange.Details{{Type: exchange.DetailTypeWorkspacePermission, ObjectType: "t", ObjectPath: "p", Actions: []string{"a"}}}
	}
	if g.chance(30) {
		r.Lifetime = time.Duration(1+g.IntN(10)) * time.Minute
	}
	return a
}

// session says when the session of an actor began, in one of the ways that there are.
func (g *generator) session(a *exchange.Attempt) {
	ago := func() time.Time { return a.Time.Add(-time.Duration(g.IntN(50)) * time.Minute) }
	if g.chance(80) {
		a.Actor.IssuedAt = ago()
	}
	if g.chance(40) {
		at := ago().Unix()
		a.Actor.Claims["auth_time"] = []any{at, float64(at), at, "long ago", nil}[g.IntN(5)]
	}
}

// yaml writes the policy down.
func (p *refPolicy) yaml() string {
	var b strings.Builder
	b.WriteString("version: 1\nworkspaces:\n  prod: {host: \"https://prod.example\", account: aws}\n  staging: {host: \"https://staging.example\", account: aws}\nprincipals:\n")
	for _, name := range []string{"p1", "p2", "p3", "p4"} {
		fmt.Fprintf(&b, "  %s: {workspace: %s, application_id: 6f1c2b9e-0f0e-4c56-9d58-3c1b0b1c7a11, scopes: [a, b, c], max_lifetime: 1h}\n", name, refPrincipals[name].workspace)
	}
	b.WriteString("groups:\n  contractors: {okta: g3, entra: 9c1d}\n  staff: {okta: g4, keycloak: g1}\nrules:\n")
	for _, r := range p.rules {
		fmt.Fprintf(&b, "  - id: %s\n    everyone: true\n", r.id)
		if r.deny {
			b.WriteString("    effect: deny\n")
		}
		if r.priority != 0 {
			fmt.Fprintf(&b, "    priority: %d\n", r.priority)
		}
		if !r.expires.IsZero() {
			fmt.Fprintf(&b, "    expires: %s\n", r.expires.Format(time.RFC3339))
		}
		match := slices.DeleteFunc([]string{
			flow("issuer", r.issuers), flow("subject", r.subjects), r.groups.yaml(), flow("clients", r.clients), r.actor.yaml(),
		}, func(s string) bool { return s == "" })
		if r.condition != 0 {
			match = append(match, fmt.Sprintf("when: '%s'", refConditions[r.condition].cel))
		}
		fmt.Fprintf(&b, "    match: {%s}\n", strings.Join(match, ", "))
		if !r.deny {
			fmt.Fprintf(&b, "    grant: {principal: %s, lifetime: %s, scopes: [%s]}\n", r.principal, r.lifetime, strings.Join(r.scopes, ", "))
		}
	}
	return b.String()
}

func flow(key string, values []string) string {
	if values == nil {
		return ""
	}
	return key + `: ["` + strings.Join(values, `", "`) + `"]`
}

func (g *refGroups) yaml() string {
	if g == nil {
		return ""
	}
	parts := slices.DeleteFunc([]string{flow("any", g.any), flow("all", g.all), flow("none", g.none)}, func(s string) bool { return s == "" })
	return "groups: {" + strings.Join(parts, ", ") + "}"
}

func (a *refActor) yaml() string {
	switch {
	case a == nil:
		return ""
	case a.any:
		return "actor: any"
	}
	parts := slices.DeleteFunc([]string{flow("issuer", a.issuers), flow("subject", a.subjects), a.groups.yaml()}, func(s string) bool { return s == "" })
	if a.session > 0 {
		parts = append(parts, "max_session_age: "+a.session.String())
	}
	if a.names {
		parts = append(parts, "names_principal: true")
	}
	return "actor: {" + strings.Join(parts, ", ") + "}"
}
