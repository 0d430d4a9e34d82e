package exchange

// Reasons returns the closed list of reasons.
func Reasons() []Reason {
	return []Reason{
		ReasonSubjectTokenInvalid, ReasonSubjectTokenExpired, ReasonSubjectTokenExpiring, ReasonSubjectTokenNotYetValid,
		ReasonSubjectTokenReplayed, ReasonIssuerUnknown, ReasonSenderConstrained, ReasonActorTokenInvalid, ReasonActorTokenExpired,
		ReasonIssuerNotAllowed, ReasonPartyNotAuthorized, ReasonNoMatchingRule, ReasonDeniedByRule, ReasonGroupsOverage,
		ReasonGroupsMalformed, ReasonDelegationNotAllowed, ReasonRevoked, ReasonGrantTypeUnsupported, ReasonMethodNotAllowed,
		ReasonTargetUnknown, ReasonPrincipalAmbiguous, ReasonScopeExceedsPolicy, ReasonDetailsExceedPolicy, ReasonRequestMalformed,
		ReasonTokenTypeUnsupported, ReasonClientAuthenticationFailed, ReasonClientNotAllowed, ReasonRateLimited, ReasonOverloaded,
		ReasonProviderUnavailable, ReasonUpstreamUnavailable, ReasonAuditUnavailable, ReasonReplayCheckUnavailable,
		ReasonLedgerUnavailable, ReasonDeadlineExceeded, ReasonUpstreamRejected, ReasonUpstreamInvalid, ReasonInternal,
		ReasonAccessTokenInvalid, ReasonRoleMissing, ReasonNotFound,
	}
}
