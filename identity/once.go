package identity

import (
	"context"
	"strconv"
	"time"

	"github.com/lakegate/sts/exchange"
)

// replayRetry is after how long a caller may try again when nobody can tell what was used.
const replayRetry = 2 * time.Second

// checkTokenID wants a jti where that is what tells a token from the next.
func (t *trial) checkTokenID(id *exchange.Identity) error {
	if t.provider.SingleUse && id.TokenID == "" {
		return t.invalid("has no jti, by which tokens of the identity provider %s are accepted once (single_use); have the provider give its tokens one", t.provider.Name)
	}
	return nil
}

// claim lets a token through once, on all replicas. It comes last: what is refused for another reason leaves no mark, or
// anybody could use up the jti of a token that isn't his. The mark goes by the jti and not by the token's hash: whoever
// has a token can change its bytes, since an ES256 signature has a twin.
func (t *trial) claim(ctx context.Context, once exchange.Once, e *entry) error {
	// The issuer and not the provider's name, which may be changed. Its length keeps two pairs from making one key.
	key := "subject_token:" + strconv.Itoa(len(e.identity.Issuer)) + ":" + e.identity.Issuer + ":" + e.identity.TokenID
	end := e.span.aged.Add(time.Second) // at that very moment it is still accepted
	if e.span.expiry.Before(end) {
		end = e.span.expiry
	}
	fresh, err := once.Claim(ctx, key, e.span.opens, end)
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err() // the caller's own deadline
	case err != nil:
		return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonReplayCheckUnavailable,
			"it can't be told whether the %s token was used before; get a new one in a moment and ask again", t.use).After(replayRetry).Because(err)
	case !fresh:
		return t.refuse(exchange.ReasonSubjectTokenReplayed,
			"was used before, and tokens of the identity provider %s are accepted once; get a new one for each request", t.provider.Name)
	}
	return nil
}
