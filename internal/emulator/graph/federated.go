package graph

import (
	"net/url"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// AssertionAudience is the aud of what proves an app registration in the public cloud.
const AssertionAudience = "api://AzureADTokenExchange"

// Federated is the federated credential of an app registration: whose token proves it, in place of a secret.
type Federated struct {
	Issuer, Subject string
	// Keys are those that the issuer publishes. The real one fetches them.
	Keys func() jose.JSONWebKeySet
}

// algorithms are those that Entra ID verifies: RSA alone.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}

// proves checks an assertion. It returns the number of Entra's error and the cause, or 0.
func (s *Server) proves(form url.Values) (number int, cause string) {
	if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || form.Has("client_secret") {
		return 900144, "another type of assertion, or a secret beside it"
	}
	token, err := jwt.ParseSigned(form.Get("client_assertion"), algorithms)
	if err != nil {
		return 5002738, "no JWT, or one of another algorithm than RSA's"
	}
	var claims jwt.Claims
	keys := s.cfg.Federated.Keys()
	switch f := s.cfg.Federated; {
	case token.UnsafeClaimsWithoutVerification(&claims) != nil || claims.Issuer != f.Issuer:
		return 700211, "another issuer than the federated credential's"
	case !slices.Equal(claims.Audience, jwt.Audience{AssertionAudience}):
		return 700212, "another audience than the federated credential's"
	case claims.Subject != f.Subject:
		return 700213, "another subject than the federated credential's"
	case token.Claims(&keys, &claims) != nil:
		return 700027, "not signed by a key that the issuer publishes"
	case claims.Expiry == nil || claims.ValidateWithLeeway(jwt.Expected{Time: s.Now()}, 0) != nil:
		return 700024, "not within its time"
	}
	return 0, ""
}
