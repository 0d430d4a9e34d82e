package exchange

import "time"

// Event is one thing to record: exactly one of Exchange, Mint and Admin is set.
type Event struct {
	// ID is the event's own id, a UUIDv7; of an exchange the decision id, of a mint the mint id.
	ID   string
	Time time.Time

	Exchange *Attempt
	Mint     *Mint
	Admin    *Admin
}

// MintCause says why a token was minted.
type MintCause string

// The causes.
const (
	CauseMiss    MintCause = "miss"    // somebody waits for it
	CauseRenewal MintCause = "renewal" // ahead of need
)

// Mint is one attempt to obtain a token from Databricks.
type Mint struct {
	Cause MintCause
	Grant Grant
	// Asked is the end that was asked for.
	Asked time.Time
	// Token is what was obtained; its Text is not recorded. Zero where Err is set.
	Token Token
	// Err is how it failed: what Databricks answered, classified. Its body is not kept.
	Err      *Error
	Duration time.Duration
}

// Admin is a change of the service itself: a policy or configuration that was loaded or refused, a key that was made
// or rotated.
type Admin struct {
	// Action is "policy.load", "policy.refuse", "config.load", "config.refuse", "key.create", "key.activate", "key.retire", …
	Action string
	// Object is what it was done to: a digest, a key id.
	Object string
	// Detail is public text without secrets.
	Detail string
}

// Failure is a request that failed before its client was known.
type Failure struct {
	Entrance string
	Source   Source
	// Err is what the caller is told.
	Err *Error
}
