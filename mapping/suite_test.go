package mapping_test

import (
	"strings"
	"testing"

	"github.com/lakegate/sts/mapping"
)

// Each case is a test of the policy's own, and a piece of how it must fail; "" where it must pass.
func TestRunTests(t *testing.T) {
	const rules = `rules:
  - {id: no, effect: deny, match: {issuer: [okta], groups: {any: [contractors]}}}
  - {id: serving, expires: 2026-12-31, match: {issuer: [okta], groups: {any: [ds]}, when: 'claims.amr.exists(m, m == "mfa")'}, grant: {principal: ml, lifetime: 10m, gateway_cache: 60s}}
  - {id: agents, match: {issuer: [okta], groups: {any: [ds]}, actor: {issuer: [okta], subject: ["agent-*"]}}, grant: {principal: ml, lifetime: 5m}}
  - {id: short, match: {issuer: [okta], groups: {any: [ds]}, actor: {issuer: [okta], subject: ["short-*"], max_session_age: 30m}}, grant: {principal: ml}}
  - {id: named, match: {issuer: [okta], groups: {any: [ds]}, actor: {issuer: [okta], subject: ["named-*"], names_principal: true}}, grant: {principal: ml, lifetime: 5m}}
  - {id: nightly, match: {issuer: [github], subject: ["repo:acme/*"], clients: [nightly-etl]}, grant: {principal: etl, lifetime: 1h, lease: {max: 6h}}}
access:
  - {role: auditor, match: {issuer: [okta], groups: {any: [security]}}}
tests:
  - {name: t, `
	const who = "subject: {issuer: okta, subject: ada, groups: [ds], claims: {amr: [mfa]}}, client: kong, audience: prod, "
	for _, c := range []struct{ test, failure string }{
		{who + "expect: {principal: ml, rule: serving, lifetime: 10m, scopes: [sql, model-serving], gateway_cache: 60s}", ""},
		{who + "expect: {principal: etl}", "wanted principal etl; granted principal ml for 10m by rule serving"},
		{who + "expect: {principal: ml, rule: agents}", "wanted rule agents; granted"},
		{who + "expect: {principal: ml, lifetime: 5m}", "wanted lifetime 5m, not 10m; granted"},
		{who + "expect: {principal: ml, scopes: [sql]}", "wanted scopes sql; granted"},
		{who + "expect: {principal: ml, lease: {max: 1h}}", "wanted lease 1h, not 0s"},
		{who + "expect: {reason: no_matching_rule}", "wanted reason no_matching_rule; granted"},
		{who + "requested_lifetime: 2m, expect: {principal: ml, lifetime: 2m}", ""},
		{who + "scope: sql, expect: {principal: ml, scopes: [sql]}", ""},
		{who + "scope: all-apis, expect: {reason: scope_exceeds_policy}", ""},
		{who + "authorization_details: [{type: workspace_permission, object_type: serving-endpoints, object_path: /b, actions: [view]}], expect: {reason: details_exceed_policy}", ""},
		{who + "resource: 'https://staging.example', expect: {reason: target_unknown}", ""},
		{who + "at: 2026-12-31, expect: {principal: ml}", ""},
		{who + "at: 2027-01-01, expect: {principal: ml}", "wanted principal ml; refused: no_matching_rule; nearest is rule serving (p.yaml:20:5), whose expires wants a time before 2027-01-01T00:00:00Z and saw 2027-01-01T00:00:00Z"},
		{who + "actor: {issuer: okta, subject: agent-1}, expect: {principal: ml, rule: agents, lifetime: 5m}", ""},
		{who + "actor: {issuer: okta, subject: person}, expect: {reason: no_matching_rule}", ""},
		{who + "actor: {issuer: okta, subject: short-1, session_age: 30m}, expect: {reason: no_matching_rule}", "wanted reason no_matching_rule; granted principal ml for 10m by rule short"},
		{who + "actor: {issuer: okta, subject: short-1}, expect: {principal: ml, rule: short}", ""},
		{who + "at: 2026-12-30, actor: {issuer: okta, subject: short-1, claims: {auth_time: 1798502400}}, expect: {principal: ml, rule: short}", "wanted principal ml; refused: no_matching_rule; nearest is rule short (p.yaml:22:5), whose actor.max_session_age wants an agent's session of at most 30m and saw one of 24h"},
		{who + "actor: {issuer: okta, subject: short-1, session_age: 42m10s}, expect: {principal: ml, rule: short}", "wanted principal ml; refused: no_matching_rule; nearest is rule short (p.yaml:22:5), whose actor.max_session_age wants an agent's session of at most 30m and saw one of 42m10s"},
		{who + "actor: {issuer: okta, subject: named-1}, expect: {principal: ml, rule: named}", "nearest is rule named (p.yaml:23:5), whose actor.names_principal wants a request that names its principal, as audience=workspace/principal and saw audience=prod"},
		{"subject: {issuer: okta, subject: ada, claims: {amr: [mfa]}}, client: kong, audience: prod, expect: {reason: groups_overage, rule: no}", ""},
		{"subject: {issuer: okta, subject: ada, groups: [], claims: {amr: [mfa]}}, client: kong, audience: prod, expect: {reason: no_matching_rule}", ""},
		{"subject: {issuer: okta, subject: ada, groups: [ds, contractors]}, client: kong, audience: prod, expect: {reason: denied_by_rule, rule: no}", ""},
		{"subject: {issuer: okta, subject: ada, groups: [ds, contractors]}, client: kong, audience: prod, expect: {reason: denied_by_rule, rule: serving}", "wanted rule serving; refused: denied_by_rule by rule no"},
		{"subject: {issuer: github, subject: 'repo:acme/etl:ref:x'}, client: nightly-etl, audience: prod, expect: {principal: etl, lease: {max: 6h}}", ""},
		{"subject: {issuer: github, subject: 'repo:acme/etl:ref:x'}, client: kong, audience: staging, expect: {reason: target_unknown}", ""},
		{"subject: {issuer: okta, subject: sam, groups: [security]}, expect: {roles: [auditor]}", ""},
		{"subject: {issuer: okta, subject: sam, groups: [ds]}, expect: {roles: []}", ""},
		{"subject: {issuer: okta, subject: sam, groups: [ds]}, expect: {roles: [operator]}", "wanted roles [operator], got []"},
	} {
		p := compile(t, rules+c.test+"}\n")
		results := mapping.RunTests(p, today)
		if len(results) != 1 || results[0].Name != "t" || results[0].Pos.Line != 28 {
			t.Fatalf("%+v", results)
		}
		if got := results[0].Failure; (got == "") != (c.failure == "") || !strings.Contains(got, c.failure) {
			t.Errorf("%s\ngot  %q\nwant %q", c.test, got, c.failure)
		}
	}
}

// Each case is a rule or two, and the findings in them; the clean one has none.
func TestLint(t *testing.T) {
	const grant = "grant: {principal: etl}}\n"
	for _, c := range []struct{ name, rules, want string }{
		{"clean", "", ""},
		{"expired allow", "  - {id: r, owner: t, expires: 2026-01-01, match: {issuer: [okta], groups: {any: [a]}}, " + grant, "p.yaml:25:5: warning: rule r: it has expired"},
		{"expired deny", "  - {id: r, effect: deny, expires: 2026-01-01, match: {issuer: [okta], groups: {any: [a]}}}\n", "p.yaml:25:5: error: rule r: this deny has expired, and keeps denying"},
		{"long expiry", "  - {id: r, owner: t, expires: 2036-01-01, match: {issuer: [okta], groups: {any: [a]}}, " + grant, "warning: rule r: it expires in more than two years"},
		{"no owner", "  - {id: r, match: {issuer: [okta], groups: {any: [a]}}, " + grant, "warning: rule r: nobody owns it"},
		{"deny without issuer", "  - {id: r, effect: deny, match: {groups: {any: [contractors]}}}\n", "warning: rule r: a deny that names groups applies to every subject whose groups are not known"},
		{"entra names", "  - {id: r, effect: deny, match: {issuer: [entra], groups: {any: [admins]}}}\n", `warning: rule r: Entra sends the object ids of groups, and "admins" is none`},
		{"alias without a name", "  - {id: r, effect: deny, match: {issuer: [github], groups: {any: [contractors]}}}\n", "warning: rule r: group contractors has no name at provider github"},
		{"contradiction", "  - {id: r, owner: t, match: {issuer: [okta], groups: {any: [a], none: [a]}}, " + grant, "warning: rule r: it never matches: a group that it wants"},
		{"ambiguous", "  - {id: r, owner: t, match: {issuer: [okta], groups: {any: [a]}}, grant: {principal: ml}}\n", "p.yaml:22:5: warning: rule first: a subject that matches it and rule r must name the principal"},
		{"not ambiguous by priority", "  - {id: r, owner: t, priority: 1, match: {issuer: [okta], groups: {any: [a]}}, grant: {principal: ml}}\n", ""},
		{"not ambiguous by subject", "  - {id: r, owner: t, match: {issuer: [okta], subject: [\"x*\"]}, grant: {principal: ml}}\n", "rule first: a subject that matches it and rule r"},
		{"not ambiguous by actor", "  - {id: r, owner: t, match: {issuer: [okta], groups: {any: [a]}, actor: {issuer: [okta], subject: [agent]}}, grant: {principal: ml}}\n", ""},
		{"not ambiguous by agents", "  - {id: r, owner: t, match: {issuer: [okta], groups: {any: [first]}, actor: {issuer: [okta], subject: [a]}}, " + grant +
			"  - {id: s, owner: t, priority: 0, match: {issuer: [okta], groups: {any: [first]}, actor: {issuer: [okta], subject: [b]}}, " + grant, ""},
		{"everybody acts for everybody", "  - {id: r, owner: t, priority: -1, everyone: true, match: {issuer: [okta], actor: any}, " + grant, "p.yaml:25:60: warning: rule r: anybody whom any provider lets in may act for everyone"},
		{"an actor of an issuer", "  - {id: r, owner: t, match: {issuer: [okta], groups: {any: [first]}, actor: {issuer: [okta], max_session_age: 30m}}, " + grant, "p.yaml:25:78: warning: rule r: everybody at okta may act, people too"},
		{"an actor by condition", "  - {id: r, owner: t, match: {issuer: [okta], groups: {any: [first]}, actor: {issuer: [okta]}, when: actor.party == \"agents\"}, " + grant, ""},
		{"a deny that reads an actor of everyone", "  - {id: r, effect: deny, match: {issuer: [okta], when: 'actor.party == \"x\"'}}\n", "p.yaml:25:34: warning: rule r: its condition has no value where nobody acts"},
		{"a deny of actors", "  - {id: r, effect: deny, match: {issuer: [okta], actor: {issuer: [okta]}, when: 'actor.party == \"x\"'}}\n", ""},
		{"a deny that asks", "  - {id: r, effect: deny, match: {issuer: [okta], when: 'has(actor.party) && actor.party == \"x\"'}}\n", ""},
		{"a deny that asks in another way", "  - {id: r, effect: deny, match: {issuer: [okta], when: '\"party\" in actor && actor.party == \"x\"'}}\n", ""},
		{"an actor by group", "  - {id: r, owner: t, match: {issuer: [okta], groups: {any: [first]}, actor: {issuer: [okta], groups: {any: [bots]}}}, " + grant, ""},
		{"a pair whose subject alone has nothing", "  - {id: r, owner: t, match: {issuer: [okta], subject: [\"*\"], groups: {any: [b], none: [first]}, actor: {issuer: [okta], subject: [\"agent-*\"]}}, " + grant, "p.yaml:25:5: warning: rule r: it never grants anything: no rule grants principal etl"},
		{"a pair whose subject may have it at another client", "  - {id: r, owner: t, match: {issuer: [okta], clients: [kong], groups: {any: [first]}, actor: {issuer: [okta], subject: [\"agent-*\"]}}, " + grant, ""},
		{"not ambiguous by group", "  - {id: r, owner: t, match: {issuer: [okta], groups: {any: [a], none: [first]}}, grant: {principal: ml}}\n", ""},
		{"behind a deny", "  - {id: r, effect: deny, match: {issuer: [okta], groups: {any: [first, b]}}}\n", "p.yaml:22:5: warning: rule first: it is never reached: rule r denies everyone whom it matches"},
		{"behind an allow", "  - {id: r, owner: t, match: {issuer: [okta], groups: {any: [first]}, clients: [kong]}, " + grant, "warning: rule r: it is never reached: rule first comes first"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := mapping.Compile(files(lintBase+c.rules), environment())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range mapping.Lint(p, today) {
				got = append(got, f.String())
				if f.Mend == "" {
					t.Error("no way to mend", f)
				}
			}
			if c.want == "" && got != nil || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// lintBase is a policy in which there is nothing to find.
const lintBase = base + `tests:
  - {name: t, subject: {issuer: okta, subject: ada, groups: [first]}, client: kong, audience: prod, expect: {principal: etl}}
rules:
  - {id: agents, owner: t, priority: 5, match: {issuer: [okta], groups: {any: [agents]}}, grant: {principal: ml}}
  - {id: first, owner: t, match: {issuer: [okta], groups: {any: [first]}}, grant: {principal: etl}}
  - {id: dev, owner: t, match: {issuer: [okta], groups: {any: [devs]}}, grant: {principal: dev}}
  - {id: no, effect: deny, match: {issuer: [okta], groups: {any: [contractors]}}}
`

func TestLintUnused(t *testing.T) {
	env := environment()
	env.Clients["kong"] = []string{"prod", "prodd"}
	text := strings.Replace(base, "owner: team}\n  dev", "}\n  dev", 1)
	p, err := mapping.Compile(files(text), env)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, f := range mapping.Lint(p, today) {
		got.WriteString(f.String() + "\n")
	}
	for _, want := range []string{
		"p.yaml:6:3: warning: principal ml: no rule grants it", "p.yaml:14:3: warning: principal etl: nobody owns it", "p.yaml:17:3: warning: group contractors: no rule names it",
		`warning: client kong: its audience prodd is not in the policy; did you mean "prod"?`, "warning: the policy has no tests",
	} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("missing %q in\n%s", want, got.String())
		}
	}
}
