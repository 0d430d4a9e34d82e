package mapping

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lakegate/sts/exchange"
)

var _ exchange.Policy = (*Policy)(nil)

// evaluation is what one decision needs beside the policy; it is used again and again.
type evaluation struct {
	view, alone           view
	denies, allows, blind [][]*rule
}

// Decide implements exchange.Policy: target, denies, allows, then scope and details.
func (p *Policy) Decide(a *exchange.Attempt) exchange.Decision {
	d := exchange.Decision{Policy: p.digest, ReadsClaims: p.readsClaims}
	client := a.Call.Client
	t, refused := p.targetOf(a.Request.Target, client)
	if refused != nil {
		d.Denial = refused
		return d
	}
	e := p.evaluations.Get().(*evaluation)
	defer p.release(e)
	e.view = view{now: a.Time, client: client.ID, subject: a.Subject, actor: a.Actor, request: a.Request}

	v := p.judge(e, &e.view, &t)
	var alone verdict
	if v.allow != nil && a.Actor != nil {
		// Delegation never adds power: the subject must be granted this principal without the actor too.
		t.principal = v.allow.principal
		e.alone = e.view
		e.alone.actor, e.alone.actorValue = nil, nil
		if alone = p.judge(e, &e.alone, &t); alone.allow == nil {
			v = alone
		}
	}
	if v.allow == nil {
		d.Rule, d.Denial = v.deniedBy(), v.refuse(a)
		return d
	}
	d.Rule = v.allow.id
	d.Grant, d.Denial = grantOf(v.allow, alone.allow, a)
	return d
}

func (p *Policy) release(e *evaluation) {
	e.view, e.alone = view{}, view{} // holds on to nobody's claims
	p.evaluations.Put(e)
}

// verdict is what the rules say. At most one of deny and allow is there.
type verdict struct {
	deny, allow *rule
	// blind is the part for whose unknown groups the deny applies, or an allow failed: partActor for the actor's, any other for
	// the subject's; "" where that isn't why.
	blind part
	// ambiguous says that rules of the highest priority lead to several principals.
	ambiguous bool
}

// judge finds the rule that decides. Among rules that say the same, the first in the policy does.
func (p *Policy) judge(e *evaluation, v *view, t *target) verdict {
	ix := p.indexes[v.subject.Provider]
	if ix == nil {
		ix = p.foreign
	}
	known := v.subject.Groups.Known

	e.denies, e.allows = ix.sighted.lists(v, e.denies[:0], e.allows[:0])
	if !known {
		e.denies, e.blind = ix.blind.lists(v, e.denies, e.blind[:0])
	}
	if out := firstDeny(e.denies, v); out.deny != nil {
		return out
	}
	out := bestAllow(e.allows, v, t)
	if out.allow == nil && !out.ambiguous && out.blind == "" && !known {
		out.blind = anyUnknown(e.blind, v, t)
	}
	return out
}

// firstDeny is the first deny in the policy that applies.
func firstDeny(lists [][]*rule, v *view) (out verdict) {
	for _, list := range lists {
		for _, r := range list {
			if out.deny != nil && r.order >= out.deny.order {
				break
			}
			switch applies, by := r.matches(v); applies {
			case yes:
				out = verdict{deny: r}
			case unknown:
				out = verdict{deny: r, blind: by}
			}
		}
	}
	return out
}

// bestAllow is the allow of the highest priority that matches and leads to the target.
func bestAllow(lists [][]*rule, v *view, t *target) (out verdict) {
	var best *rule
	for _, list := range lists {
		for _, r := range list {
			if !t.admits(r.principal) || best != nil && (r.priority < best.priority ||
				r.priority == best.priority && r.principal == best.principal && r.order >= best.order) {
				continue
			}
			matched, by := r.matches(v)
			switch {
			case matched == unknown:
				out.blind = cmp.Or(out.blind, by)
			case matched == no:
			case best == nil || r.priority > best.priority:
				best, out.ambiguous = r, false
			case r.principal != best.principal:
				out.ambiguous = true
			default:
				best = r
			}
		}
	}
	if best != nil && !out.ambiguous {
		return verdict{allow: best}
	}
	if best != nil {
		out.blind = ""
	}
	return out
}

// anyUnknown is the part for whose unknown groups an allow fails, "" where none does.
func anyUnknown(lists [][]*rule, v *view, t *target) part {
	for _, list := range lists {
		for _, r := range list {
			if !t.admits(r.principal) {
				continue
			}
			if matched, by := r.matches(v); matched == unknown {
				return by
			}
		}
	}
	return ""
}

func (v *verdict) deniedBy() string {
	if v.deny == nil {
		return ""
	}
	return v.deny.id
}

// refuse says why not, without naming rules, groups or principals: the record does that.
func (v *verdict) refuse(a *exchange.Attempt) *exchange.Error {
	switch {
	case v.blind == partActor && a.ActorTold:
		return exchange.Refuse(exchange.CodeNotGranted, exchange.ReasonGroupsOverage,
			"the subject token names who acts (act), and nothing says in which groups he is, which the policy needs; present his own token as actor_token")
	case v.blind == partActor:
		return groupsUnknown("actor", a.Actor)
	case v.blind != "":
		return groupsUnknown("subject", a.Subject)
	case v.deny != nil:
		return exchange.Refuse(exchange.CodeNotGranted, exchange.ReasonDeniedByRule,
			"a rule of the policy denies this; an auditor finds which under the decision id")
	case v.ambiguous:
		return exchange.Refuse(exchange.CodeInvalidTarget, exchange.ReasonPrincipalAmbiguous,
			"the policy leads to several principals of this workspace; name one, as audience=workspace/principal")
	default:
		return exchange.Refuse(exchange.CodeNotGranted, exchange.ReasonNoMatchingRule,
			"no rule of the policy grants this; an auditor finds under the decision id what was missing")
	}
}

// groupsUnknown says whose token lacks the groups.
func groupsUnknown(whose string, who *exchange.Identity) *exchange.Error {
	if who.Groups.Overage {
		return exchange.Refuse(exchange.CodeNotGranted, exchange.ReasonGroupsOverage,
			"the provider left the groups out of the %s token, since there are too many, and the policy needs them; have it send only the groups of this application, or switch the look-up of groups on", whose)
	}
	return exchange.Refuse(exchange.CodeNotGranted, exchange.ReasonGroupsOverage,
		"the %s token says nothing about groups, and the policy needs them; have the provider put the groups claim into its tokens, be it empty", whose)
}

// grantOf fills the grant in, and narrows it to what was asked for. alone is the rule for the subject without its
// actor, nil where nobody acts.
func grantOf(r, alone *rule, a *exchange.Attempt) (exchange.Grant, *exchange.Error) {
	g := r.grant
	if alone != nil {
		g.Lifetime = min(g.Lifetime, alone.grant.Lifetime)
		if g.Scopes = both(g.Scopes, alone.grant.Scopes); len(g.Scopes) == 0 {
			return exchange.Grant{}, (&verdict{}).refuse(a)
		}
	}
	switch r.principal.isolation {
	case isolateClient:
		g.Isolation = "client\x00" + a.Call.Client.ID
	case isolateSubject:
		who := []string{"subject", a.Subject.Issuer, a.Subject.Subject}
		if a.Actor != nil {
			who = append(who, "actor", a.Actor.Issuer, a.Actor.Subject)
		}
		g.Isolation, g.Personal = strings.Join(who, "\x00"), true
	}
	if asked := a.Request.Scopes; len(asked) > 0 {
		if !contains(g.Scopes, asked) {
			return exchange.Grant{}, exchange.Refuse(exchange.CodeInvalidScope, exchange.ReasonScopeExceedsPolicy,
				"scope is wider than what the policy grants; ask for less, or leave it out to get what the policy grants")
		}
		g.Scopes = asked
	}
	if asked := a.Request.Details; len(asked) > 0 {
		if !asked.Within(g.Details) {
			return exchange.Grant{}, exchange.Refuse(exchange.CodeInvalidAuthorizationDetails, exchange.ReasonDetailsExceedPolicy,
				"authorization_details are wider than what the policy grants; ask for less, or leave them out to get what the policy grants")
		}
		g.Details = asked
	}
	return g, nil
}

// both is what two sorted lists have in common.
func both(a, b []string) []string {
	if slices.Equal(a, b) {
		return a
	}
	var common []string
	for _, s := range a {
		if slices.Contains(b, s) {
			common = append(common, s)
		}
	}
	return common
}

func contains(ceiling, asked []string) bool {
	for _, s := range asked {
		if !slices.Contains(ceiling, s) {
			return false
		}
	}
	return true
}
