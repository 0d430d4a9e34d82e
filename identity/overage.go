package identity

import (
	"context"
	"slices"
	"time"

	"github.com/lakegate/sts/exchange"
)

// GroupSource tells the groups that a token leaves out because they are too many.
type GroupSource interface {
	// Groups are those of somebody whose token was verified, sorted and each once, and until when they may be used. An
	// error means that they can't be had now, never that there are none: an *exchange.Error of CodeUnavailable, or the
	// caller's own deadline. It dials configured addresses only.
	Groups(ctx context.Context, who Member) (names []string, until time.Time, err error)
}

// Member is who is asked about: the verified tid and oid of a token.
type Member struct {
	Provider, Tenant, Object string
	Application              bool // and no person
}

// resolve puts the groups in place that the token leaves out, where its provider is asked for them. By now the token is
// verified, so nobody makes us ask by a token of his own making. The time is until when the groups are good; zero is as long
// as the token.
func (t *trial) resolve(ctx context.Context, source GroupSource, id *exchange.Identity) (time.Time, error) {
	if !id.Groups.Overage || !t.provider.ResolveOverage || source == nil || t.Use == exchange.UseClient {
		return time.Time{}, nil
	}
	if t.provider.roles != nil && t.elsewhere(t.provider.roles) {
		return time.Time{}, nil // roles are not what the source knows
	}
	object, _ := t.claims[objectClaim].(string)
	if !IsEntraID(object) {
		return time.Time{}, t.Invalid("leaves its groups out, and has no oid by which to ask for them, or one that is no id")
	}
	roles, err := t.list("roles", t.provider.roles)
	if err != nil {
		return time.Time{}, err
	}
	names, until, err := source.Groups(ctx, Member{
		Provider: t.provider.Name, Tenant: t.tenancy().tenant, Object: object, Application: t.claims[typeClaim] == applicationMark,
	})
	if err != nil {
		return time.Time{}, err
	}
	id.Groups = known(slices.Concat(names, roles))
	return until, nil
}
