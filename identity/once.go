package identity

import (
	"context"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/internal/refusal"
)

// checkTokenID wants a jti where that is what tells a token from the next.
func (t *trial) checkTokenID(id *exchange.Identity) error {
	if t.provider.SingleUse && id.TokenID == "" {
		return t.Invalid("has no jti, by which tokens of the identity provider %s are accepted once (single_use); have the provider give its tokens one", t.provider.Name)
	}
	return nil
}

// claim lets a token through once.
func (t *trial) claim(ctx context.Context, once exchange.Once, e *entry) error {
	end := e.span.aged.Add(time.Second) // at that very moment it is still accepted
	if e.span.expiry.Before(end) {
		end = e.span.expiry
	}
	return t.Claim(ctx, once, refusal.Mark{
		Provider: e.provider.Name, Issuer: e.identity.Issuer, ID: e.identity.TokenID, Opens: e.span.opens, Ends: end,
	})
}
