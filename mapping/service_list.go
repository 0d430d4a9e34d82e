package mapping

import (
	"context"
	"slices"
	"strings"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
)

// ListRules implements stsv1.MappingServiceServer.
func (s *Service) ListRules(_ context.Context, r *stsv1.ListRulesRequest) (*stsv1.ListRulesResponse, error) {
	p, err := s.policy()
	if err != nil {
		return nil, err
	}
	at, refused := openPage(p.digest, r)
	if refused != nil {
		return nil, refused
	}
	switch r.GetEffect() {
	case "", string(allow), string(deny):
	default:
		return nil, malformed("effect is neither %s nor %s", allow, deny)
	}
	text := strings.ToLower(r.GetText())
	rules, next := take(at, p.listed, ruleID, func(one *rule) bool { return p.passes(one, r, text) })
	answer := &stsv1.ListRulesResponse{Policy: p.digest, NextPageToken: next}
	now := s.cfg.Now()
	for _, one := range rules {
		answer.Rules = append(answer.Rules, p.ruleMessage(one, now))
	}
	return answer, nil
}

// ListPrincipals implements stsv1.MappingServiceServer.
func (s *Service) ListPrincipals(_ context.Context, r *stsv1.ListPrincipalsRequest) (*stsv1.ListPrincipalsResponse, error) {
	p, err := s.policy()
	if err != nil {
		return nil, err
	}
	at, refused := openPage(p.digest, r)
	if refused != nil {
		return nil, refused
	}
	principals, next := take(at, p.existing, principalName, func(one *principal) bool {
		return same(r.GetWorkspace(), one.workspace.name) && same(r.GetOwner(), one.owner)
	})
	answer := &stsv1.ListPrincipalsResponse{Policy: p.digest, NextPageToken: next}
	for _, one := range principals {
		answer.Principals = append(answer.Principals, p.principalMessage(one))
	}
	return answer, nil
}

// same says that a filter lets a value pass.
func same(filter, value string) bool { return filter == "" || filter == value }

// passes says that a rule passes all filters of a request; text is its own in lower case.
func (p *Policy) passes(r *rule, f *stsv1.ListRulesRequest, text string) bool {
	m := &r.match
	switch {
	case f.GetEffect() != "" && (f.GetEffect() == string(deny)) != r.deny,
		f.GetIssuer() != "" && !m.matchesIssuer(f.GetIssuer()),
		f.GetClient() != "" && m.clients != nil && !slices.Contains(m.clients, f.GetClient()),
		f.GetPrincipal() != "" && (r.principal == nil || r.principal.name != f.GetPrincipal()),
		f.GetWorkspace() != "" && (r.principal == nil || r.principal.workspace.name != f.GetWorkspace()),
		f.GetGroup() != "" && !p.names(m, f.GetGroup()):
		return false
	}
	return same(f.GetOwner(), r.owner) &&
		(text == "" || strings.Contains(r.id, text) || strings.Contains(strings.ToLower(r.description), text))
}

// names says that a group is named, as the policy writes it or as a provider does, of the subject or the actor.
func (p *Policy) names(m *matcher, group string) bool {
	for _, g := range []*groupMatcher{m.groups, m.actorGroups()} {
		if g != nil && slices.ContainsFunc(g.written(), func(name string) bool { return name == group || p.aliases[name].means(group) }) {
			return true
		}
	}
	return false
}

func (m *matcher) actorGroups() *groupMatcher {
	if m.actor == nil || m.actor.who == nil {
		return nil
	}
	return m.actor.who.groups
}

// written are all names that the rule writes.
func (m *groupMatcher) written() []string { return slices.Concat(m.any, m.all, m.none) }

// means says that a provider calls the group so.
func (a *alias) means(group string) bool {
	if a == nil {
		return false
	}
	for _, name := range a.names {
		if name == group {
			return true
		}
	}
	return false
}
