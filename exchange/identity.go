package exchange

import (
	"sync"
	"time"
)

// Identity is who a verified token speaks of. It is shared by all requests that present the same token: nobody
// changes it once it is made.
type Identity struct {
	// Provider is the configured name of the identity provider; policy calls it issuer.
	Provider string
	// Issuer is the token's iss.
	Issuer string
	// Subject is the value of the provider's subject claim. (Issuer, Subject) is the identity, never an e-mail address.
	Subject string

	Groups Groups

	// Claims are all the token's claims: nil, bool, string, int64, float64, []any, map[string]any. Integers without
	// fraction or exponent that fit are int64, all other numbers float64. They are never logged or recorded whole.
	Claims map[string]any

	// Party is whom the token was issued to: azp, else client_id; "" where it names neither.
	Party string

	// Actors are who acts for the subject by the token's own word, its act claim (RFC 8693 §4.1): the current actor first,
	// then those before him, who are told for the record alone.
	Actors []Actor
	// MayAct are the members of the token's may_act claim (RFC 8693 §4.4): who acts must fit all of them. Nil where it has
	// none; without members it names nobody.
	MayAct map[string]any

	// TokenType is the type that the token was presented as.
	TokenType TokenType
	// TokenID is the token's jti, "" where it has none.
	TokenID string
	// TokenSHA256 is the hash of the whole token text.
	TokenSHA256 [32]byte

	IssuedAt time.Time
	// Expiry is the token's exp, in whole seconds. Nothing that is granted outlives it.
	Expiry time.Time

	derived    any
	deriveOnce sync.Once
}

// Derive returns what make made of this identity the first time that anybody asked. Policy keeps the form of the
// claims there that its conditions read, so that it is made once per verified token, not once per request.
func (id *Identity) Derive(make func(*Identity) any) any {
	id.deriveOnce.Do(func() { id.derived = make(id) })
	return id.derived
}

// Actor is an actor as a token names him: by who he is and nothing else.
type Actor struct {
	// Provider is the configured name of his identity provider; "" where there is none, or where he isn't named by the claim
	// that tells its subjects apart.
	Provider string
	// Issuer is the token's own where the token doesn't say.
	Issuer  string
	Subject string
	// Sub is his sub where Subject is another member, the one that tells his provider's subjects apart; else "". It is for
	// may_act alone.
	Sub string
}

// Groups are the subject's groups, or the knowledge that we do not know them.
type Groups struct {
	// Known is false where the token carries no groups claim, which means "unknown", never "none".
	Known bool
	// Overage is true where the token says that it left the groups out because there are too many.
	Overage bool
	// Names are sorted and unique.
	Names []string
}

// Rest is how long a token that ends at expiry still lives, in whole seconds, rounded down; never negative.
func Rest(expiry, now time.Time) time.Duration {
	return max(0, expiry.Sub(now).Truncate(time.Second))
}
