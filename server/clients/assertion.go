package clients

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/jwt"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// The bounds of a client assertion.
const (
	// MaxAssertionLifetime is how far exp may lie from iat, and from now.
	MaxAssertionLifetime = 10 * time.Minute
	// AssertionLeeway is how far the client's clock may be ahead of ours. It widens iat and nbf, never exp.
	AssertionLeeway = 10 * time.Second

	maxJTI = 256
)

// AssertionAlgorithms are what a client may sign its assertions with.
func AssertionAlgorithms() []string { return []string{"ES256", "RS256", "PS256", "EdDSA"} }

// byAssertion authenticates a client by a JWT that it signed (RFC 7523 §2.2, private_key_jwt), or that its platform did. Up to the signature,
// whatever fails gets one answer after the same work; after it, the caller holds the client's key and may be told.
func (r *Registry) byAssertion(ctx context.Context, s *Snapshot, c *Credentials) (*exchange.Client, error) {
	switch {
	case r.once == nil || r.issuer == "":
		return nil, errUnauthenticated()
	case c.AssertionType != assertionType && c.AssertionType != spiffeAssertionType:
		return nil, badAssertion("client_assertion_type must be %s", assertionType)
	}
	token, err := jwt.Parse(c.Assertion.Reveal())
	if err != nil {
		return nil, badAssertion("client_assertion %s", err) // its text holds nothing of the token
	}
	if s.isFederated(token, c.AssertionType) {
		return r.byPlatform(ctx, s, c, token)
	}
	if !slices.Contains(AssertionAlgorithms(), token.Header.Algorithm) {
		return nil, badAssertion("client_assertion is not signed with one of %s", strings.Join(AssertionAlgorithms(), ", "))
	}
	// The claims are not to be believed yet: this only selects whose keys must have signed them.
	id, _ := token.Claims["sub"].(string)
	e, known := s.entries[id]
	if !known || e.method != MethodPrivateKeyJWT {
		e, known = s.nobody, false
	}
	if signed := r.signed(token, e.keys); !signed || !known {
		return nil, errUnauthenticated()
	}
	life, err := r.checkClaims(token, e, c.ClientID)
	if err != nil {
		return nil, badAssertion("client_assertion %s", err)
	}
	if err := r.claimAssertion(ctx, token, id, life); err != nil {
		return nil, err
	}
	return &e.client, nil
}

func badAssertion(format string, args ...any) *exchange.Error {
	return exchange.Refuse(exchange.CodeInvalidClient, exchange.ReasonClientAuthenticationFailed, format, args...)
}

// signed tries at least two keys before it says no, some of them decoys, so that a client without a key that fits costs
// as much as one with two.
func (r *Registry) signed(t *jwt.Token, keys []jwt.Key) bool {
	tried := 0
	for i := range keys {
		key := &keys[i]
		named := t.Header.KeyID == "" || key.ID == "" || key.ID == t.Header.KeyID
		if !named || !key.Fits(t.Header.Algorithm) {
			continue
		}
		tried++
		if r.verify(key, t) {
			return true
		}
	}
	decoy, there := r.decoys[t.Header.Algorithm]
	for ; there && tried < maxKeysPerAlgorithm; tried++ {
		r.verify(decoy, t)
	}
	return false
}

// life is when an assertion is accepted: made is the latest moment that its claims give for when it was made.
type life struct{ made, ends time.Time }

// checkClaims holds what RFC 7523 §3 asks of the claims.
func (r *Registry) checkClaims(t *jwt.Token, e *entry, clientID string) (l life, err error) {
	id := e.client.ID
	if !slices.Contains([]string{"", "jwt", "client-authentication+jwt"}, strings.ToLower(t.Header.Type)) {
		return l, errors.New("has a typ that is not a client assertion's; leave it out, or send client-authentication+jwt")
	}
	if t.Claims["iss"] != any(id) || clientID != "" && clientID != id {
		return l, errors.New("must have the client id as both iss and sub, and client_id must be the same or left out")
	}
	if !r.isAudience(t.Claims["aud"], e.audienceTokenEndpoint) {
		return l, fmt.Errorf("must have the issuer %s as its only audience", r.issuer)
	}
	if l, err = r.checkTimes(t.Claims); err != nil {
		return l, err
	}
	if jti, _ := t.Claims["jti"].(string); jti == "" || len(jti) > maxJTI {
		return l, fmt.Errorf("must have a jti, a text of at most %d bytes that is never used again", maxJTI)
	}
	return l, nil
}

// isAudience takes our name, alone or as the only one of a list: an assertion that is also meant for somebody else could
// be replayed by him (draft-ietf-oauth-rfc7523bis).
func (r *Registry) isAudience(aud any, tokenEndpoint bool) bool {
	if list, isList := aud.([]any); isList {
		if len(list) != 1 {
			return false
		}
		aud = list[0]
	}
	return aud == any(r.issuer) || tokenEndpoint && aud == any(r.tokenEndpoint)
}

func (r *Registry) checkTimes(claims map[string]any) (l life, err error) {
	now := r.now()
	exp, err := jwt.NumericDate(claims["exp"])
	switch {
	case err != nil:
		return l, fmt.Errorf("must have an exp, which %w", err)
	case !now.Before(exp):
		return l, errors.New("has expired")
	case exp.Sub(now) > MaxAssertionLifetime+AssertionLeeway:
		return l, fmt.Errorf("lives longer than %s", MaxAssertionLifetime)
	}
	l = life{made: exp.Add(-MaxAssertionLifetime), ends: exp}
	for _, name := range []string{"iat", "nbf"} {
		value, there := claims[name]
		if !there {
			continue
		}
		at, err := jwt.NumericDate(value)
		switch {
		case err != nil:
			return l, fmt.Errorf("has an %s that is no time: it %w", name, err)
		case at.Sub(now) > AssertionLeeway:
			return l, fmt.Errorf("has an %s that lies more than %s ahead; check the clocks", name, AssertionLeeway)
		case name == "iat" && exp.Sub(at) > MaxAssertionLifetime:
			return l, fmt.Errorf("lives longer than %s", MaxAssertionLifetime)
		case at.After(l.made):
			l.made = at
		}
	}
	return l, nil
}

// claimAssertion lets each assertion be used once, on all replicas. It comes last: what is refused for another reason
// leaves no mark, or anybody could use up the jti of a client's next assertion.
func (r *Registry) claimAssertion(ctx context.Context, t *jwt.Token, id string, l life) error {
	jti, _ := t.Claims["jti"].(string)
	// The length keeps two pairs of id and jti from making one key.
	key := "client_assertion:" + strconv.Itoa(len(id)) + ":" + id + ":" + jti
	fresh, err := r.once.Claim(ctx, key, l.made.Add(-AssertionLeeway), l.ends)
	switch {
	case err != nil:
		return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonReplayCheckUnavailable,
			"it can't be told whether this client_assertion was used before; make a new one and ask again").After(replayRetry).Because(err)
	case !fresh:
		return badAssertion("client_assertion was used before; make one for each request")
	}
	return nil
}

// replayRetry is after how long a client may try again when the marks can't be asked.
const replayRetry = 2 * time.Second

// verify reports whether a key signed a token.
func (r *Registry) verify(key *jwt.Key, t *jwt.Token) bool {
	if r.onVerify != nil {
		r.onVerify()
	}
	return key.Verify(t) == nil
}
