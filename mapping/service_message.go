package mapping

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/strictyaml"
)

// ruleMessage is a rule in the words of its file.
func (p *Policy) ruleMessage(r *rule, now time.Time) *stsv1.Rule {
	m := &stsv1.Rule{
		Id: r.id, Description: r.description, Owner: r.owner, Ticket: r.ticket,
		Effect: effectOf(r.deny), Priority: int32(r.priority), Everyone: r.everyone, //nolint:gosec // the compiler bounds it
		ExpiresAt: timeMessage(r.expires), Expired: r.expired(now),
		Match: p.matchMessage(&r.match), Position: positionMessage(r.pos),
	}
	if r.principal != nil {
		m.Grant = &stsv1.RuleGrant{
			Principal: r.grant.Principal, Workspace: r.grant.Workspace, Scopes: r.grant.Scopes,
			LifetimeSeconds: seconds(r.grant.Lifetime), GatewayCacheSeconds: seconds(r.gatewayCache), LeaseMaxSeconds: seconds(r.lease),
		}
	}
	return m
}

func effectOf(denies bool) string {
	if denies {
		return string(deny)
	}
	return string(allow)
}

func (p *Policy) matchMessage(m *matcher) *stsv1.Match {
	match := &stsv1.Match{
		Issuer: m.issuers, Subject: patternList(m.subjects), Groups: p.groupsMessage(m.groups), Clients: m.clients,
	}
	if m.condition != nil {
		match.When = m.condition.text
	}
	switch {
	case m.actor == nil:
	case m.actor.who == nil:
		match.Actor = &stsv1.ActorMatch{Any: true}
	default:
		who := m.actor.who
		match.Actor = &stsv1.ActorMatch{
			Issuer: who.issuers, Subject: patternList(who.subjects), Groups: p.groupsMessage(who.groups),
			MaxSessionAgeSeconds: seconds(m.actor.maxSessionAge), NamesPrincipal: m.actor.namesPrincipal,
		}
	}
	return match
}

func (p *Policy) groupsMessage(m *groupMatcher) *stsv1.GroupMatch {
	if m == nil {
		return nil
	}
	message := &stsv1.GroupMatch{Any: m.any, All: m.all, None: m.none}
	for _, name := range m.written() {
		if a := p.aliases[name]; a != nil {
			message.Aliases = append(message.Aliases, &stsv1.GroupAlias{Name: name, Names: a.names})
		}
	}
	return message
}

// principalMessage is a principal in the words of its file.
func (p *Policy) principalMessage(of *principal) *stsv1.Principal {
	return &stsv1.Principal{
		Name: of.name, Workspace: of.workspace.name, Host: of.workspace.host, Account: of.workspace.account,
		ApplicationId: of.applicationID, Scopes: of.scopes, AuthorizationDetails: detailMessages(of.details),
		MaxLifetimeSeconds: seconds(of.maxLifetime), MinLifetimeSeconds: seconds(of.minLifetime),
		Isolation: string(of.isolation), Method: string(p.env.credential(of.name).Method),
		Rules: int32(of.rules), Owner: of.owner, Description: of.description, Position: positionMessage(of.pos), //nolint:gosec // fewer than a file has bytes
	}
}

func detailMessages(details exchange.Details) []*stsv1.AuthorizationDetail {
	var messages []*stsv1.AuthorizationDetail
	for i := range details {
		d := &details[i]
		messages = append(messages, &stsv1.AuthorizationDetail{Type: d.Type, ObjectType: d.ObjectType, ObjectPath: d.ObjectPath, Actions: d.Actions})
	}
	return messages
}

func positionMessage(p strictyaml.Pos) *stsv1.Position {
	return &stsv1.Position{File: p.File, Line: int32(p.Line), Column: int32(p.Column)} //nolint:gosec // fewer than a file has bytes
}

// timeMessage leaves the zero time out.
func timeMessage(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// seconds is a lifetime or an age of the policy, which is a month at most.
func seconds(d time.Duration) int32 { return int32(d / time.Second) } //nolint:gosec // see above

func patternList(globs []glob) []string {
	var list []string
	for _, g := range globs {
		list = append(list, g.pattern)
	}
	return list
}
