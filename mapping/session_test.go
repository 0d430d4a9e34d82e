package mapping_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
)

const agentRules = `rules:
  - {id: alone, match: {issuer: [okta], groups: {any: [ds]}}, grant: {principal: ml, lifetime: 10m}}
  - {id: alone-etl, priority: -1, match: {issuer: [okta], groups: {any: [ds]}}, grant: {principal: etl}}
  - {id: young, match: {issuer: [okta], groups: {any: [ds]}, actor: {issuer: [okta], subject: ["agent-*"], max_session_age: 30m}}, grant: {principal: ml, lifetime: 5m}}
  - {id: named, match: {issuer: [okta], groups: {any: [ds]}, actor: {issuer: [okta], subject: ["agent-*"], names_principal: true}}, grant: {principal: etl, lifetime: 5m}}
  - {id: spoken, match: {issuer: [okta], groups: {any: [ds]}, actor: {issuer: [okta], subject: [worker]}, when: 'actor.party == "agents" && actor.token_type != "" && now - actor.session_start <= duration("10m")'}, grant: {principal: ml}}
  - {id: itself, match: {issuer: [okta], subject: ["agent-*"]}, grant: {principal: etl, lifetime: 5m}}
`

// An agent's session is as old as its auth_time says, or else its iat; whose session can't be told has none.
func TestAgents(t *testing.T) {
	p := compile(t, agentRules)
	began := func(ago time.Duration, authTime any) func(*exchange.Attempt) {
		return func(a *exchange.Attempt) {
			a.Actor = agent()
			a.Actor.IssuedAt = today.Add(-ago)
			if authTime != nil {
				a.Actor.Claims = map[string]any{"auth_time": authTime}
			}
		}
	}
	unix := func(ago time.Duration) int64 { return today.Add(-ago).Unix() }
	const denied = "no_matching_rule"
	for _, c := range []struct {
		name     string
		audience string
		actor    func(*exchange.Attempt)
		want     string // the rule, or the reason
		text     string
	}{
		{"a token just issued", "prod/ml", began(0, nil), "young", ""},
		{"one as old as may be", "prod/ml", began(30*time.Minute, nil), "young", ""},
		{"one a second older", "prod/ml", began(30*time.Minute+time.Second, nil), denied,
			"refused: no_matching_rule; nearest is rule young (p.yaml:21:5), whose actor.max_session_age wants an agent's session of at most 30m and saw one of 30m1s"},
		{"one from the future, as clocks differ", "prod/ml", began(-20*time.Second, nil), "young", ""},
		{"a fresh token of an old session", "prod/ml", began(0, unix(42*time.Minute)), denied,
			"refused: no_matching_rule; nearest is rule young (p.yaml:21:5), whose actor.max_session_age wants an agent's session of at most 30m and saw one of 42m"},
		{"with a fraction", "prod/ml", began(0, float64(unix(29*time.Minute))+0.5), "young", ""},
		{"in milliseconds, which counts for nothing", "prod/ml", began(42*time.Minute, unix(0)*1000), denied, ""},
		{"far beyond what a time holds", "prod/ml", began(42*time.Minute, 1e300), denied, ""},
		{"far before it", "prod/ml", began(0, -1e300), denied, ""},
		{"no number", "prod/ml", began(0, "2026-11-24"), denied,
			"refused: no_matching_rule; nearest is rule young (p.yaml:21:5), whose actor.max_session_age wants an agent's session of at most 30m and saw one whose beginning is not known"},
		{"null, which is none", "prod/ml", func(a *exchange.Attempt) {
			began(0, nil)(a)
			a.Actor.Claims = map[string]any{"auth_time": nil}
		}, "young", ""},
		{"told by the subject's token alone", "prod/ml", by(agent()), denied, ""},
		{"auth_time alone", "prod/ml", func(a *exchange.Attempt) {
			a.Actor = agent()
			a.Actor.Claims = map[string]any{"auth_time": unix(time.Minute)}
		}, "young", ""},
		{"auth_time alone, in milliseconds", "prod/ml", func(a *exchange.Attempt) {
			a.Actor = agent()
			a.Actor.Claims = map[string]any{"auth_time": unix(time.Minute) * 1000}
		}, denied, ""},
		{"a principal by name", "prod/etl", began(42*time.Minute, nil), "named", ""},
		{"and by the workspace alone", "prod", began(42*time.Minute, nil), denied, ""},
		{"and by its host alone", "", func(a *exchange.Attempt) {
			began(42*time.Minute, nil)(a)
			resource("https://prod.example")(a)
		}, denied, ""},
		{"what a condition asks", "prod/ml", func(a *exchange.Attempt) {
			began(9*time.Minute, nil)(a)
			a.Actor.Subject, a.Actor.Party, a.Actor.TokenType = "worker", "agents", exchange.TypeJWT
		}, "spoken", ""},
		{"what a condition asks, of an old session", "prod/ml", func(a *exchange.Attempt) {
			began(11*time.Minute, nil)(a)
			a.Actor.Subject, a.Actor.Party, a.Actor.TokenType = "worker", "agents", exchange.TypeJWT
		}, denied, `refused: no_matching_rule; nearest is rule spoken (p.yaml:23:5), whose when wants now - actor.session_start <= duration("10m") and saw auth_time = missing (actor: missing), actor.session_start = 2026-11-24T11:49:00Z`},
		{"nobody acts", "prod/ml", func(*exchange.Attempt) {}, "alone", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := attempt(ada("ds"), c.audience, c.actor)
			d := p.Decide(a)
			got := d.Rule
			if d.Denial != nil {
				got = string(d.Denial.Reason)
				checkMessage(t, d.Denial.Message)
			}
			text := p.Explain(a).Text()
			if got != c.want || c.text != "" && text != c.text {
				t.Errorf("got %s, want %s; %s", got, c.want, text)
			}
		})
	}
	// Who acts for nobody is a subject, and needs no word about actors.
	bot := agent()
	if d := p.Decide(attempt(bot, "prod")); d.Denial != nil || d.Rule != "itself" {
		t.Errorf("an agent of its own: %+v", d)
	}
	// A record must hold what a decision about a session went by.
	if !slices.Contains(p.ReadsClaims(), "auth_time") {
		t.Errorf("recorded are %q", p.ReadsClaims())
	}
	for _, condition := range []string{"now - actor.session_start < duration('1m')", "has(actor.session_start)", "'session_start' in actor", "actor['session_start'] < now"} {
		p := compile(t, "rules:\n  - {id: r, effect: deny, match: {issuer: [okta], actor: {issuer: [okta]}, when: \""+condition+"\"}}\n")
		if !slices.Contains(p.ReadsClaims(), "auth_time") {
			t.Errorf("%s: recorded are %q", condition, p.ReadsClaims())
		}
	}
}

// A deny of old sessions holds for a session that can't be told, too.
func TestDenyOldSessions(t *testing.T) {
	p := compile(t, `rules:
  - {id: ds, match: {issuer: [okta], groups: {any: [ds]}, actor: any}, grant: {principal: ml}}
  - {id: old, effect: deny, match: {issuer: [okta], actor: {issuer: [okta], subject: ["agent-*"]}, when: 'now - actor.session_start > duration("30m")'}}
`)
	young, old := agent(), agent()
	young.IssuedAt, old.IssuedAt = today, today.Add(-time.Hour)
	for _, c := range []struct {
		name   string
		actor  *exchange.Identity
		denied bool
	}{{"young", young, false}, {"old", old, true}, {"not known", agent(), true}, {"nobody", nil, false}} {
		if d := p.Decide(attempt(ada("ds"), "prod", by(c.actor))); (d.Denial != nil) != c.denied {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
}

// A rule can ask for an actor's own token: one of whom only the subject's token tells has no session.
func TestAnActorsOwnToken(t *testing.T) {
	p := compile(t, `rules:
  - {id: alone, match: {issuer: [okta], groups: {any: [ds]}}, grant: {principal: ml}}
  - {id: agents, match: {issuer: [okta], groups: {any: [ds]}, actor: {issuer: [okta], subject: ["agent-*"]}, when: has(actor.session_start)}, grant: {principal: ml}}
`)
	own := agent()
	own.IssuedAt = today
	if d := p.Decide(attempt(ada("ds"), "prod", by(own))); d.Rule != "agents" {
		t.Errorf("by his own token: %+v", d)
	}
	if d := p.Decide(attempt(ada("ds"), "prod", by(agent()))); d.Denial == nil {
		t.Errorf("by the subject's: %+v", d)
	}
}

// A pair's details are those of the principal, which both rules lead to; isolation by subject keeps pairs apart.
func TestPairsAreKeptApart(t *testing.T) {
	p := compile(t, "rules:\n  - {id: any, match: {issuer: [okta], groups: {any: [ds]}, actor: any}, grant: {principal: ml}}\n")
	one, two := agent(), agent()
	two.Subject = "agent-2"
	pair, alone := p.Decide(attempt(ada("ds"), "prod", by(one))).Grant, p.Decide(attempt(ada("ds"), "prod")).Grant
	if !pair.Details.Within(alone.Details) || !alone.Details.Within(pair.Details) {
		t.Errorf("details of a pair: %v, of the subject alone: %v", pair.Details, alone.Details)
	}
	if d := p.Decide(attempt(ada("ds"), "prod", by(one), details("/a", "manage"))); d.Denial == nil || d.Denial.Reason != exchange.ReasonDetailsExceedPolicy {
		t.Errorf("wider details for a pair: %+v", d)
	}
	own := strings.Replace(base, "    max_lifetime: 15m\n", "    max_lifetime: 15m\n    isolation: subject\n", 1)
	p, err := mapping.Compile(files(own+"rules:\n  - {id: any, match: {issuer: [okta], groups: {any: [ds]}, actor: any}, grant: {principal: ml}}\n"), environment())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, actor := range []*exchange.Identity{nil, one, two} {
		seen[p.Decide(attempt(ada("ds"), "prod", by(actor))).Grant.Isolation] = true
	}
	if len(seen) != 3 {
		t.Errorf("three share: %v", seen)
	}
}
