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
