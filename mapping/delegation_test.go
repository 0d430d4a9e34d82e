package mapping_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
)

const delegationRules = `rules:
  - {id: alone, match: {issuer: [okta], groups: {any: [ds]}}, grant: {principal: ml, lifetime: 5m, scopes: [sql]}}
  - {id: agents, match: {issuer: [okta], groups: {any: [ds, mle]}, actor: {issuer: [okta], subject: ["agent-*"]}}, grant: {principal: ml, lifetime: 10m}}
  - {id: crew, priority: 1, match: {issuer: [okta], groups: {any: [ds]}, actor: {issuer: [okta], groups: {any: [crew]}}}, grant: {principal: ml, lifetime: 2m}}
  - {id: whoever, match: {issuer: [okta], groups: {any: [ops]}, actor: any}, grant: {principal: etl}}
  - {id: not-for-agents, effect: deny, match: {issuer: [okta], groups: {any: [board]}, actor: {issuer: [okta]}}}
  - {id: not-for-outsiders, effect: deny, match: {issuer: [okta], groups: {any: [lab]}, actor: {issuer: [okta], groups: {none: [crew]}}}}
  - {id: only-alone, effect: deny, match: {issuer: [okta], subject: [eve], when: "!has(actor.subject)"}}
  - {id: board, match: {issuer: [okta], groups: {any: [board]}, actor: any}, grant: {principal: etl}}
  - {id: lab, match: {issuer: [okta], groups: {any: [lab]}, actor: any}, grant: {principal: etl}}
`

// TestDelegatedDecisions holds rows P07 and P08, and that an actor who is only told of is nobody but his name.
func TestDelegatedDecisions(t *testing.T) {
	p := compile(t, delegationRules)
	of := func(provider, subject string, groups ...string) *exchange.Identity {
		return &exchange.Identity{Provider: provider, Subject: subject, Groups: exchange.Groups{Known: true, Names: groups}}
	}
	told := &exchange.Identity{Provider: "okta", Subject: "agent-1"}
	eve := ada("ds")
	eve.Subject = "eve"
	for _, c := range []struct {
		name string
		a    *exchange.Attempt
		want string
	}{
		{"G01 nobody acts", attempt(ada("ds"), "prod"), "ml alone 5m0s sql"},
		{"P07 a rule without actor", attempt(ada("ds"), "prod", by(of("okta", "bob"))), "not_granted no_matching_rule"},
		{"P08 the subject alone would get nothing", attempt(ada("mle"), "prod", by(agent())), "not_granted no_matching_rule"},
		{"P08 the rule of the subject alone is the shorter", attempt(ada("ds"), "prod", by(agent())), "ml agents 5m0s sql"},
		{"P08 the rule of the pair is the shorter", attempt(ada("ds"), "prod", by(of("okta", "agent-1", "crew"))), "ml crew 2m0s sql"},
		{"P08 the subject alone is denied", attempt(eve, "prod", by(agent())), "not_granted denied_by_rule only-alone"},
		{"another provider's actor of that name", attempt(ada("ds"), "prod", by(of("entra", "agent-1"))), "not_granted no_matching_rule"},
		{"told of, by his name", attempt(ada("ds"), "prod", by(told)), "ml agents 5m0s sql"},
		{"told of, his groups are unknown", attempt(ada("ds"), "prod", by(&exchange.Identity{Provider: "okta", Subject: "bob"})), "not_granted groups_overage"},
		{"any", attempt(ada("ops"), "prod", by(told)), "etl whoever 1h0m0s all-apis"},
		{"a deny of all actors", attempt(ada("board"), "prod", by(told)), "not_granted denied_by_rule not-for-agents"},
		{"which is not one of the subject alone", attempt(ada("board"), "prod"), "etl board 1h0m0s all-apis"},
		{"a deny that names groups applies where they are unknown", attempt(ada("lab"), "prod", by(told)), "not_granted groups_overage not-for-outsiders"},
		{"and not where he is in them", attempt(ada("lab"), "prod", by(of("okta", "x", "crew"))), "etl lab 1h0m0s all-apis"},
	} {
		t.Run(c.name, func(t *testing.T) {
			decision := p.Decide(c.a)
			if got := decided(&decision); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			// G08: who acted before him changes nothing.
			c.a.Prior = []exchange.Actor{{Provider: "okta", Subject: "eve"}, {Subject: "x"}}
			if diff := cmp.Diff(decision, p.Decide(c.a)); diff != "" {
				t.Errorf("a nested actor has a say: %s", diff)
			}
		})
	}
}

// TestUnknownGroupsAreSomebodys holds that a refusal for want of groups says whose they are, since another token mends it.
func TestUnknownGroupsAreSomebodys(t *testing.T) {
	p := compile(t, delegationRules)
	actor := func(overage, told bool) func(*exchange.Attempt) {
		return func(a *exchange.Attempt) {
			a.Actor = &exchange.Identity{Provider: "okta", Subject: "bob", Groups: exchange.Groups{Overage: overage}}
			a.ActorTold = told
		}
	}
	blind := ada("ds")
	blind.Groups = exchange.Groups{}
	for _, c := range []struct {
		name, says string
		a          *exchange.Attempt
	}{
		{"the subject's", "the subject token says nothing", attempt(blind, "prod")},
		{"both", "the subject token says nothing", attempt(blind, "prod", actor(false, false))},
		{"the actor's", "the actor token says nothing", attempt(ada("ds"), "prod", actor(false, false))},
		{"the actor's, by a deny", "the actor token says nothing", attempt(ada("lab"), "prod", actor(false, false))},
		{"too many", "out of the actor token", attempt(ada("ds"), "prod", actor(true, false))},
		{"told", "present his own token", attempt(ada("ds"), "prod", actor(false, true))},
	} {
		d := p.Decide(c.a)
		if d.Denial == nil || d.Denial.Reason != exchange.ReasonGroupsOverage || !strings.Contains(d.Denial.Message, c.says) {
			t.Errorf("%s: %v, want %q", c.name, d.Denial, c.says)
			continue
		}
		checkMessage(t, d.Denial.Message)
	}
}
