package mapping_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/strictyaml"
	"github.com/lakegate/sts/mapping"
	"github.com/lakegate/sts/mapping/mappingtest"
)

// base has everything but rules; tests add them, or replace a part of it.
const base = `version: 1
workspaces:
  prod: {host: "https://prod.example", account: aws}
  staging: {host: "https://staging.example", account: aws}
principals:
  ml:
    workspace: prod
    application_id: 6f1c2b9e-0f0e-4c56-9d58-3c1b0b1c7a11
    scopes: [model-serving, sql]
    max_lifetime: 15m
    authorization_details:
      - {type: workspace_permission, object_type: serving-endpoints, object_path: /a, actions: [query, view]}
    owner: team
  etl: {workspace: prod, application_id: 0d7c4b1a-6e0b-4b8e-9f57-2f3e1d4c5b6a, scopes: [all-apis], max_lifetime: 1h, owner: team}
  dev: {workspace: staging, application_id: 1d7c4b1a-6e0b-4b8e-9f57-2f3e1d4c5b6a, scopes: [all-apis], max_lifetime: 1h, owner: team}
groups:
  contractors: {okta: contractors, entra: 9c1d7a52-55c5-4f7e-9a56-0d7f0f0a4c11}
`

func environment() *mapping.Environment {
	return &mapping.Environment{
		Providers: map[string]mapping.Provider{"okta": {Issuer: "https://okta.example"}, "entra": {Entra: true}, "github": {Shared: true}},
		Clients:   map[string][]string{"kong": {"prod"}, "nightly-etl": {"prod", "staging"}, "narrow": {"prod/etl"}},
		Accounts:  []string{"aws"}, FederationDetails: true,
	}
}

// compile makes a policy of base and more.
func compile(t testing.TB, more string) *mapping.Policy {
	t.Helper()
	p, err := mapping.Compile([]mapping.File{{Name: "p.yaml", Data: []byte(base + more)}}, environment())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Each case is a rule, or another part, and a piece of the only fault that it must give.
func TestCompileFaults(t *testing.T) {
	const grant = "grant: {principal: ml}"
	rule := func(match, rest string) string { return "rules:\n  - {id: r, match: {" + match + "}, " + rest + "}\n" }
	for _, c := range []struct{ name, more, fault string }{
		{"unknown key", "rulez: []\n", `p.yaml:18:1: unknown key "rulez"; did you mean "rules"?`},
		{"unknown match key", rule("issuers: [okta], groups: {any: [a]}", grant), `unknown key "issuers"; did you mean "issuer"?`},
		{"wrong type", rule("issuer: okta, groups: {any: [a]}", grant), "p.yaml:19:29: rules[0].match.issuer: wanted a list, found a text"},
		{"unknown provider", rule("issuer: [oktaa], groups: {any: [a]}", grant), `there is no identity provider "oktaa"; did you mean "okta"?`},
		{"unknown client", rule("issuer: [okta], clients: [kongg]", grant), `p.yaml:19:47: rule r: there is no client "kongg"; did you mean "kong"?`},
		{"unknown principal", rule("issuer: [okta], clients: [kong]", "grant: {principal: mll}"), `there is no principal "mll"`},
		{"empty list", rule("issuer: [], clients: [kong]", grant), "issuer is an empty list; name at least one"},
		{"empty clients", rule("issuer: [okta], clients: []", grant), "clients is an empty list"},
		{"empty groups", rule("issuer: [okta], groups: {}", grant), "groups names no group"},
		{"group pattern", rule("issuer: [okta], groups: {any: [data-*]}", grant), "groups are compared whole"},
		{"repeated element", rule("issuer: [okta, okta], clients: [kong]", grant), `issuer has "okta" twice`},
		{"no match", "rules:\n  - {id: r, " + grant + "}\n", `missing key "match"`},
		{"no grant", "rules:\n  - {id: r, match: {issuer: [okta], clients: [kong]}}\n", `missing key "grant"`},
		{"deny grants", rule("issuer: [okta]", "effect: deny, "+grant), "a deny rule grants nothing"},
		{"priority", rule("issuer: [okta], groups: {any: [ds]}", "priority: 2147483648"), "the priority does not fit into 32 bits"},
		{"session of nothing", rule("issuer: [okta], clients: [kong], actor: {issuer: [okta], subject: [a], max_session_age: 0s}", grant), "rule r: actor: max_session_age is not between a second and 720h"},
		{"session for ever", rule("issuer: [okta], clients: [kong], actor: {issuer: [okta], subject: [a], max_session_age: 721h}", grant), "max_session_age is not between a second and 720h"},
		{"session in parts", rule("issuer: [okta], clients: [kong], actor: {issuer: [okta], subject: [a], max_session_age: 1500ms}", grant), "in whole seconds"},
		{"deny by session", rule("issuer: [okta], actor: {issuer: [okta], max_session_age: 30m}", "effect: deny"), `p.yaml:19:78: rule r: a deny rule has no max_session_age: it is what an allow rule wants of an agent; write it into the allow rules; or deny old sessions by when: now - actor.session_start > duration("30m")`},
		{"deny by name", rule("issuer: [okta], actor: {issuer: [okta], names_principal: true}", "effect: deny"), `a deny rule has no names_principal`},
		{"deny priority", rule("issuer: [okta]", "effect: deny, priority: 3"), "a deny rule has no priority"},
		{"effect", rule("issuer: [okta]", "effect: denny"), `unknown value "denny"; did you mean "deny"?`},
		{"rule name", "rules:\n  - {id: R 1, match: {issuer: [okta], clients: [kong]}, " + grant + "}\n", `"R 1" is not a name`},
		{"repeated rule", rule("issuer: [okta], clients: [kong]", grant) + "  - {id: r, match: {issuer: [okta], clients: [kong]}, " + grant + "}\n", "rule r is there twice; it stands at p.yaml:19:10 already"},
		{"open to everyone", rule("issuer: [okta]", grant), "open to everyone whom the provider lets in; add groups"},
		{"open by star", rule(`issuer: [okta], subject: ["?*"]`, grant), "open to everyone"},
		{"open by none", rule("issuer: [okta], groups: {none: [a]}", grant), "open to everyone"},
		{"subject without issuer", rule("subject: [ada]", grant), "a subject means nothing without its issuer"},
		{"shared without subject", rule("issuer: [github], clients: [nightly-etl]", grant), "provider github serves many tenants, and this rule doesn't bind one; start each"},
		{"shared with a star", rule(`issuer: [github], subject: ["*"], clients: [kong]`, grant), "doesn't bind one"},
		{"shared without the slash", rule(`issuer: [github], subject: ["repo:acme*"]`, grant), "doesn't bind one"},
		{"shared, one of two", rule(`issuer: [github], subject: ["repo:acme/*", "repo:*/x"]`, grant), "doesn't bind one"},
		{"shared by no issuer", rule("groups: {any: [a]}", grant), "provider github serves many tenants"},
		{"shared, claim of no tenant", rule(`issuer: [github], when: 'claims.ref == "main"'`, grant), "doesn't bind one"},
		{"shared, either", rule(`issuer: [github], when: 'claims.repository_owner == "acme" || claims.ref == "main"'`, grant), "doesn't bind one"},
		{"shared, not", rule(`issuer: [github], when: '!(claims.repository_owner == "acme")'`, grant), "doesn't bind one"},
		{"shared, an environment of anybody's", rule(`issuer: [github], subject: ["environment:production"]`, grant), "doesn't bind one"},
		{"shared, an environment by pattern", rule(`issuer: [github], subject: ["environment:production:*"]`, grant), "doesn't bind one"},
		{"shared, a workflow that anybody calls", rule(`issuer: [github], subject: ["job_workflow_ref:acme/ci/.github/workflows/x.yml@*"]`, grant), "doesn't bind one"},
		{"shared, a workflow in words", rule(`issuer: [github], when: 'claims.job_workflow_ref == "acme/ci/.github/workflows/x.yml@refs/heads/main"'`, grant), "doesn't bind one"},
		{"shared, an environment in words", rule(`issuer: [github], when: 'subject == "environment:production"'`, grant), "doesn't bind one"},
		{"shared, one of several in words", rule(`issuer: [github], when: 'subject in ["repo:acme/x:ref:refs/heads/main", "environment:production"]'`, grant), "doesn't bind one"},
		{"shared, the beginning of an environment", rule(`issuer: [github], when: 'subject.startsWith("environment:production:")'`, grant), "doesn't bind one"},
		{"shared, a part of a group's name", rule(`issuer: [github], when: 'claims.project_path.startsWith("acme")'`, grant), "doesn't bind one"},
		{"shared, that a tenant is there", rule(`issuer: [github], when: 'has(claims.repository_owner) == true'`, grant), "doesn't bind one"},
		{"shared, that a tenant is there, in brackets", rule(`issuer: [github], when: 'has(claims.repository_owner) in [true]'`, grant), "doesn't bind one"},
		{"shared, nobody's tenant", rule(`issuer: [github], when: 'claims.repository_owner == ""'`, grant), "doesn't bind one"},
		{"shared, a tenant that is null", rule(`issuer: [github], when: 'claims.enterprise_id in ["7", null]'`, grant), "doesn't bind one"},
		{"shared, one way or the other", rule(`issuer: [github], when: 'claims.ref == "a" ? claims.repository_owner == "acme" : true'`, grant), "doesn't bind one"},
		{"shared, some word is the tenant", rule(`issuer: [github], when: '"acme" in [claims.repository_owner, "acme"]'`, grant), "doesn't bind one"},
		{"shared, a tenant of our own making", rule(`issuer: [github], when: '[{"repository_owner": "acme"}].exists(claims, claims.repository_owner == "acme")'`, grant), "doesn't bind one"},
		{"shared, not unlike", rule(`issuer: [github], when: '(claims.repository_owner == "acme") == false'`, grant), "doesn't bind one"},
		{"shared, a property that anybody sets", rule(`issuer: [github], subject: ["repo_property_team:data:*"]`, grant), "doesn't bind one"},
		{"shared, an audience that anybody asks for", rule(`issuer: [github], subject: ["aud:databricks:*"]`, grant), "doesn't bind one"},
		{"shared, a scope of anybody's", rule(`issuer: [github], subject: ["issuer_scope:enterprise:*"]`, grant), "doesn't bind one"},
		{"shared, a question mark in the name", rule(`issuer: [github], subject: ["repo:acm?/*"]`, grant), "doesn't bind one"},
		{"shared actor", rule(`issuer: [okta], clients: [kong], actor: {issuer: [github]}`, grant), "rule r: actor: provider github serves many tenants"},
		{"actor word", rule(`issuer: [okta], clients: [kong], actor: some`, grant), "wanted any, or a mapping that says who"},
		{"actor without issuer", rule(`issuer: [okta], clients: [kong], actor: {subject: [a]}`, grant), `missing key "issuer"`},
		{"glob class", rule(`issuer: [okta], subject: ["agent-[0-9]"]`, grant), "brackets, braces and backslashes are no patterns here"},
		{"glob doublestar", rule(`issuer: [okta], subject: ["a/**"]`, grant), `"**" is no pattern here`},
		{"glob regexp", rule(`issuer: [okta], subject: ["^agent-.*"]`, grant), "this is a regular expression"},
		{"glob empty", rule(`issuer: [okta], subject: [""]`, grant), "an empty pattern matches nobody"},
		{"glob space", rule(`issuer: [okta], subject: [" ada"]`, grant), "white space at its ends"},
		{"above max_lifetime", rule("issuer: [okta], clients: [kong]", "grant: {principal: ml, lifetime: 16m}"), "its lifetime 16m is above the max_lifetime of principal ml, 15m"},
		{"lifetime under a minute", rule("issuer: [okta], clients: [kong]", "grant: {principal: ml, lifetime: 59s}"), "lifetime is under 60 s"},
		{"lifetime of half seconds", rule("issuer: [okta], clients: [kong]", "grant: {principal: ml, lifetime: 60500ms}"), "not a whole number of seconds"},
		{"scope above ceiling", rule("issuer: [okta], clients: [kong]", "grant: {principal: ml, scopes: [sqll]}"), `scope sqll is above the ceiling of principal ml; did you mean "sql"?`},
		{"no scopes", rule("issuer: [okta], clients: [kong]", "grant: {principal: ml, scopes: []}"), "an empty list of scopes"},
		{"scope with a space", rule("issuer: [okta], clients: [kong]", `grant: {principal: ml, scopes: ["sql x"]}`), "not the name of a scope"},
		{"short lease", rule("issuer: [okta], clients: [kong]", "grant: {principal: ml, lease: {max: 5s}}"), "lease.max is under 60 s"},
		{"gateway cache", rule("issuer: [okta], clients: [kong]", "grant: {principal: ml, gateway_cache: 1h}"), "gateway_cache is longer than the lifetime"},
		{"date", rule("issuer: [okta], clients: [kong]", grant+", expires: 30.6.2027"), `"30.6.2027" is neither a day nor a time`},
		{"cel syntax", rule(`issuer: [okta], when: 'claims.a =='`, grant), "p.yaml:19:55: rule r: when: Syntax error"},
		{"cel type", rule(`issuer: [okta], when: 'subject + client'`, grant), "the condition is of type string, not bool"},
		{"cel name", rule(`issuer: [okta], when: 'claim.a == "b"'`, grant), "p.yaml:19:44: rule r: when: undeclared reference to 'claim'"},
		{"cel over lines", "rules:\n  - id: r\n    match:\n      issuer: [okta]\n      when: |\n        subject == \"a\" &&\n        subjekt == \"b\"\n    " + grant + "\n", "p.yaml:24:9: rule r: when: undeclared reference to 'subjekt' (did you mean 'subject'?) (line 2, column 1"},
		{"cel cost", rule(`issuer: [okta], when: 'groups.exists(a, groups.exists(b, a == b + "x"))'`, grant), "the condition may cost"},
		{"cel dynamic regexp", rule(`issuer: [okta], when: 'subject.matches(client)'`, grant), "the pattern of matches is not a literal"},
		{"cel bad regexp", rule(`issuer: [okta], when: 'subject.matches("(")'`, grant), "rule r: when: "},
		{"cel all claims", rule(`issuer: [okta], when: 'claims.exists(c, c == subject)'`, grant), "claims is read as a whole (line 1, column 1 of the condition); read its members by name"},
		{"cel any claim", rule(`issuer: [okta], when: 'claims[subject] == "x"'`, grant), "claims is read as a whole"},
		{"cel any claim of the actor", rule(`issuer: [okta], when: 'actor.claims[subject] == "x"'`, grant), "actor is read as a whole"},
		{"G08 cel act", rule(`issuer: [okta], when: 'claims.act.sub == "x"'`, grant), "the claim act is read (line 1"},
		{"G08 cel act by its name", rule(`issuer: [okta], when: 'claims["act"]["sub"] == "x"'`, grant), "the claim act is read"},
		{"G08 cel act in claims", rule(`issuer: [okta], when: '"act" in claims'`, grant), "the claim act is read"},
		{"G08 cel act of the actor", rule(`issuer: [okta], when: 'actor.claims.act.sub == "x"'`, grant), "the claim act is read"},
		{"access clients", "access:\n  - {role: auditor, match: {issuer: [okta], clients: [kong]}}\n", "clients is not known for access"},
		{"access open", "access:\n  - {role: auditor, match: {issuer: [okta]}}\n", "open to everyone"},
		{"access role", "access:\n  - {role: admin, match: {issuer: [okta], groups: {any: [a]}}}\n", `unknown value "admin"`},
		{"test expects nothing", "tests:\n  - {name: t, subject: {issuer: okta, subject: a}, client: kong, expect: {}}\n", "it expects nothing"},
		{"test expects both", "tests:\n  - {name: t, subject: {issuer: okta, subject: a}, client: kong, expect: {principal: ml, reason: no_matching_rule}}\n", "both a grant and a reason"},
		{"test reason", "tests:\n  - {name: t, subject: {issuer: okta, subject: a}, client: kong, expect: {reason: no_matching_rules}}\n", `did you mean "no_matching_rule"?`},
		{"test without client", "tests:\n  - {name: t, subject: {issuer: okta, subject: a}, expect: {reason: no_matching_rule}}\n", `missing key "client"`},
		{"test scope", "tests:\n  - {name: t, subject: {issuer: okta, subject: a}, client: kong, scope: 'a\"', expect: {reason: no_matching_rule}}\n", "the request is malformed: scope holds"},
		{"test lifetime", "tests:\n  - {name: t, subject: {issuer: okta, subject: a}, client: kong, requested_lifetime: 10s, expect: {reason: no_matching_rule}}\n", "requested_lifetime must be whole seconds, at least 60"},
	} {
		t.Run(c.name, func(t *testing.T) {
			faults := faultsOf(t, base+c.more, environment())
			if len(faults) != 1 || !strings.Contains(faults[0].String(), c.fault) {
				t.Errorf("got\n%v\nwant one fault with\n%s", faults, c.fault)
			}
		})
	}
}

// Each case replaces something in base.
func TestCompileBaseFaults(t *testing.T) {
	for _, c := range []struct{ name, old, new, fault string }{
		{"version", "version: 1", "version: 2", "version 2 of the language is not known here"},
		{"http", `"https://prod.example"`, `"http://prod.example"`, "p.yaml:3:16: workspace prod: the host is reached without TLS"},
		{"path", `"https://prod.example"`, `"https://prod.example/x"`, "the host has a path or a query"},
		{"no URL", `"https://prod.example"`, `prod.example`, "the host is not the URL of a workspace"},
		{"one host twice", `"https://staging.example"`, `"https://PROD.example:443/"`, "its host is that of workspace prod"},
		{"account", `"https://prod.example", account: aws`, `"https://prod.example", account: awss`, `there is no account "awss"; did you mean "aws"?`},
		{"workspace", "etl: {workspace: prod", "etl: {workspace: prd", `there is no workspace "prd"; did you mean "prod"?`},
		{"application id", "0d7c4b1a-6e0b-4b8e-9f57-2f3e1d4c5b6a", "etl-principal", "the application_id is not a UUID"},
		{"application id in braces", "0d7c4b1a-6e0b-4b8e-9f57-2f3e1d4c5b6a", "'{0d7c4b1a-6e0b-4b8e-9f57-2f3e1d4c5b6a}'", "the application_id is not a UUID"},
		{"short", "max_lifetime: 15m", "max_lifetime: 30s", "max_lifetime is under 60 s"},
		{"long", "max_lifetime: 15m", "max_lifetime: 25h", "max_lifetime is over a day"},
		{"min short", "max_lifetime: 15m", "max_lifetime: 15m\n    min_lifetime: 10s", "min_lifetime is under 60 s"},
		{"min above max", "max_lifetime: 15m", "max_lifetime: 15m\n    min_lifetime: 20m", "min_lifetime is longer than max_lifetime"},
		{"detail type", "type: workspace_permission", "type: other", "authorization_details: this element is of a type that is not known here"},
		{"detail actions", "actions: [query, view]", "actions: []", "needs object_type, object_path and actions"},
		{"isolation", "owner: team\n  etl", "isolation: none\n  etl", `unknown value "none"`},
		{"alias provider", "{okta: contractors,", "{oktaa: contractors,", `there is no identity provider "oktaa"`},
		{"alias twice", "groups:\n", "groups:\n  contractors: {okta: a}\n", `repeated key "contractors"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(base, c.old, c.new, 1)
			if text == base {
				t.Fatal("the case changes nothing")
			}
			if faults := faultsOf(t, text, environment()); len(faults) == 0 || !slices.ContainsFunc(faults, func(f strictyaml.Fault) bool { return strings.Contains(f.String(), c.fault) }) {
				t.Errorf("got\n%v\nwant\n%s", faults, c.fault)
			}
		})
	}
}

func faultsOf(t testing.TB, text string, env *mapping.Environment) strictyaml.Faults {
	t.Helper()
	p, err := mapping.Compile([]mapping.File{{Name: "p.yaml", Data: []byte(text)}}, env)
	var faults strictyaml.Faults
	if err == nil || p != nil || !errors.As(err, &faults) {
		t.Fatalf("it compiles, or fails otherwise: %v", err)
	}
	return faults
}

// What must load, though it looks like what must not.
func TestCompiles(t *testing.T) {
	for _, match := range []string{
		`issuer: [github], subject: ["repo:acme/*"]`, `issuer: [github], subject: ["repo:acme/etl:environment:prod"]`,
		`issuer: [github], when: 'claims.repository_owner == "acme" && claims.ref == "refs/heads/main"'`,
		`issuer: [github], when: 'claims.repository in ["acme/a", "acme/b"]'`, `issuer: [github], when: 'claims.repository.startsWith("acme/")'`,
		`issuer: [github], when: 'subject.startsWith("repo:acme/")'`, `issuer: [okta], subject: ["auth0|7*"]`,
		`issuer: [github], subject: ["repo:acme@12/*", "project_path:acme/*", "repository_owner_id:12:*"]`,
		`issuer: [github], when: 'claims.repository_owner_id == "12" && claims.environment == "production"'`,
		`issuer: [github], when: 'claims.namespace_path.startsWith("acme/") && claims.ref_protected == "true"'`,
		`issuer: [github], when: 'claims.project_id in ["7", "8"]'`, `issuer: [github], when: 'subject in ["repo:acme/x:ref:refs/heads/main"]'`,
		`issuer: [okta], when: 'claims.amr.exists(m, m == "mfa")'`, `issuer: [okta], clients: [kong], actor: any`,
		`issuer: [okta], when: 'claims["https://acme.example/team"] == "x" && now < timestamp("2027-01-01T00:00:00Z")'`,
		`issuer: [okta], when: 'claims.amr.exists(m, m == "mfa") && claims.roles.exists(r, r.startsWith("admin-")) && groups.exists(g, g.endsWith("-prod"))'`,
		`issuer: [okta], when: '"mfa" in claims.amr && claims.department in ["a", "b"] && claims.level >= 2'`,
		`issuer: [okta], everyone: true`, `issuer: [okta], when: '"amr" in claims && "x" in actor.claims'`,
		`issuer: [okta], when: 'subject.matches("^[a-z]+$") && size(groups) < 10'`,
	} {
		compile(t, "rules:\n  - {id: r, match: {"+match+"}, grant: {principal: ml}}\n")
	}
	compile(t, "rules:\n  - {id: r, everyone: true, match: {issuer: [okta]}, grant: {principal: ml}}\n  - {id: stop, effect: deny, match: {issuer: [github]}}\n")
}

func TestFaultsAreToldAtOnce(t *testing.T) {
	text := strings.Replace(base, "scopes: [all-apis]", "scopes: []", 1) + "rules:\n  - {id: a, match: {issuer: [oktaa], subject: ['[']}, grant: {principal: nobody}}\n"
	other := "version: 1\nworkspaces:\n  prod: {host: \"https://other.example\", account: aws}\nrules:\n  - {id: a, match: {issuer: [okta], when: '1'}, grant: {principal: ml}}\n"
	_, err := mapping.Compile([]mapping.File{{Name: "p.yaml", Data: []byte(text)}, {Name: "q.yaml", Data: []byte(other)}}, environment())
	var faults strictyaml.Faults
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	var got []string
	for _, f := range faults {
		got = append(got, f.Pos.String())
		if f.Mend == "" {
			t.Errorf("no way to mend: %v", f)
		}
	}
	want := []string{"p.yaml:14:88", "p.yaml:19:30", "p.yaml:19:48", "p.yaml:19:74", "q.yaml:3:3", "q.yaml:5:10"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%v", diff, err)
	}
}

func TestFilesMerge(t *testing.T) {
	rules := "version: 1\nrules:\n  - {id: r, match: {issuer: [okta], clients: [kong]}, grant: {principal: ml}}\n"
	files := []mapping.File{{Name: "b.yaml", Data: []byte(rules)}, {Name: "a.yaml", Data: []byte(base)}}
	p, err := mapping.Compile(files, environment())
	if err != nil || p.Rules() != 1 {
		t.Fatal(p, err)
	}
	slices.Reverse(files)
	if q, err := mapping.Compile(files, environment()); err != nil || q.Digest() == p.Digest() {
		t.Fatal("another order is another policy", err)
	}
}

func TestWithoutEnvironment(t *testing.T) {
	text := strings.Replace(base, "account: aws", "account: whatever", 1) + "rules:\n  - {id: r, match: {issuer: [some-provider], clients: [some-client]}, grant: {principal: ml}}\n"
	if _, err := mapping.Compile([]mapping.File{{Name: "p.yaml", Data: []byte(text)}}, nil); err != nil {
		t.Error(err)
	}
	if faults := faultsOf(t, base+"rules:\n  - {id: r, match: {issuer: [github], clients: [c]}, grant: {principal: ml}}\n", nil); !strings.Contains(faults[0].Message, "serves many tenants") {
		t.Error(faults)
	}
}

func TestDetailsNeedAMethodThatHonoursThem(t *testing.T) {
	env := environment()
	env.FederationDetails = false
	if faults := faultsOf(t, base, env); len(faults) != 1 || faults[0].Pos.Line != 12 {
		t.Error(faults)
	}
	env.Credentials = map[string]mapping.Credential{"ml": {Method: exchange.MethodClientSecret, Generation: "g1"}}
	if _, err := mapping.Compile([]mapping.File{{Name: "p.yaml", Data: []byte(base)}}, env); err != nil {
		t.Error(err)
	}
}

func TestReadsClaims(t *testing.T) {
	p := compile(t, `rules:
  - {id: a, match: {issuer: [okta], when: 'claims.amr.exists(m, m == "mfa") || has(claims.team.name)'}, grant: {principal: ml}}
  - {id: b, match: {issuer: [okta], when: '"x" in claims && claims["https://acme.example/y"] == claims.team[subject]'}, grant: {principal: ml}}
  - {id: c, match: {issuer: [okta], when: 'actor.claims.z == "1" && actor.subject == "a"'}, grant: {principal: ml}}
`)
	if diff := cmp.Diff([]string{"amr", "https://acme.example/y", "team", "x", "z"}, p.ReadsClaims()); diff != "" {
		t.Error(diff)
	}
}

// FuzzCompile holds that whatever the text is, Compile returns, its faults stand in the file and say something, and what
// compiles compiles again to the same.
func FuzzCompile(f *testing.F) {
	f.Add([]byte(base))
	f.Add(mappingtest.Policy(mappingtest.Shape{Rules: 20}))
	f.Add([]byte("version: 1\nrules: [{id: a, match: {when: \"groups.all(g, g == '\"}}]\ntests: [{name: , expect: {lease: }}]\naccess: [{}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		files := []mapping.File{{Name: "p.yaml", Data: data}}
		p, err := mapping.Compile(files, nil)
		if err != nil {
			var faults strictyaml.Faults
			if !errors.As(err, &faults) {
				t.Fatal(err)
			}
			for _, fault := range faults {
				if fault.Message == "" || fault.Pos.Line < 1 || fault.Pos.Line > strings.Count(string(data), "\n")+1 {
					t.Fatalf("%+v", fault)
				}
			}
			return
		}
		q, err := mapping.Compile(files, nil)
		if err != nil || p.Digest() != q.Digest() || p.Rules() != q.Rules() {
			t.Fatal("it compiles differently the second time", err)
		}
		if diff := cmp.Diff(mapping.RunTests(p, today), mapping.RunTests(q, today)); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(fmt.Sprint(mapping.Lint(p, today)), fmt.Sprint(mapping.Lint(q, today))); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestDigestIsThatOfTheFile(t *testing.T) {
	if diff := cmp.Diff(fmt.Sprintf("%x", sha256.Sum256([]byte(base))), compile(t, "").Digest()); diff != "" {
		t.Error(diff)
	}
}
