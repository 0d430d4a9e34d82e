package databricks

import (
	"fmt"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// Switches choose among behaviours of the real one that its documentation leaves open or that only third parties
// report. The zero value is what is documented, or else what is reported.
type Switches struct {
	// FederationLifetime is how long a federated token lives.
	FederationLifetime Lifetime `json:"federation_lifetime"`
	// FederationDetails is what the token-exchange grant does about authorization_details.
	FederationDetails DetailsMode `json:"federation_details"`
	// OmitDetails leaves granted authorization_details out of the answer.
	OmitDetails bool `json:"omit_details"`
	// GrantUncoveredDetails grants details of endpoints that the principal may not query, instead of refusing them.
	GrantUncoveredDetails bool `json:"grant_uncovered_details"`
	// OmitIssuedTokenType leaves issued_token_type out of federated answers.
	OmitIssuedTokenType bool `json:"omit_issued_token_type"`
	// AssertionOnce takes each assertion (by its jti) once.
	AssertionOnce bool `json:"assertion_once"`
	// KeyCache is how long issuers' keys are kept; 15 minutes if zero.
	KeyCache emulator.Duration `json:"key_cache"`
	// RefetchUnknownKey asks the issuer again for an unknown kid, instead of waiting for KeyCache to run out.
	RefetchUnknownKey bool `json:"refetch_unknown_key"`
	// Leeway is granted on an assertion's iat and nbf.
	Leeway emulator.Duration `json:"leeway"`
	// BadClientStatus is the HTTP status of invalid_client; 401 if zero.
	BadClientStatus int `json:"bad_client_status"`
	// BadAssertionStatus is the HTTP status of invalid_grant; 400 if zero.
	BadAssertionStatus int `json:"bad_assertion_status"`
	// UnassignedSecret lets principals without access to the workspace use client_credentials.
	UnassignedSecret bool `json:"unassigned_secret"`
	// RefuseUnassignedFederation refuses them the token-exchange grant, too; their tokens are refused by the APIs anyway.
	RefuseUnassignedFederation bool `json:"refuse_unassigned_federation"`
	// InactiveMints lets inactive principals have tokens.
	InactiveMints bool `json:"inactive_mints"`
	// InactiveTokensDie ends the tokens of a principal when it becomes inactive.
	InactiveTokensDie bool `json:"inactive_tokens_die"`
}

// Lifetime is a way to bound a federated token.
type Lifetime string

// The lifetimes of federated tokens.
const (
	LifetimeAssertion Lifetime = ""       // it expires with the assertion
	LifetimeCapped    Lifetime = "capped" // it expires with the assertion, or after an hour if that is sooner
	LifetimeHour      Lifetime = "hour"   // it lives an hour, whatever the assertion says
)

// DetailsMode is a way to treat authorization_details.
type DetailsMode string

// The modes of the token-exchange grant.
const (
	DetailsIgnored  DetailsMode = ""         // as if they weren't there: the token is wide
	DetailsHonoured DetailsMode = "honoured" // as on client_credentials
	DetailsRefused  DetailsMode = "refused"  // invalid_request
)

func (s Switches) keyCache() time.Duration {
	if s.KeyCache == 0 {
		return 15 * time.Minute
	}
	return time.Duration(s.KeyCache)
}

func (s Switches) check() error {
	switch s.FederationLifetime {
	case LifetimeAssertion, LifetimeCapped, LifetimeHour:
	default:
		return fmt.Errorf("no federation_lifetime %q", s.FederationLifetime)
	}
	switch s.FederationDetails {
	case DetailsIgnored, DetailsHonoured, DetailsRefused:
	default:
		return fmt.Errorf("no federation_details %q", s.FederationDetails)
	}
	for _, status := range []int{s.BadClientStatus, s.BadAssertionStatus} {
		if status != 0 && (status < 400 || status > 499) {
			return fmt.Errorf("a refusal's status is 400 to 499, not %d", status)
		}
	}
	return nil
}
