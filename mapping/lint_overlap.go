package mapping

import (
	"fmt"
	"slices"
	"strings"
)

// maxComparisons bounds the search for pairs of rules, which grows with the square of their number.
const maxComparisons = 2_000_000

// overlaps finds pairs of rules that get into each other's way: those that may lead one subject to two principals at
// once, and those where one leaves nothing to the other.
func (l *linter) overlaps() {
	left := maxComparisons
	byWorkspace := map[*workspace][]*rule{}
	var denies []*rule
	for _, r := range l.p.rules {
		switch {
		case r.deny:
			denies = append(denies, r)
		case !r.expired(l.now):
			byWorkspace[r.principal.workspace] = append(byWorkspace[r.principal.workspace], r)
		}
	}
	for _, name := range keysOf(l.p.workspaces) {
		rules := byWorkspace[l.p.workspaces[name]]
		for i, r := range rules {
			if left -= len(rules) + len(denies); left < 0 {
				l.warn(rules[i].pos, "", "there are too many rules to compare each with each; from here on, overlaps are not looked for", "")
				return
			}
			l.covered(r, denies, rules)
			l.ambiguous(r, rules[i+1:])
		}
	}
}

// ambiguous warns once per rule, however many others it collides with.
func (l *linter) ambiguous(r *rule, later []*rule) {
	var others []*rule
	for _, o := range later {
		if o.principal != r.principal && o.priority == r.priority && r.match.overlaps(&o.match) {
			others = append(others, o)
		}
	}
	if len(others) == 0 {
		return
	}
	which := "rule " + others[0].id
	if len(others) > 1 {
		which += fmt.Sprintf(" and %d more", len(others)-1)
	}
	l.warn(r.pos, r.where(), fmt.Sprintf("a subject that matches it and %s must name the principal, or is refused as principal_ambiguous", which),
		"give one of them a higher priority, or make them exclude each other")
}

// covered warns of a rule that another leaves nothing to.
func (l *linter) covered(r *rule, denies, allows []*rule) {
	for _, d := range denies {
		if d.match.covers(&r.match, true) {
			l.warn(r.pos, r.where(), "it is never reached: rule "+d.id+" denies everyone whom it matches", "remove one of the two")
			return
		}
	}
	for _, o := range allows {
		first := o.priority > r.priority || o.priority == r.priority && o.order < r.order
		if o != r && first && o.principal == r.principal && o.expires.IsZero() && o.match.covers(&r.match, false) {
			l.warn(r.pos, r.where(), "it is never reached: rule "+o.id+" comes first, leads to the same principal and matches everyone whom it matches", "remove it, or give it a higher priority")
			return
		}
	}
}

// overlaps says whether one attempt may match both; where that can't be told, it may.
func (m *matcher) overlaps(o *matcher) bool {
	switch {
	case m.issuers != nil && o.issuers != nil && !intersect(m.issuers, o.issuers),
		m.clients != nil && o.clients != nil && !intersect(m.clients, o.clients),
		m.groups.excludes(o.groups), o.groups.excludes(m.groups):
		return false
	case m.actor == nil && o.actor != nil && o.actor.who != nil, o.actor == nil && m.actor != nil && m.actor.who != nil:
		return false
	case m.actor != nil && o.actor != nil && m.actor.who != nil && o.actor.who != nil && !m.actor.who.overlaps(o.actor.who):
		return false
	case m.subjects == nil || o.subjects == nil:
		return true
	}
	for _, a := range m.subjects {
		if slices.ContainsFunc(o.subjects, a.overlaps) {
			return true
		}
	}
	return false
}

func intersect(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// excludes says whether whoever satisfies m is in a group that o wants none of.
func (m *groupMatcher) excludes(o *groupMatcher) bool {
	if m == nil || o == nil {
		return false
	}
	unwanted := func(n string) bool { return slices.Contains(o.none, n) }
	return slices.ContainsFunc(m.all, unwanted) || len(m.any) > 0 && !slices.ContainsFunc(m.any, func(n string) bool { return !unwanted(n) })
}

func (g glob) overlaps(o glob) bool {
	switch {
	case g.literal:
		return o.match(g.pattern)
	case o.literal:
		return g.match(o.pattern)
	}
	return strings.HasPrefix(g.prefix, o.prefix) || strings.HasPrefix(o.prefix, g.prefix)
}

// covers says whether m surely matches whatever o does; where that can't be told, it doesn't. A deny minds no actor
// unless it names one.
func (m *matcher) covers(o *matcher, deny bool) bool {
	if m.condition != nil && (o.condition == nil || o.condition.text != m.condition.text) {
		return false
	}
	if m.actor == nil && !deny && o.actor != nil || m.actor != nil && m.actor.who != nil {
		return false
	}
	if m.issuers != nil && (o.issuers == nil || !contains(m.issuers, o.issuers)) || m.clients != nil && (o.clients == nil || !contains(m.clients, o.clients)) {
		return false
	}
	if m.subjects != nil && !slices.ContainsFunc(m.subjects, func(g glob) bool { return g.pattern == "*" }) {
		if o.subjects == nil || slices.ContainsFunc(o.subjects, func(g glob) bool { return !slices.ContainsFunc(m.subjects, g.within) }) {
			return false
		}
	}
	return m.groups.covers(o.groups)
}

// within says whether everything that g matches is matched by o, as far as is plain to see.
func (g glob) within(o glob) bool {
	return g.pattern == o.pattern || g.literal && o.match(g.pattern) || strings.HasPrefix(g.prefix, o.prefix) && o.pattern == o.prefix+"*"
}

func (m *groupMatcher) covers(o *groupMatcher) bool {
	switch {
	case m == nil:
		return true
	case o == nil:
		return false
	case m.any != nil && (o.any == nil || !contains(m.any, o.any)) && !intersect(m.any, o.all):
		return false
	}
	return contains(o.all, m.all) && contains(o.none, m.none)
}
