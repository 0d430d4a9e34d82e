package fault

import (
	"net/http"

	"github.com/lakegate/sts/exchange"
)

// Gateway is the HTTP status that a gateway in front of us answers its own caller where an exchange ended for that
// reason, and whether the reason is known. 401: the caller needs another token; 403: he has a good one and may not;
// 500: the gateway itself is misconfigured; the rest: somebody must wait. It is 0 for reasons that no exchange ends
// with, which a gateway can't meet.
func Gateway(reason exchange.Reason) (status int, known bool) {
	switch reason {
	case exchange.ReasonSubjectTokenInvalid, exchange.ReasonSubjectTokenExpired, exchange.ReasonSubjectTokenExpiring,
		exchange.ReasonSubjectTokenNotYetValid, exchange.ReasonSubjectTokenReplayed, exchange.ReasonIssuerUnknown,
		exchange.ReasonSenderConstrained:
		return http.StatusUnauthorized, true
	case exchange.ReasonActorTokenInvalid, exchange.ReasonActorTokenExpired, exchange.ReasonIssuerNotAllowed,
		exchange.ReasonPartyNotAuthorized, exchange.ReasonNoMatchingRule, exchange.ReasonDeniedByRule,
		exchange.ReasonGroupsOverage, exchange.ReasonGroupsMalformed, exchange.ReasonDelegationNotAllowed,
		exchange.ReasonRevoked:
		return http.StatusForbidden, true
	case exchange.ReasonGrantTypeUnsupported, exchange.ReasonMethodNotAllowed, exchange.ReasonTargetUnknown,
		exchange.ReasonPrincipalAmbiguous, exchange.ReasonScopeExceedsPolicy, exchange.ReasonDetailsExceedPolicy,
		exchange.ReasonRequestMalformed, exchange.ReasonTokenTypeUnsupported, exchange.ReasonClientAuthenticationFailed,
		exchange.ReasonClientNotAllowed:
		return http.StatusInternalServerError, true
	case exchange.ReasonRateLimited:
		return http.StatusTooManyRequests, true
	case exchange.ReasonOverloaded, exchange.ReasonProviderUnavailable, exchange.ReasonUpstreamUnavailable,
		exchange.ReasonAuditUnavailable, exchange.ReasonReplayCheckUnavailable, exchange.ReasonLedgerUnavailable,
		exchange.ReasonDeadlineExceeded:
		return http.StatusServiceUnavailable, true
	case exchange.ReasonUpstreamRejected, exchange.ReasonUpstreamInvalid, exchange.ReasonInternal:
		return http.StatusBadGateway, true
	case exchange.ReasonAccessTokenInvalid, exchange.ReasonRoleMissing, exchange.ReasonNotFound:
		return 0, true
	default:
		return 0, false
	}
}
