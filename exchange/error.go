package exchange

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Code says what kind of failure it is. The table that turns codes into OAuth words, HTTP and gRPC statuses stands in
// server/fault; the core knows no transport.
type Code string

// The codes.
const (
	CodeInvalidRequest              Code = "invalid_request"
	CodeTooLarge                    Code = "too_large"              // invalid_request, as 413
	CodeUnsupportedMediaType        Code = "unsupported_media_type" // invalid_request, as 415
	CodeNotGranted                  Code = "not_granted"            // RFC 8693 §2.2.2: unacceptable based on policy
	CodeUnsupportedGrantType        Code = "unsupported_grant_type"
	CodeInvalidClient               Code = "invalid_client"
	CodeUnauthorizedClient          Code = "unauthorized_client"
	CodeInvalidTarget               Code = "invalid_target"
	CodeInvalidScope                Code = "invalid_scope"
	CodeInvalidAuthorizationDetails Code = "invalid_authorization_details"
	CodeRateLimited                 Code = "rate_limited"
	CodeUnavailable                 Code = "unavailable"
	CodeUpstream                    Code = "upstream"
	CodeDeadline                    Code = "deadline"
	CodeInternal                    Code = "internal"

	// Of our own API alone; no exchange ends so.
	CodeTokenMissing      Code = "token_missing" // RFC 6750 §3.1: says no more than that one is needed
	CodeInvalidToken      Code = "invalid_token"
	CodeInsufficientScope Code = "insufficient_scope"
	CodeNotFound          Code = "not_found"
)

// Reason is one word of a closed list, more exact than the OAuth error; callers may switch on it.
type Reason string

// The reasons. Adding one is an API change: the list in server/fault says what a gateway answers for each.
const (
	ReasonSubjectTokenInvalid        Reason = "subject_token_invalid"
	ReasonSubjectTokenExpired        Reason = "subject_token_expired"
	ReasonSubjectTokenExpiring       Reason = "subject_token_expiring"
	ReasonSubjectTokenNotYetValid    Reason = "subject_token_not_yet_valid"
	ReasonSubjectTokenReplayed       Reason = "subject_token_replayed"
	ReasonIssuerUnknown              Reason = "issuer_unknown"
	ReasonSenderConstrained          Reason = "sender_constrained"
	ReasonActorTokenInvalid          Reason = "actor_token_invalid"
	ReasonActorTokenExpired          Reason = "actor_token_expired"
	ReasonIssuerNotAllowed           Reason = "issuer_not_allowed"
	ReasonPartyNotAuthorized         Reason = "party_not_authorized"
	ReasonNoMatchingRule             Reason = "no_matching_rule"
	ReasonDeniedByRule               Reason = "denied_by_rule"
	ReasonGroupsOverage              Reason = "groups_overage"
	ReasonGroupsMalformed            Reason = "groups_malformed"
	ReasonDelegationNotAllowed       Reason = "delegation_not_allowed"
	ReasonRevoked                    Reason = "revoked"
	ReasonGrantTypeUnsupported       Reason = "grant_type_unsupported"
	ReasonMethodNotAllowed           Reason = "method_not_allowed"
	ReasonTargetUnknown              Reason = "target_unknown"
	ReasonPrincipalAmbiguous         Reason = "principal_ambiguous"
	ReasonScopeExceedsPolicy         Reason = "scope_exceeds_policy"
	ReasonDetailsExceedPolicy        Reason = "details_exceed_policy"
	ReasonRequestMalformed           Reason = "request_malformed"
	ReasonTokenTypeUnsupported       Reason = "token_type_unsupported"
	ReasonClientAuthenticationFailed Reason = "client_authentication_failed"
	ReasonClientNotAllowed           Reason = "client_not_allowed"
	ReasonRateLimited                Reason = "rate_limited"
	ReasonOverloaded                 Reason = "overloaded"
	ReasonProviderUnavailable        Reason = "provider_unavailable"
	ReasonUpstreamUnavailable        Reason = "upstream_unavailable"
	ReasonAuditUnavailable           Reason = "audit_unavailable"
	ReasonReplayCheckUnavailable     Reason = "replay_check_unavailable"
	ReasonLedgerUnavailable          Reason = "ledger_unavailable"
	ReasonDeadlineExceeded           Reason = "deadline_exceeded"
	ReasonUpstreamRejected           Reason = "upstream_rejected"
	ReasonUpstreamInvalid            Reason = "upstream_invalid"
	ReasonInternal                   Reason = "internal"

	// Of our own API alone.
	ReasonAccessTokenInvalid Reason = "access_token_invalid"
	ReasonRoleMissing        Reason = "role_missing"
	ReasonNotFound           Reason = "not_found"
)

// Error is the only error that callers of the service see the inside of.
type Error struct {
	Code   Code
	Reason Reason

	// Message is public: what happened, to which thing, what to do. It holds no token text, no group list, no
	// principal's id, no upstream body, and only the characters that RFC 6749 §5.2 allows.
	Message string

	// RetryAfter is how long to wait, with CodeRateLimited and CodeUnavailable.
	RetryAfter time.Duration

	// DecisionID names the record of this failure. The service sets it.
	DecisionID string

	// Cause is for our own log. It never reaches a caller.
	Cause error
}

// Error implements error: it is what our own log says.
func (e *Error) Error() string {
	if e.Cause == nil {
		return fmt.Sprintf("%s (%s): %s", e.Code, e.Reason, e.Message)
	}
	return fmt.Sprintf("%s (%s): %s: %v", e.Code, e.Reason, e.Message, e.Cause)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Refuse makes an *Error. The message is formatted as by fmt.Sprintf.
func Refuse(code Code, reason Reason, format string, args ...any) *Error {
	return &Error{Code: code, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Because returns a copy of e with its cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.Cause = cause
	return &c
}

// After returns a copy of e that asks its caller to wait that long.
func (e *Error) After(wait time.Duration) *Error {
	c := *e
	c.RetryAfter = wait
	return &c
}

// AsError finds the *Error in err, or makes one: a passed deadline is the caller's, and every foreign error is ours.
func AsError(err error) *Error {
	var e *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Refuse(CodeDeadline, ReasonDeadlineExceeded, "the request ended before an answer was ready; ask again with more time").Because(err)
	default:
		return Refuse(CodeInternal, ReasonInternal, "something failed inside the token service; its log tells what, under this decision id").Because(err)
	}
}
