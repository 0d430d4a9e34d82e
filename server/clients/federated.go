package clients

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/jwt"
)

// spiffeAssertionType is that of JWT-SVIDs (draft-ietf-oauth-spiffe-client-auth).
const spiffeAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"

// MaxFederatedLifetime is how far exp may lie from iat in a token that a platform issued.
const MaxFederatedLifetime = 24 * time.Hour

// Workload is who a platform's token speaks of: the issuer's identifier, and the subject, letter for letter.
type Workload struct{ Issuer, Subject string }

func (w Workload) check() error {
	if w.Issuer == "" || w.Subject == "" {
		return errors.New("it needs the issuer and the subject of the tokens that it authenticates by (assertion_provider, assertion_subject)")
	}
	return nil
}

// isFederated says whether an assertion is to be a platform's token, and not one that the client signed itself, whose iss
// and sub are the same (RFC 7523 §3). The claims are not to be believed yet.
func (s *Snapshot) isFederated(t *jwt.Token, assertionType string) bool {
	iss, named := t.Claims["iss"].(string)
	sub, _ := t.Claims["sub"].(string) // as texts: two lists can't be compared, and would end the request
	return assertionType == spiffeAssertionType || len(s.workloads) > 0 && (!named || iss != sub)
}

// byPlatform authenticates a client by a token that its platform issued to it for us (RFC 7523 §2.2): a Kubernetes
// service account's, a JWT-SVID. Who verifies subjects' tokens verifies it, and holds that it is for nobody else. It may
// be used until it expires: a platform issues one an hour, and a workload reads it from a file.
//
// Whether there is such a client shows only once the token is verified, so that who has none can't ask; what fails before
// gets one answer.
func (r *Registry) byPlatform(ctx context.Context, s *Snapshot, c *Credentials, t *jwt.Token) (*exchange.Client, error) {
	if r.verifier == nil || len(s.workloads) == 0 {
		r.signed(t, nil)
		return nil, errUnauthenticated()
	}
	id, err := r.verifier.Verify(ctx, exchange.Presented{Token: c.Assertion, Type: exchange.TypeJWT}, exchange.UseClient)
	if err != nil {
		return nil, r.unverified(err, t)
	}
	if c.AssertionType == spiffeAssertionType && !strings.HasPrefix(id.Issuer, "spiffe://") {
		return nil, badAssertion("client_assertion_type %s is for JWT-SVIDs; send %s", spiffeAssertionType, assertionType)
	}
	if id.Expiry.Sub(id.IssuedAt) > MaxFederatedLifetime {
		return nil, badAssertion("client_assertion lives longer than %s", MaxFederatedLifetime)
	}
	if len(id.Actors) > 0 { // he would pass for the workload
		return nil, badAssertion("client_assertion says that somebody acts for its subject (act), and nobody may for a client; send the workload's own token")
	}
	e, known := s.workloads[Workload{Issuer: id.Issuer, Subject: id.Subject}]
	if !known || c.ClientID != "" && c.ClientID != e.client.ID {
		return nil, errUnauthenticated()
	}
	return &e.client, nil
}

// unverified turns what the verifier says into what may be told. An audience is judged once the signature is, so who has
// another does hold a token of the platform, and is told: it is what a pod's manifest gets wrong first.
func (r *Registry) unverified(err error, t *jwt.Token) error {
	var refused *exchange.Error
	switch {
	case !errors.As(err, &refused):
		return err // the caller's deadline
	case refused.Code == exchange.CodeUnavailable:
		return exchange.Refuse(exchange.CodeUnavailable, refused.Reason,
			"the keys of who issued this client_assertion can't be had at the moment; ask again shortly").After(refused.RetryAfter).Because(refused)
	case refused.Reason == exchange.ReasonClientAuthenticationFailed:
		return badAssertion("client_assertion must have the issuer %s as its only audience", r.issuer)
	case refused.Reason == exchange.ReasonIssuerUnknown:
		r.signed(t, nil) // no signature was looked at, and a name that is known must not be told by the time it takes
	}
	return errUnauthenticated().Because(refused)
}
