package mapping

import (
	"slices"

	"github.com/lakegate/sts/exchange"
)

// truth is what can be said of a condition. Unknown groups make some unknown: those don't let an allow match, and do
// let a deny.
type truth uint8

const (
	no truth = iota
	yes
	unknown
)

// part names a condition of a rule, as the policy writes it.
type part string

const (
	partIssuer  part = "issuer"
	partClients part = "clients"
	partSubject part = "subject"
	partActor   part = "actor"
	partExpires part = "expires"
	partGroups  part = "groups"
	partNames   part = "actor.names_principal"
	partSession part = "actor.max_session_age"
	partWhen    part = "when"
)

// parts is the order in which the conditions are looked at: cheap ones first.
var parts = []part{partIssuer, partClients, partSubject, partActor, partExpires, partGroups, partNames, partSession, partWhen}

// matches says whether the rule matches, and where it doesn't, by which part. One part that is false outweighs all that
// are unknown.
func (r *rule) matches(v *view) (truth, part) {
	m := &r.match
	uncertain := part("")
	switch {
	case !m.matchesIssuer(v.subject.Provider):
		return no, partIssuer
	case m.clients != nil && !slices.Contains(m.clients, v.client):
		return no, partClients
	case !m.matchesSubject(v.subject.Subject):
		return no, partSubject
	}
	switch r.matchesActor(v) {
	case no:
		return no, partActor
	case unknown:
		uncertain = partActor
	}
	if !r.deny && r.expired(v.now) {
		return no, partExpires
	}
	switch m.matchesGroups(v.subject) {
	case no:
		return no, partGroups
	case unknown:
		uncertain = partGroups
	}
	switch {
	case !m.actor.named(v):
		return no, partNames
	case !m.actor.young(v):
		return no, partSession
	}
	switch m.condition.holds(v, r.deny) {
	case no:
		return no, partWhen
	case unknown:
		uncertain = partWhen
	}
	if uncertain != "" {
		return unknown, uncertain
	}
	return yes, ""
}

func (m *matcher) matchesSubject(subject string) bool {
	return m.subjects == nil || slices.ContainsFunc(m.subjects, func(g glob) bool { return g.match(subject) })
}

func (m *matcher) matchesGroups(id *exchange.Identity) truth {
	switch {
	case m.groups == nil:
		return yes
	case !id.Groups.Known:
		return unknown
	case m.groups.at(id.Provider).holds(id.Groups.Names):
		return yes
	}
	return no
}

// matchesActor: an allow without actor wants nobody to act, a deny without it doesn't mind; "any" minds in neither.
func (r *rule) matchesActor(v *view) truth {
	actor := r.match.actor
	switch {
	case actor == nil && (r.deny || v.actor == nil), actor != nil && actor.who == nil:
		return yes
	case actor == nil, v.actor == nil:
		return no
	case !actor.who.matchesIssuer(v.actor.Provider) || !actor.who.matchesSubject(v.actor.Subject):
		return no
	}
	return actor.who.matchesGroups(v.actor)
}

// holds evaluates the condition. Where it has no value, an allow does not match and a deny does; where that is for want
// of the groups, it is unknown.
func (c *condition) holds(v *view, deny bool) truth {
	if c == nil {
		return yes
	}
	v.missedGroups = false
	value, err := c.value(v)
	switch {
	case err != nil && v.missedGroups:
		return unknown
	case err != nil && deny, err == nil && value:
		return yes
	}
	return no
}
