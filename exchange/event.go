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
	CauseExport  MintCause = "export"  // for the service itself, which brings records somewhere
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

// Admin is a change of the service itself (a policy or configuration that was loaded or refused, a key that was made or
// rotated), or a use of our own API.
type Admin struct {
	// Action is "policy.load", "policy.refuse", "config.load", "config.refuse", "key.create", "key.activate", "key.retire", …
	Action string
	// Object is what it was done to: a digest, a key id, a name.
	Object string
	// Detail is public text without secrets.
	Detail string
	// TrueExpiry is until when Databricks accepts the token that was given up; zero for all other actions.
	TrueExpiry time.Time
	// By is who asked for it; nil where the service acted by itself.
	By *Caller
	// Err is why it was not done; nil where it was.
	Err *Error
}

// Outcome tells how it ended.
func (a *Admin) Outcome() Outcome { return outcomeOf(a.Err) }

// Caller is who used our own API: one of Client and Bearer is set.
type Caller struct {
	// Entrance names the door, as in a Call.
	Entrance string
	Source   Source
	// Client is the id of a client that has authenticated.
	Client string
	// Bearer is whom the bearer token of the request speaks of.
	Bearer *Identity
}

// Failure is a request that failed before its client was known.
type Failure struct {
	Entrance string
	Source   Source
	// Err is what the caller is told.
	Err *Error
}
