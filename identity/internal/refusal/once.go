package refusal

import (
	"context"
	"strconv"
	"time"

	"github.com/lakegate/sts/exchange"
)

// replayRetry is after how long a caller may try again when nobody can tell what was used.
const replayRetry = 2 * time.Second

// Mark is what tells a token that is accepted once from all others.
type Mark struct {
	// Provider is the configured name, for the message.
	Provider string
	// Issuer and ID are the token's own: never its hash, since whoever has a token can change its bytes (an ES256 signature
	// has a twin), and never the provider's name, which may be changed.
	Issuer, ID string
	// Opens is the first moment at which it could be used, and Ends the first at which it is refused for its age.
	Opens, Ends time.Time
}

// Claim lets a token through once, on all replicas. It comes last: what is refused for another reason leaves no mark, or
// anybody could use up the id of a token that isn't his.
func (r Refuser) Claim(ctx context.Context, once exchange.Once, m Mark) error {
	// The length keeps two pairs from making one key.
	key := "subject_token:" + strconv.Itoa(len(m.Issuer)) + ":" + m.Issuer + ":" + m.ID
	fresh, err := once.Claim(ctx, key, m.Opens, m.Ends)
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err() // the caller's own deadline
	case err != nil:
		return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonReplayCheckUnavailable,
			"it can't be told whether the %s token was used before; get a new one in a moment and ask again", r.word()).After(replayRetry).Because(err)
	case !fresh:
		return r.Refuse(exchange.ReasonSubjectTokenReplayed,
			"was used before, and tokens of the identity provider %s are accepted once; get a new one for each request", m.Provider)
	}
	return nil
}
