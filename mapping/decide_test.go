package mapping_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
)

// ada is in those groups; unknown are the groups of a token that says nothing about them.
func ada(groups ...string) *exchange.Identity {
	return &exchange.Identity{
		Provider: "okta", Issuer: "https://okta.example", Subject: "ada", Groups: exchange.Groups{Known: true, Names: groups},
		Claims: map[string]any{"amr": []any{"pwd", "mfa"}, "level": 2.0, "org": map[string]any{"unit": "a", "path": []any{"x", int64(7)}}},
	}
}

func unknown(overage bool) *exchange.Identity {
	id := ada()
	id.Groups = exchange.Groups{Overage: overage}
	return id
}

func agent() *exchange.Identity {
	return &exchange.Identity{Provider: "okta", Subject: "agent-1", Groups: exchange.Groups{Known: true}}
}

// attempt asks by kong for an audience, and whatever else the options say.
func attempt(subject *exchange.Identity, audience string, options ...func(*exchange.Attempt)) *exchange.Attempt {
	a := &exchange.Attempt{
		Time: today, Subject: subject, Request: &exchange.Request{},
		Call: &exchange.Call{Client: &exchange.Client{ID: "kong", Audiences: []string{"prod"}}},
	}
	a.Request.Target.Workspace, a.Request.Target.Principal, _ = strings.Cut(audience, "/")
	for _, option := range options {
		option(a)
	}
	return a
}

func by(actor *exchange.Identity) func(*exchange.Attempt) {
	return func(a *exchange.Attempt) { a.Actor = actor }
}

func resource(url string) func(*exchange.Attempt) {
	return func(a *exchange.Attempt) { a.Request.Target.Resource = url }
}

func audiences(list ...string) func(*exchange.Attempt) {
	return func(a *exchange.Attempt) { a.Call.Client.Audiences = list }
}

func scopes(list ...string) func(*exchange.Attempt) {
	return func(a *exchange.Attempt) { a.Request.Scopes = list }
}

func details(path string, actions ...string) func(*exchange.Attempt) {
	return func(a *exchange.Attempt) {
		a.Request.Details = exchange.Details{{Type: exchange.DetailTypeWorkspacePermission, ObjectType: "serving-endpoints", ObjectPath: path, Actions: actions}}
	}
}

func at(now time.Time) func(*exchange.Attempt) {
	return func(a *exchange.Attempt) { a.Time = now }
}

const decideRules = `rules:
  - {id: no-contractors, effect: deny, match: {issuer: [okta, entra], groups: {any: [contractors]}}}
  - {id: no-longer, effect: deny, expires: 2026-01-01, match: {issuer: [okta], subject: [mallory]}}
  - {id: serving, match: {issuer: [okta], groups: {any: [ds, mle], none: [suspended]}, clients: [kong]}, grant: {principal: ml, lifetime: 10m}}
  - {id: agents, match: {issuer: [okta], groups: {any: [ds]}, actor: {issuer: [okta], subject: ["agent-*"]}}, grant: {principal: ml, lifetime: 5m, scopes: [sql]}}
  - {id: agents-etl, match: {issuer: [okta], groups: {any: [ds]}, actor: {issuer: [okta], subject: ["agent-*"]}}, grant: {principal: etl, lifetime: 5m}}
  - {id: wide, priority: -1, match: {issuer: [okta], groups: {any: [ops]}, actor: any}, grant: {principal: etl}}
  - {id: wider, priority: -1, match: {issuer: [okta], groups: {any: [ops]}}, grant: {principal: dev}}
  - {id: two, match: {issuer: [okta], groups: {any: [both]}}, grant: {principal: ml}}
  - {id: three, match: {issuer: [okta], groups: {any: [both]}}, grant: {principal: etl}}
  - {id: mfa, match: {issuer: [okta], groups: {all: [strict, more]}, when: 'claims.amr.exists(m, m == "mfa") && claims.level >= 2 && claims.org.path[1] == 7'}, grant: {principal: etl}}
  - {id: broken, match: {issuer: [okta], groups: {any: [broken]}, when: 'claims.nothing == "x"'}, grant: {principal: etl}}
  - {id: broken-deny, effect: deny, match: {issuer: [okta], groups: {any: [broken-deny]}, when: 'claims.nothing == "x"'}}
  - {id: until, expires: 2026-11-24, match: {issuer: [okta], groups: {any: [temp]}}, grant: {principal: etl}}
  - {id: in-words, match: {issuer: [okta], clients: [kong], when: '"named" in groups'}, grant: {principal: dev}}
  - {id: at-entra, match: {issuer: [entra], groups: {none: [contractors]}, everyone: true}, grant: {principal: etl}}
`

// The rows are those of the conformance list where they have a name there.
func TestDecide(t *testing.T) {
	p := compile(t, decideRules)
	endOfDay := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		a    *exchange.Attempt
		want string
	}{
		{"granted", attempt(ada("ds"), "prod"), "ml serving 10m0s model-serving sql"},
		{"I04 nothing matches", attempt(ada("hr"), "prod"), "not_granted no_matching_rule"},
		{"a deny wins over everything", attempt(ada("contractors", "ds"), "prod"), "not_granted denied_by_rule no-contractors"},
		{"J06 fewer groups", attempt(ada("ds", "suspended"), "prod"), "not_granted no_matching_rule"},
		{"P10 an expired deny denies", attempt(&exchange.Identity{Provider: "okta", Subject: "mallory", Groups: exchange.Groups{Known: true, Names: []string{"ds"}}}, "prod"), "not_granted denied_by_rule no-longer"},
		{"E01 unknown audience", attempt(ada("ds"), "nowhere"), "invalid_target target_unknown"},
		{"E02 not for this client", attempt(ada("ds"), "staging"), "invalid_target target_unknown"},
		{"unknown principal", attempt(ada("ds"), "prod/nobody"), "invalid_target target_unknown"},
		{"principal of another workspace", attempt(ada("ds"), "prod/dev"), "invalid_target target_unknown"},
		{"E05 resource with a query", attempt(ada("ds"), "", resource("https://prod.example?o=1")), "invalid_target target_unknown"},
		{"E06 resource", attempt(ada("ds"), "", resource("https://prod.example")), "ml serving 10m0s model-serving sql"},
		{"E07 foreign resource", attempt(ada("ds"), "", resource("https://10.0.0.1")), "invalid_target target_unknown"},
		{"both agree", attempt(ada("ds"), "prod", resource("https://prod.example")), "ml serving 10m0s model-serving sql"},
		{"both disagree", attempt(ada("ds"), "prod", resource("https://staging.example"), audiences("prod", "staging")), "invalid_target target_unknown"},
		{"E08 the only workspace", attempt(ada("ds"), ""), "ml serving 10m0s model-serving sql"},
		{"E08 several", attempt(ada("ds"), "", audiences("prod", "staging")), "invalid_target target_unknown"},
		{"client of one principal, none named", attempt(ada("both"), "", audiences("prod/etl")), "etl three 1h0m0s all-apis"},
		{"client of one principal, workspace named", attempt(ada("both"), "prod", audiences("prod/etl")), "etl three 1h0m0s all-apis"},
		{"client of one principal, the other named", attempt(ada("both"), "prod/ml", audiences("prod/etl")), "invalid_target target_unknown"},
		{"P03 a principal named", attempt(ada("both"), "prod/etl"), "etl three 1h0m0s all-apis"},
		{"P03 one that nothing grants", attempt(ada("ds"), "prod/etl"), "not_granted no_matching_rule"},
		{"P04 two principals", attempt(ada("both"), "prod"), "invalid_target principal_ambiguous"},
		{"a lower priority loses", attempt(ada("ds", "ops"), "prod"), "ml serving 10m0s model-serving sql"},
		{"E09 a narrower scope", attempt(ada("ds"), "prod", scopes("sql")), "ml serving 10m0s sql"},
		{"E10 a wider scope", attempt(ada("ds"), "prod", scopes("all-apis", "sql")), "invalid_scope scope_exceeds_policy serving"},
		{"details within", attempt(ada("ds"), "prod", details("/a", "view")), "ml serving 10m0s model-serving sql"},
		{"E17 wider details", attempt(ada("ds"), "prod", details("/a", "manage")), "invalid_authorization_details details_exceed_policy serving"},
		{"E18 details where there are none", attempt(ada("ops"), "prod", details("/a", "view")), "invalid_authorization_details details_exceed_policy wide"},
		{"P07 an actor, and rules without", attempt(ada("mle"), "prod", by(agent())), "not_granted no_matching_rule"},
		{"P08 the shorter lifetime, the common scopes", attempt(ada("ds"), "prod/ml", by(agent())), "ml agents 5m0s sql"},
		{"P08 not granted alone", attempt(ada("ds"), "prod/etl", by(agent())), "not_granted no_matching_rule"},
		{"actor: any takes both", attempt(ada("ops"), "prod", by(agent())), "etl wide 1h0m0s all-apis"},
		{"a deny without actor minds no actor", attempt(ada("contractors", "ds"), "prod", by(agent())), "not_granted denied_by_rule no-contractors"},
		{"F23 overage", attempt(unknown(true), "prod"), "not_granted groups_overage no-contractors"},
		{"P09 groups unknown, a deny that names groups", attempt(unknown(false), "prod"), "not_granted groups_overage no-contractors"},
		{"conditions", attempt(ada("more", "strict"), "prod"), "etl mfa 1h0m0s all-apis"},
		{"all wants all", attempt(ada("strict"), "prod"), "not_granted no_matching_rule"},
		{"an allow without a value", attempt(ada("broken"), "prod"), "not_granted no_matching_rule"},
		{"a deny without a value", attempt(ada("broken-deny", "ds"), "prod"), "not_granted denied_by_rule broken-deny"},
		{"the last instant of a day", attempt(ada("temp"), "prod", at(endOfDay.Add(-1))), "etl until 1h0m0s all-apis"},
		{"the first of the next", attempt(ada("temp"), "prod", at(endOfDay)), "not_granted no_matching_rule"},
		{"a provider of its own groups", attempt(&exchange.Identity{Provider: "entra", Subject: "x", Groups: exchange.Groups{Known: true, Names: []string{"contractors"}}}, "prod"), "etl at-entra 1h0m0s all-apis"},
		{"an alias", attempt(&exchange.Identity{Provider: "entra", Subject: "x", Groups: exchange.Groups{Known: true, Names: []string{"9c1d7a52-55c5-4f7e-9a56-0d7f0f0a4c11"}}}, "prod"), "not_granted denied_by_rule no-contractors"},
		{"a foreign provider", attempt(&exchange.Identity{Provider: "new", Subject: "ada", Groups: exchange.Groups{Known: true, Names: []string{"ds"}}}, "prod"), "not_granted no_matching_rule"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := p.Decide(c.a)
			got := decided(&d)
			if d.Denial != nil {
				checkMessage(t, d.Denial.Message)
				if diff := cmp.Diff(exchange.Grant{}, d.Grant); diff != "" {
					t.Errorf("a denial carries a grant: %s", diff)
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q; %s", got, c.want, p.Explain(c.a).Text())
			}
		})
	}
}

// decided is a decision in a few words.
func decided(d *exchange.Decision) string {
	if d.Denial != nil {
		return strings.TrimSpace(fmt.Sprintf("%s %s %s", d.Denial.Code, d.Denial.Reason, d.Rule))
	}
	return strings.Join(append([]string{d.Grant.Principal, d.Rule, d.Grant.Lifetime.String()}, d.Grant.Scopes...), " ")
}

// Where only allows name groups, groups that are unknown are the reason too.
func TestUnknownGroupsAreTheReason(t *testing.T) {
	for _, c := range []struct{ match, want string }{
		{"groups: {any: [a]}", "groups_overage"}, {"groups: {none: [a]}, everyone: true", "groups_overage"}, {"groups: {all: [a]}, subject: [ada]", "groups_overage"},
		{"clients: [kong], when: '\"a\" in groups'", "groups_overage"}, {"groups: {any: [a]}, clients: [nightly-etl]", "no_matching_rule"},
		{"groups: {any: [a]}, when: 'claims.x == \"1\"'", "no_matching_rule"}, {"groups: {any: [a]}, subject: [eve]", "no_matching_rule"},
	} {
		p := compile(t, "rules:\n  - {id: r, match: {issuer: [okta], "+c.match+"}, grant: {principal: ml}}\n")
		for _, overage := range []bool{true, false} {
			if d := p.Decide(attempt(unknown(overage), "prod")); d.Denial == nil || string(d.Denial.Reason) != c.want {
				t.Errorf("%s: %v", c.match, d.Denial)
			}
		}
	}
}

// What a caller is told names no rule, group, principal or claim, in the characters of RFC 6749 §5.2.
func checkMessage(t *testing.T, message string) {
	t.Helper()
	for _, secret := range []string{"contractors", "serving", "no-longer", "etl", "ml ", "amr", "ada", "6f1c"} {
		if strings.Contains(message, secret) {
			t.Errorf("the message tells %q: %s", secret, message)
		}
	}
	if strings.ContainsFunc(message, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' }) {
		t.Errorf("the message has characters that it may not: %s", message)
	}
}

func TestUnknownAndForeignTargetsLookTheSame(t *testing.T) {
	p := compile(t, decideRules)
	want := p.Decide(attempt(ada("ds"), "nowhere"))
	for _, a := range []*exchange.Attempt{
		attempt(ada("ds"), "staging"), attempt(ada("ds"), "prod/nobody"), attempt(ada("ds"), "staging/dev"), attempt(ada("ds"), "", resource("https://staging.example")),
		attempt(ada("ds"), "", resource("https://nowhere.example")), attempt(ada("ds"), "prod", resource("https://staging.example")),
	} {
		if diff := cmp.Diff(want, p.Decide(a)); diff != "" {
			t.Errorf("%+v: %s", a.Request.Target, diff)
		}
	}
}

func TestGrant(t *testing.T) {
	env := environment()
	env.Credentials = map[string]mapping.Credential{"ml": {Method: exchange.MethodClientSecret, Generation: "g7"}}
	for _, c := range []struct{ isolation, want string }{
		{"client", "client\x00kong"}, {"subject", "subject\x00https://okta.example\x00ada"}, {"principal", ""},
	} {
		text := strings.Replace(base, "max_lifetime: 15m", "max_lifetime: 15m\n    min_lifetime: 2m\n    isolation: "+c.isolation, 1) + decideRules
		p, err := mapping.Compile([]mapping.File{{Name: "p.yaml", Data: []byte(text)}}, env)
		if err != nil {
			t.Fatal(err)
		}
		want := exchange.Decision{
			Rule: "serving", Policy: p.Digest(), ReadsClaims: []string{"amr", "level", "nothing", "org"},
			Grant: exchange.Grant{
				Workspace: "prod", Principal: "ml", Account: "aws", Host: "https://prod.example", ApplicationID: "6f1c2b9e-0f0e-4c56-9d58-3c1b0b1c7a11",
				Method: exchange.MethodClientSecret, Credential: "g7", Scopes: []string{"model-serving", "sql"},
				Details:  exchange.Details{{Type: exchange.DetailTypeWorkspacePermission, ObjectType: "serving-endpoints", ObjectPath: "/a", Actions: []string{"query", "view"}}},
				Lifetime: 10 * time.Minute, MinLifetime: 2 * time.Minute, Isolation: c.want, Personal: c.isolation == "subject",
			},
		}
		if diff := cmp.Diff(want, p.Decide(attempt(ada("ds"), "prod"))); diff != "" {
			t.Error(diff)
		}
	}
}

// A token that is one subject's alone speaks of whoever acts for him too, so that each has another.
func TestPersonalGrantsByActor(t *testing.T) {
	text := strings.Replace(base, "max_lifetime: 15m", "max_lifetime: 15m\n    isolation: subject", 1) + decideRules
	p, err := mapping.Compile([]mapping.File{{Name: "p.yaml", Data: []byte(text)}}, environment())
	if err != nil {
		t.Fatal(err)
	}
	alone, delegated := p.Decide(attempt(ada("ds"), "prod/ml")).Grant, p.Decide(attempt(ada("ds"), "prod/ml", by(agent()))).Grant
	if !alone.Personal || !delegated.Personal || alone.Isolation == delegated.Isolation {
		t.Errorf("isolated as %q, and as %q", alone.Isolation, delegated.Isolation)
	}
}

func TestExplain(t *testing.T) {
	p := compile(t, decideRules)
	for _, c := range []struct {
		a    *exchange.Attempt
		want string
	}{
		{attempt(ada("ds"), "prod"), "granted principal ml for 10m by rule serving"},
		{attempt(ada("contractors"), "prod"), "refused: denied_by_rule by rule no-contractors"},
		{attempt(ada("ds", "suspended"), "prod/ml"), "refused: no_matching_rule; nearest is rule serving (p.yaml:21:5), whose groups wants any of ds, mle; none of suspended and saw ds, suspended"},
		{attempt(ada("broken"), "prod"), `refused: no_matching_rule; nearest is rule broken (p.yaml:29:5), whose when wants claims.nothing == "x" and saw nothing = missing, error: no such key: nothing`},
		{attempt(ada("ds"), "prod/etl", by(agent())), "refused: no_matching_rule; nearest is rule wide (p.yaml:24:5), for the subject alone, whose groups wants any of ops and saw ds"},
		{attempt(ada(), "nowhere"), "refused: target_unknown"},
	} {
		if diff := cmp.Diff(c.want, p.Explain(c.a).Text()); diff != "" {
			t.Error(diff)
		}
	}
	low := ada("more", "strict")
	low.Claims["level"] = int64(1)
	want := "refused: no_matching_rule; nearest is rule mfa (p.yaml:28:5), whose when wants claims.level >= 2 and saw level = 1"
	if diff := cmp.Diff(want, p.Explain(attempt(low, "prod")).Text()); diff != "" {
		t.Error(diff)
	}
}

func TestRoles(t *testing.T) {
	p := compile(t, "access:\n  - {role: operator, match: {issuer: [okta], groups: {any: [oncall]}}}\n  - {role: auditor, match: {issuer: [okta], groups: {any: [security, oncall]}}}\n  - {role: auditor, expires: 2026-01-01, match: {issuer: [okta], groups: {any: [old]}}}\n")
	for _, c := range []struct {
		id   *exchange.Identity
		want []mapping.Role
	}{
		{ada("oncall"), []mapping.Role{mapping.RoleAuditor, mapping.RoleOperator}}, {ada("security"), []mapping.Role{mapping.RoleAuditor}}, {ada("old"), nil}, {unknown(true), nil},
	} {
		if diff := cmp.Diff(c.want, p.Roles(c.id, today)); diff != "" {
			t.Error(diff)
		}
	}
}

// A decision holds on to no attempt, and costs next to no memory.
func TestDecideAllocates(t *testing.T) {
	p := compile(t, decideRules)
	a := attempt(ada("ds"), "prod")
	if n := testing.AllocsPerRun(100, func() { p.Decide(a) }); n > 3 {
		t.Errorf("%v allocations", n)
	}
}
