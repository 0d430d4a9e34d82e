package exchange

import (
	"crypto/sha256"
	"time"
)

// Call is a token request as an entrance hands it over: its client has authenticated, its parameters are unread.
type Call struct {
	// Entrance names the door: "form", later "grpc", "json", …
	Entrance string
	Client   *Client
	Source   Source
	Params   Params
}

// Attempt is everything known of one exchange. It is filled on the way down; whatever has been learnt when it ends,
// well or badly, is its record.
type Attempt struct {
	// ID is the decision id, a UUIDv7.
	ID string
	// Time is when the attempt began, and the only "now" of its verification, decision and answer.
	Time time.Time
	Call *Call

	Request *Request
	Subject *Identity
	// Actor is who acts for the subject; nil where nobody does. ActorTold says that he is known by the subject token's act
	// alone, and not by a token of his own.
	Actor     *Identity
	ActorTold bool
	// Prior are those who acted before him by the subject token's word, the nearest first. They are for the record, and
	// have no say in the decision (RFC 8693 §4.1).
	Prior []Actor

	Decision Decision
	Token    Token
	// ExpiresAt is the end that the caller is told, in whole seconds.
	ExpiresAt time.Time

	// Err is how it failed, nil where it was granted.
	Err *Error
	// Duration is how long it took until its record was made.
	Duration time.Duration
}

// SubjectTokenSHA256 is the hash of the subject token as it was presented, valid or not; zero where there was none.
func (a *Attempt) SubjectTokenSHA256() (sum [sha256.Size]byte) {
	switch {
	case a.Subject != nil:
		return a.Subject.TokenSHA256
	case a.Request != nil:
		return sha256.Sum256([]byte(a.Request.Subject.Token.Reveal()))
	}
	return sum
}

// ActorTokenSHA256 is the hash of the actor token as it was presented, valid or not; zero where there was none.
func (a *Attempt) ActorTokenSHA256() (sum [sha256.Size]byte) {
	switch {
	case a.Actor != nil:
		return a.Actor.TokenSHA256
	case a.Request != nil && a.Request.Actor != nil:
		return sha256.Sum256([]byte(a.Request.Actor.Token.Reveal()))
	}
	return sum
}

// limit is how long the answer may be used as far as policy and the request are concerned.
func (a *Attempt) limit() time.Duration {
	limit := a.Decision.Grant.Lifetime
	if asked := a.Request.Lifetime; asked > 0 {
		limit = min(limit, asked)
	}
	return limit
}

// notAfter is the end of the tokens that were presented: nothing granted on them outlives them.
func (a *Attempt) notAfter() time.Time {
	end := a.Subject.Expiry
	if a.Actor != nil && a.Actor.Expiry.Before(end) {
		end = a.Actor.Expiry
	}
	return end
}

// Outcome is how an attempt ended.
type Outcome string

// The outcomes: denied is the caller's to mend or policy's to change, failed is ours or an upstream's.
const (
	OutcomeGranted Outcome = "granted"
	OutcomeDenied  Outcome = "denied"
	OutcomeFailed  Outcome = "failed"
)

// Outcome tells how the attempt ended.
func (a *Attempt) Outcome() Outcome { return outcomeOf(a.Err) }

func outcomeOf(err *Error) Outcome {
	if err == nil {
		return OutcomeGranted
	}
	switch err.Code {
	case CodeUnavailable, CodeUpstream, CodeDeadline, CodeInternal:
		return OutcomeFailed
	default:
		return OutcomeDenied
	}
}

// Answer is what a granted attempt tells its caller (RFC 8693 §2.2.1).
type Answer struct {
	AccessToken     Secret
	IssuedTokenType TokenType
	// ExpiresIn is in whole seconds, > 0.
	ExpiresIn  int32
	Scopes     []string
	Details    Details
	DecisionID string
	// Actors is how many act for the subject, 0 where nobody does. A Databricks token can't name them: the record of
	// DecisionID alone does.
	Actors int
}

// ChainInRecordOnly is where an answer says that the chain of actors is to be found.
const ChainInRecordOnly = "in_record_only"
