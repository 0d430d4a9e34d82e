package exchange

import (
	"context"
	"errors"
	"time"
)

// Use is what a token is presented as.
type Use string

// The uses.
const (
	UseSubject Use = "subject"
	UseActor   Use = "actor"
	// UseClient is to authenticate a client, by a token of its platform (RFC 7523 §2.2). It must be for our issuer alone,
	// whatever audiences the provider's tokens have otherwise; that it isn't is ReasonClientAuthenticationFailed. It is never
	// used up.
	UseClient Use = "client"
	// UseBearer is to speak for its subject with our own API (RFC 6750).
	UseBearer Use = "bearer"
	// UseExplain is to learn what would become of it. A token that is accepted once is not used up by that.
	UseExplain Use = "explained"
)

// Verifier proves who a token speaks of. It dials only configured addresses, never one that a token names. A bad
// token is an *Error with a reason and CodeInvalidRequest; a provider that can't be reached is CodeUnavailable. Where it is
// known whom a refused token speaks of, since it is good in itself and was used before, the identity comes with the error.
type Verifier interface {
	Verify(ctx context.Context, p Presented, use Use) (*Identity, error)
}

// Gate limits. It answers from local knowledge, never by a round trip.
type Gate interface {
	// Enter is asked before any token of the request is looked at. Its error is CodeRateLimited, or CodeUnavailable
	// with ReasonOverloaded, and says when to come back.
	Enter(c *Client, from Source) error
	// Admit is asked once policy has granted: limits and revocations of subject, actor and principal.
	Admit(a *Attempt) error
	// Penalize counts an invalid subject token against its client and source; too many make Enter refuse.
	Penalize(c *Client, from Source)
}

// Policy decides. There is no error: what can't be evaluated denies. One call uses one snapshot, and does no I/O.
type Policy interface {
	Decide(a *Attempt) Decision
}

// Tokens obtains a token for a grant, from a cache or by minting one. The token fits: its rest is long enough to be
// of use, and where it is bounded in fact, its TrueExpiry is neither past now+limit nor past notAfter. limit is what
// policy and request leave; notAfter is the end of the tokens that were presented. A caller may leave; the mint goes on
// for the others. What g's client has given up is never for it. An outage of the cache is no error.
type Tokens interface {
	Obtain(ctx context.Context, g Grant, limit time.Duration, notAfter time.Time) (Token, error)
}

// Recorder keeps the record.
type Recorder interface {
	// Record returns when the log has accepted the event, as audit.sync says. An error means that it is not recorded,
	// and so must not happen: the caller refuses. The event is not kept after the call.
	Record(ctx context.Context, e *Event) error
	// RecordFailure counts a failure from before client authentication into its source's summary of this second, and
	// returns that summary's id, so that garbage can't fill the disk and yet every answer names its record.
	RecordFailure(f Failure) (id string)
}

// Minter asks Databricks for a token that ends at until, in whole seconds, and believes nothing of the answer that it
// can check. Errors are CodeUnavailable (try later) or CodeUpstream (refused, or nonsense). The consumer is store.
type Minter interface {
	Mint(ctx context.Context, id MintID, g Grant, until time.Time) (Token, error)
}

// Signer signs a federation assertion with the current key: a compact JWS of claims, which are JSON. The key stays
// published at least until that time. The consumer is databricks.
type Signer interface {
	Sign(ctx context.Context, claims []byte, until time.Time) (Secret, error)
}

// Ledger keeps what must not be lost, by compare and swap, under keys of 1 to 512 bytes of UTF-8 without NUL; another key is
// an error. Consumers: issuer, mapping, admission.
type Ledger interface {
	// Get returns a key's value and version; version 0 means that there is none.
	Get(ctx context.Context, key string) (value []byte, version uint64, err error)
	// Put stores value if the key is still at version (0: if there is none), else returns ErrConflict. A non-zero
	// until lets the ledger drop it afterwards.
	Put(ctx context.Context, key string, value []byte, version uint64, until time.Time) error
}

// ErrConflict is the ledger's answer where somebody else was first: read again, decide again.
var ErrConflict = errors.New("the ledger's entry has changed since it was read")

// Locker keeps several replicas from doing the same work at the same time. It saves work and guards nothing: a lock can be
// lost while it is held, so what is done under it must be right without it.
type Locker interface {
	// TryLock takes the lock of that name, which is held until unlock. Where the holder dies, it is free within ttl. ok is
	// false where another holds it. An error means that nobody can tell; then there is no lock.
	TryLock(ctx context.Context, name string, ttl time.Duration) (unlock func(), ok bool, err error)
}

// Once marks what may be used a single time.
type Once interface {
	// Claim reports whether this is the first claim of key; no two callers, of any replica, hear so. The thing could not
	// be used before earliest: counted from its issue, less the leeway that clocks are given. It is refused for its age
	// from until on, when its mark may be dropped.
	//
	// An error means that nobody can tell, and the caller refuses (CodeUnavailable, ReasonReplayCheckUnavailable). It is
	// also the answer where earliest lies before the store was born or last emptied, so that a flush permits no replay.
	Claim(ctx context.Context, key string, earliest, until time.Time) (fresh bool, err error)
}
