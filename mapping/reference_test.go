package mapping_test

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lakegate/sts/exchange"
)

// What follows decides the slow way: every rule, one after the other, straight from the text of the language, with no
// index, no shared code and no cleverness. FuzzDecide holds the real thing against it.

type refPolicy struct {
	aliases map[string]map[string]string // name -> provider -> group
	rules   []refRule
}

type refRule struct {
	id        string
	deny      bool
	priority  int
	expires   time.Time
	issuers   []string
	subjects  []string
	groups    *refGroups
	clients   []string
	actor     *refActor
	condition int // of refConditions
	principal string
	lifetime  time.Duration
	scopes    []string
}

type refGroups struct{ any, all, none []string }

type refActor struct {
	any      bool
	issuers  []string
	subjects []string
	groups   *refGroups
	session  time.Duration // 0: any
	names    bool
}

// refPrincipals are the principals of every generated policy: their workspaces, and their ceilings.
var refPrincipals = map[string]struct {
	workspace string
	scopes    []string
	lifetime  time.Duration
}{
	"p1": {"prod", []string{"a", "b", "c"}, time.Hour}, "p2": {"prod", []string{"a", "b", "c"}, time.Hour},
	"p3": {"staging", []string{"a", "b", "c"}, time.Hour}, "p4": {"staging", []string{"a", "b", "c"}, time.Hour},
}

var refHosts = map[string]string{"https://prod.example": "prod", "https://staging.example": "staging"}

// refTruth: what depends on unknown groups is unknown; a condition without a value is an error.
type refTruth string

const (
	refNo      refTruth = "no"
	refYes     refTruth = "yes"
	refUnknown refTruth = "unknown"
	refError   refTruth = "error"
)

// refConditions are CEL expressions, and what they come to.
var refConditions = []struct {
	cel  string
	eval func(a *exchange.Attempt) refTruth
}{
	{"", func(*exchange.Attempt) refTruth { return refYes }},
	{`claims.amr.exists(m, m == "mfa")`, func(a *exchange.Attempt) refTruth {
		list, ok := a.Subject.Claims["amr"].([]any)
		if !ok {
			return refError
		}
		return refBool(slices.Contains(list, any("mfa")))
	}},
	{`has(claims.team) && claims.team == "x"`, func(a *exchange.Attempt) refTruth { return refBool(a.Subject.Claims["team"] == "x") }},
	{`"g1" in groups`, func(a *exchange.Attempt) refTruth {
		if !a.Subject.Groups.Known {
			return refUnknown
		}
		return refBool(slices.Contains(a.Subject.Groups.Names, "g1"))
	}},
	{`client == "kong" || "g2" in groups`, func(a *exchange.Attempt) refTruth {
		switch {
		case a.Call.Client.ID == "kong":
			return refYes
		case !a.Subject.Groups.Known:
			return refUnknown
		}
		return refBool(slices.Contains(a.Subject.Groups.Names, "g2"))
	}},
	{`has(actor.subject) && actor.subject.startsWith("agent")`, func(a *exchange.Attempt) refTruth {
		return refBool(a.Actor != nil && strings.HasPrefix(a.Actor.Subject, "agent"))
	}},
	{`has(actor.session_start) && now - actor.session_start <= duration("20m")`, func(a *exchange.Attempt) refTruth {
		return refBool(a.Actor != nil && refSession(a) >= 0 && refSession(a) <= 20*time.Minute)
	}},
	{`has(actor.subject) && now - actor.session_start > duration("20m")`, func(a *exchange.Attempt) refTruth {
		switch {
		case a.Actor == nil:
			return refNo
		case refSession(a) < 0:
			return refError
		}
		return refBool(refSession(a) > 20*time.Minute)
	}},
	{`claims.level >= 2`, func(a *exchange.Attempt) refTruth {
		switch level := a.Subject.Claims["level"].(type) {
		case int64:
			return refBool(level >= 2)
		case float64:
			return refBool(level >= 2)
		}
		return refError
	}},
	{`request.lifetime > duration("5m")`, func(a *exchange.Attempt) refTruth { return refBool(a.Request.Lifetime > 5*time.Minute) }},
	{`now < timestamp("2026-12-01T00:00:00Z")`, func(a *exchange.Attempt) refTruth {
		return refBool(a.Time.Before(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)))
	}},
	{`"b" in request.scopes || request.workspace == "prod"`, func(a *exchange.Attempt) refTruth {
		return refBool(slices.Contains(a.Request.Scopes, "b") || a.Request.Target.Workspace == "prod")
	}},
}

func refBool(b bool) refTruth {
	if b {
		return refYes
	}
	return refNo
}

// outcome is what of a decision can be compared.
type outcome struct {
	Reason    exchange.Reason
	Rule      string
	Principal string
	Lifetime  time.Duration
	Scopes    string
}

func (p *refPolicy) decide(a *exchange.Attempt) outcome {
	principals, reason := refTarget(a)
	if reason != "" {
		return outcome{Reason: reason}
	}
	out, granting := p.judge(a, principals)
	if granting == nil {
		return out
	}
	lifetime, scopes := granting.lifetime, granting.scopes
	if a.Actor != nil {
		// The subject alone must be granted that principal; the shorter lifetime wins, and so does what both may.
		alone := *a
		alone.Actor = nil
		out, also := p.judge(&alone, []string{granting.principal})
		if also == nil {
			return out
		}
		lifetime = min(lifetime, also.lifetime)
		scopes = slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return !slices.Contains(also.scopes, s) })
		if len(scopes) == 0 {
			return outcome{Reason: exchange.ReasonNoMatchingRule, Rule: granting.id}
		}
	}
	if asked := a.Request.Scopes; len(asked) > 0 {
		for _, s := range asked {
			if !slices.Contains(scopes, s) {
				return outcome{Reason: exchange.ReasonScopeExceedsPolicy, Rule: granting.id}
			}
		}
		scopes = asked
	}
	if len(a.Request.Details) > 0 {
		return outcome{Reason: exchange.ReasonDetailsExceedPolicy, Rule: granting.id}
	}
	return outcome{Rule: granting.id, Principal: granting.principal, Lifetime: lifetime, Scopes: strings.Join(scopes, " ")}
}

// judge: any deny wins; then the highest priority among the allows that lead to what was asked for.
func (p *refPolicy) judge(a *exchange.Attempt, principals []string) (outcome, *refRule) {
	for i := range p.rules {
		if r := &p.rules[i]; r.deny {
			switch p.matches(r, a) {
			case refYes, refError:
				return outcome{Reason: exchange.ReasonDeniedByRule, Rule: r.id}, nil
			case refUnknown:
				return outcome{Reason: exchange.ReasonGroupsOverage, Rule: r.id}, nil
			}
		}
	}
	var matching []*refRule
	overage := false
	for i := range p.rules {
		r := &p.rules[i]
		if r.deny || !slices.Contains(principals, r.principal) || !r.expires.IsZero() && !a.Time.Before(r.expires) {
			continue
		}
		switch p.matches(r, a) {
		case refYes:
			matching = append(matching, r)
		case refUnknown:
			overage = true
		}
	}
	if len(matching) == 0 {
		if overage {
			return outcome{Reason: exchange.ReasonGroupsOverage}, nil
		}
		return outcome{Reason: exchange.ReasonNoMatchingRule}, nil
	}
	slices.SortStableFunc(matching, func(a, b *refRule) int { return b.priority - a.priority })
	for _, r := range matching {
		if r.priority == matching[0].priority && r.principal != matching[0].principal {
			return outcome{Reason: exchange.ReasonPrincipalAmbiguous}, nil
		}
	}
	return outcome{}, matching[0]
}

func (p *refPolicy) matches(r *refRule, a *exchange.Attempt) refTruth {
	all := []refTruth{
		refBool(r.issuers == nil || slices.Contains(r.issuers, a.Subject.Provider)),
		refBool(r.clients == nil || slices.Contains(r.clients, a.Call.Client.ID)),
		refBool(refSubject(r.subjects, a.Subject.Subject)),
		p.groups(r.groups, a.Subject),
		refConditions[r.condition].eval(a),
	}
	switch {
	case r.actor == nil:
		all = append(all, refBool(r.deny || a.Actor == nil))
	case r.actor.any:
	case a.Actor == nil:
		all = append(all, refNo)
	default:
		all = append(all, refBool(slices.Contains(r.actor.issuers, a.Actor.Provider)), refBool(refSubject(r.actor.subjects, a.Actor.Subject)),
			p.groups(r.actor.groups, a.Actor), refBool(!r.actor.names || a.Request.Target.Principal != ""),
			refBool(r.actor.session == 0 || refSession(a) >= 0 && refSession(a) <= r.actor.session))
	}
	for _, worst := range []refTruth{refNo, refError, refUnknown} {
		if slices.Contains(all, worst) {
			if worst == refError && r.deny && slices.Contains(all, refUnknown) {
				return refUnknown
			}
			return worst
		}
	}
	return refYes
}

// refSession is how old the actor's session is, -1 where that is not known.
func refSession(a *exchange.Attempt) time.Duration {
	age := time.Duration(-1)
	if !a.Actor.IssuedAt.IsZero() {
		age = max(0, a.Time.Sub(a.Actor.IssuedAt))
	}
	switch at := a.Actor.Claims["auth_time"].(type) {
	case nil:
	case int64:
		age = max(age, a.Time.Sub(time.Unix(at, 0)))
	case float64:
		age = max(age, a.Time.Sub(time.Unix(int64(at), 0)))
	default:
		return -1
	}
	return age
}

func refSubject(patterns []string, subject string) bool {
	return patterns == nil || slices.ContainsFunc(patterns, func(p string) bool { return refGlob(p, subject) })
}

// refGlob is the pattern as a regular expression.
func refGlob(pattern, value string) bool {
	quoted := regexp.QuoteMeta(pattern)
	quoted = strings.ReplaceAll(strings.ReplaceAll(quoted, `\*`, `.*`), `\?`, `.`)
	return regexp.MustCompile(`(?s)^` + quoted + `$`).MatchString(value)
}

func (p *refPolicy) groups(g *refGroups, id *exchange.Identity) refTruth {
	switch {
	case g == nil:
		return refYes
	case !id.Groups.Known:
		return refUnknown
	}
	member := func(name string) bool {
		if at, isAlias := p.aliases[name]; isAlias {
			return at[id.Provider] != "" && slices.Contains(id.Groups.Names, at[id.Provider])
		}
		return slices.Contains(id.Groups.Names, name)
	}
	if g.any != nil && !slices.ContainsFunc(g.any, member) {
		return refNo
	}
	for _, name := range g.all {
		if !member(name) {
			return refNo
		}
	}
	return refBool(!slices.ContainsFunc(g.none, member))
}

// refTarget lists the principals that a request may lead to.
func refTarget(a *exchange.Attempt) (principals []string, reason exchange.Reason) {
	var mine []string
	for name, p := range refPrincipals {
		if slices.Contains(a.Call.Client.Audiences, p.workspace) || slices.Contains(a.Call.Client.Audiences, p.workspace+"/"+name) {
			mine = append(mine, name)
		}
	}
	in := func(workspace string) (list []string) {
		for _, name := range mine {
			if refPrincipals[name].workspace == workspace {
				list = append(list, name)
			}
		}
		return list
	}
	asked := a.Request.Target
	workspace := asked.Workspace
	if workspace != "" && len(in(workspace)) == 0 {
		return nil, exchange.ReasonTargetUnknown
	}
	if asked.Principal != "" && !slices.Contains(in(workspace), asked.Principal) {
		return nil, exchange.ReasonTargetUnknown
	}
	if asked.Resource != "" {
		host := refHosts[asked.Resource]
		if len(in(host)) == 0 || workspace != "" && workspace != host {
			return nil, exchange.ReasonTargetUnknown
		}
		workspace = host
	}
	if workspace == "" {
		for _, candidate := range []string{"prod", "staging"} {
			if len(in(candidate)) == 0 {
				continue
			}
			if workspace != "" {
				return nil, exchange.ReasonTargetUnknown
			}
			workspace = candidate
		}
		if workspace == "" {
			return nil, exchange.ReasonTargetUnknown
		}
	}
	if asked.Principal != "" {
		return []string{asked.Principal}, ""
	}
	return in(workspace), ""
}
