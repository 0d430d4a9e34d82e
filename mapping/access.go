package mapping

import (
	"slices"
	"time"

	"github.com/lakegate/sts/exchange"
)

// Roles are the roles that a subject has with our own API, sorted.
func (p *Policy) Roles(subject *exchange.Identity, now time.Time) []Role {
	var roles []Role
	v := &view{now: now, subject: subject, request: &exchange.Request{}}
	for _, a := range p.access {
		r := rule{match: a.match, expires: a.expires}
		if held, _ := r.matches(v); held == yes && !slices.Contains(roles, a.role) {
			roles = append(roles, a.role)
		}
	}
	slices.Sort(roles)
	return roles
}

// Holds reports whether the policy in force lets a subject do what a role may. An operator may do all that an auditor may.
func (e *Engine) Holds(subject *exchange.Identity, role Role, now time.Time) bool {
	p := e.current.Load()
	if p == nil {
		return false
	}
	roles := p.Roles(subject, now)
	return slices.Contains(roles, role) || role == RoleAuditor && slices.Contains(roles, RoleOperator)
}

// AccessIssuers are the issuers whose subjects may have a role now, sorted: where a token for our own API comes from.
func (e *Engine) AccessIssuers(now time.Time) []string {
	p := e.current.Load()
	if p == nil {
		return nil
	}
	issuers := []string{}
	for _, a := range p.access {
		if r := (rule{expires: a.expires}); r.expired(now) {
			continue
		}
		providers := a.match.issuers
		if providers == nil && p.env != nil {
			providers = keysOf(p.env.Providers)
		}
		for _, name := range providers {
			provider, _ := p.env.provider(name)
			issuers = append(issuers, provider.issuers()...)
		}
	}
	slices.Sort(issuers)
	return slices.Compact(issuers)
}
