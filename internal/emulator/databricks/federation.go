package databricks

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/lakegate/sts/internal/emulator"
)

// assertion is an assertion that was parsed; its claims are believed only after verify.
type assertion struct {
	jws    *jose.JSONWebSignature
	header jose.Header
	claims jwt.Claims
	all    map[string]any
}

// byAssertion is the token-exchange grant: an issuer's JWT for a token of the principal that client_id names.
func (s *Server) byAssertion(r *http.Request, form url.Values) (*grant, *refusal) {
	switches := s.currentSwitches()
	s.Remember(form.Get("subject_token"))
	if refused := checkFederationForm(r, form); refused != nil {
		return nil, refused
	}
	a, err := parseAssertion(form.Get("subject_token"))
	if err != nil {
		return nil, switches.invalidToken(nil, err)
	}
	emulator.Note(r, "assertion", map[string]any{"alg": a.header.Algorithm, "kid": a.header.KeyID, "claims": a.all})
	p, known := s.Principal(form.Get("client_id"))
	switch {
	case !form.Has("client_id"):
		return nil, switches.invalidToken(a, errors.New("no client_id"))
	case !known:
		return nil, switches.invalidToken(a, errors.New("unknown principal"))
	case p.Inactive && !switches.InactiveMints:
		return nil, switches.invalidToken(a, errors.New("principal is inactive"))
	case p.Unassigned && switches.RefuseUnassignedFederation:
		return nil, switches.invalidToken(a, errors.New("principal has no access to the workspace"))
	}
	if err := s.verify(r, a, p, switches); err != nil {
		return nil, switches.invalidToken(a, err)
	}
	scope, refused := scopeOf(form)
	if refused != nil {
		return nil, refused
	}
	granted, refused := s.federatedDetails(form, p, switches)
	if refused != nil {
		return nil, refused
	}
	return &grant{
		principal: p.ApplicationID, scope: scope, details: granted, federated: true,
		expires: switches.expiry(s.Now(), a.claims.Expiry.Time()),
	}, nil
}

func checkFederationForm(r *http.Request, form url.Values) *refusal {
	bad := func(text string) *refusal { return &refusal{http.StatusBadRequest, "invalid_request", text, text} }
	switch {
	case r.Header.Get("Authorization") != "":
		return bad("this grant takes no client authentication")
	case form.Get("subject_token") == "":
		return bad("subject_token is missing")
	case form.Get("subject_token_type") != typeJWT:
		return bad("subject_token_type is not " + typeJWT)
	case form.Has("requested_token_type") && form.Get("requested_token_type") != typeAccessToken:
		return bad("requested_token_type is not " + typeAccessToken)
	}
	return nil
}

// parseAssertion accepts the two algorithms that federation policies allow.
func parseAssertion(text string) (*assertion, error) {
	jws, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	if err != nil {
		return nil, fmt.Errorf("no JWT signed by RS256 or ES256: %w", err)
	}
	a := &assertion{jws: jws, header: jws.Signatures[0].Header}
	payload := jws.UnsafePayloadWithoutVerification()
	if err := json.Unmarshal(payload, &a.claims); err != nil {
		return nil, fmt.Errorf("malformed claims: %w", err)
	}
	if err := json.Unmarshal(payload, &a.all); err != nil {
		return nil, fmt.Errorf("malformed claims: %w", err)
	}
	return a, nil
}

// verify checks the assertion against the principal's policies, then its signature, then its times.
func (s *Server) verify(r *http.Request, a *assertion, p Principal, switches Switches) error {
	policy, err := a.policyOf(p)
	if err != nil {
		return err
	}
	if a.header.KeyID == "" {
		return errors.New("no kid")
	}
	key, err := s.keys.find(r.Context(), policy, a.header.KeyID, switches)
	if err != nil {
		return err
	}
	if key.Algorithm != "" && key.Algorithm != a.header.Algorithm {
		return errors.New("the key is for another algorithm")
	}
	if _, err := a.jws.Verify(key); err != nil {
		return errors.New("bad signature")
	}
	if err := a.checkTimes(s.Now(), time.Duration(switches.Leeway)); err != nil {
		return err
	}
	return s.takeOnce(a, switches)
}

// errAudience is answered differently.
var errAudience = errors.New("audience does not match")

// policyOf returns the policy that fits the assertion; the error names what the closest one lacked.
func (a *assertion) policyOf(p Principal) (FederationPolicy, error) {
	err := errors.New("no federation policy for the issuer")
	for _, policy := range p.Policies {
		if policy.Issuer != a.claims.Issuer {
			continue
		}
		if subject, _ := a.all[policy.SubjectClaim].(string); subject != policy.Subject {
			err = errors.New("subject does not match")
			continue
		}
		if !slices.ContainsFunc(policy.Audiences, a.claims.Audience.Contains) {
			err = errAudience
			continue
		}
		return policy, nil
	}
	return FederationPolicy{}, err
}

func (a *assertion) checkTimes(now time.Time, leeway time.Duration) error {
	switch {
	case a.claims.Expiry == nil:
		return errors.New("no exp")
	case a.claims.IssuedAt == nil:
		return errors.New("no iat")
	case !now.Before(a.claims.Expiry.Time()):
		return errors.New("expired")
	case a.claims.IssuedAt.Time().After(now.Add(leeway)):
		return errors.New("issued in the future")
	case a.claims.NotBefore != nil && a.claims.NotBefore.Time().After(now.Add(leeway)):
		return errors.New("not yet valid")
	}
	return nil
}

func (s *Server) takeOnce(a *assertion, switches Switches) error {
	if !switches.AssertionOnce {
		return nil
	}
	if a.claims.ID == "" {
		return errors.New("no jti")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	for id, until := range s.used {
		if !now.Before(until) {
			delete(s.used, id)
		}
	}
	if _, used := s.used[a.claims.ID]; used {
		return errors.New("assertion was used before")
	}
	s.used[a.claims.ID] = a.claims.Expiry.Time()
	return nil
}

func (s *Server) federatedDetails(form url.Values, p Principal, switches Switches) (details, *refusal) {
	switch {
	case !form.Has("authorization_details") || switches.FederationDetails == DetailsIgnored:
		return nil, nil
	case switches.FederationDetails == DetailsRefused:
		text := "authorization_details are not supported for this grant"
		return nil, &refusal{http.StatusBadRequest, "invalid_request", text, text}
	}
	return s.detailsOf(form, p)
}

func (s Switches) expiry(now, assertion time.Time) time.Time {
	hour := now.Add(time.Hour)
	if s.FederationLifetime == LifetimeHour || (s.FederationLifetime == LifetimeCapped && hour.Before(assertion)) {
		return hour
	}
	return assertion
}

// invalidToken is the real one's answer to any assertion that it doesn't take. It repeats the assertion's claims: a
// trap for whoever passes such texts on.
func (s Switches) invalidToken(a *assertion, err error) *refusal {
	status := s.BadAssertionStatus
	if status == 0 {
		status = http.StatusBadRequest
	}
	text := "Failed to process token: TOKEN_INVALID (Ensure a valid federation policy has been configured)."
	if a != nil {
		text += fmt.Sprintf(" Valid federation policy for provided token: {issuer: %s, subject: %s, audience: %s}",
			a.claims.Issuer, a.claims.Subject, a.claims.Audience)
		if errors.Is(err, errAudience) {
			text = fmt.Sprintf("Failed to process token: TOKEN_AUDIENCE_INVALID (Token audience '%s' invalid)", a.claims.Audience)
		}
	}
	return &refusal{status, "invalid_grant", text, err.Error()}
}
