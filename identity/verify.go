package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/internal/refresh"
	"github.com/lakegate/sts/identity/internal/refusal"
	"github.com/lakegate/sts/internal/jwt"
)

// Verify implements exchange.Verifier. A token that is accepted once is never kept: finding it again refuses it. A platform's
// token that authenticates a client is another: it is for our issuer alone, and used until it expires.
func (p *Pool) Verify(ctx context.Context, presented exchange.Presented, use exchange.Use) (*exchange.Identity, error) {
	now, current := p.now(), p.current.Load()
	text := presented.Token.Reveal()
	sum := sumOf(text)
	key := cacheKey{sum: sum, generation: current.generation, tokenType: typeIndex(presented.Type), role: roleOf(use)}
	if found, ok := p.verified.get(key); ok && found.holds(now) {
		p.metrics.hits.Inc()
		found.provider.accepted.Inc()
		return found.identity, nil
	}
	p.metrics.misses.Inc()

	t := &trial{Refuser: refusal.Refuser{Use: use}, now: now, declared: presented.Type, sum: sum, clientAudience: p.config.ClientAudience, source: p.config.Groups}
	made, err := t.run(ctx, current, text)
	if err != nil {
		p.metrics.refused(t.provider, err)
		return nil, err
	}
	switch {
	case !made.provider.SingleUse:
		p.verified.set(key, made)
	case use != exchange.UseExplain && use != exchange.UseClient:
		if err := t.claim(ctx, p.config.Once, made); err != nil {
			p.metrics.refused(t.provider, err)
			return made.identity, err
		}
	}
	made.provider.accepted.Inc()
	return made.identity, nil
}

// sumOf is the SHA-256 of a text. Most tokens fit on the stack, so that a hit leaves no copy of the token behind.
func sumOf(text string) [sha256.Size]byte {
	var buffer [4 << 10]byte
	if len(text) > len(buffer) {
		return sha256.Sum256([]byte(text))
	}
	return sha256.Sum256(buffer[:copy(buffer[:], text)])
}

// trial is the verification of one token, filled step by step.
type trial struct {
	refusal.Refuser
	now      time.Time
	declared exchange.TokenType
	sum      [sha256.Size]byte
	provider *provider  // nil until it is chosen
	token    *jwt.Token // nil of an opaque token
	inquiry  *inquiry   // nil of a token that is verified by a key
	claims   map[string]any
	key      *key

	clientAudience string      // of Config
	source         GroupSource // of Config
}

// roleOf numbers the uses that a token is judged differently for.
func roleOf(use exchange.Use) uint8 {
	switch use {
	case exchange.UseActor:
		return 1
	case exchange.UseClient:
		return 2
	}
	return 0
}

// run is the whole way of a token that wasn't verified before.
func (t *trial) run(ctx context.Context, s *snapshot, text string) (*entry, error) {
	if err := t.read(s, text); err != nil {
		return nil, err
	}
	if err := t.checkType(); err != nil {
		return nil, err
	}
	if err := t.prove(ctx, text); err != nil {
		return nil, err
	}
	if err := t.checkTenant(); err != nil {
		return nil, err
	}
	if err := t.checkProfile(); err != nil {
		return nil, err
	}
	if err := t.checkAudience(); err != nil {
		return nil, err
	}
	span, err := t.checkTimes()
	if err != nil {
		return nil, err
	}
	identity, err := t.identity()
	if err != nil {
		return nil, err
	}
	if err := t.delegation(s, identity); err != nil {
		return nil, err
	}
	if err := t.checkTokenID(identity); err != nil {
		return nil, err
	}
	identity.IssuedAt, identity.Expiry = span.issued, span.expiry
	until, err := t.resolve(ctx, t.source, identity)
	if err != nil {
		return nil, err
	}
	e := &entry{identity: identity, span: span, key: t.key, provider: t.provider, groupsUntil: until}
	if t.inquiry != nil {
		e.memory, e.believed = t.inquiry.memory, t.inquiry.at.Add(maxAnswerAge)
	} else {
		e.memory = t.token.Memory()
	}
	return e, nil
}

// read finds the provider, by what the token has for that: its iss, or how it begins.
func (t *trial) read(s *snapshot, text string) (err error) {
	if t.declared == exchange.TypeAccessToken && s.introspects && opaque(text) {
		return t.chooseByPrefix(s, text)
	}
	if t.token, err = jwt.Parse(text); err != nil {
		return t.Invalid("%s", err)
	}
	t.claims = t.token.Claims
	return t.choose(s)
}

// prove has one of the provider's keys, or the provider itself, vouch for the token.
func (t *trial) prove(ctx context.Context, text string) error {
	if t.declared == exchange.TypeAccessToken && t.provider.introspector != nil {
		return t.inquire(ctx, text)
	}
	return t.checkSignature(ctx)
}

// choose finds the provider. The iss is not to be trusted yet, and only chooses among those that are configured.
func (t *trial) choose(s *snapshot) error {
	issuer, ok := t.claims["iss"].(string)
	if _, there := t.claims["iss"]; there && !ok {
		return t.Invalid("has an iss that is not a string")
	}
	if t.provider = s.byIssuer[issuer]; t.provider != nil {
		return nil
	}
	if t.provider = s.bySPIFFEID(t.claims); t.provider != nil {
		return nil
	}
	switch issuer {
	case "":
		return t.Invalid("has no iss, or one that is not a string")
	case legacyKubernetes:
		return t.Refuse(exchange.ReasonIssuerUnknown,
			"is a service-account token of the old kind, kept in a secret: it never expires, and is for no audience; have the pod mount a projected token with our audience")
	}
	for _, p := range s.providers {
		if strings.EqualFold(strings.TrimSuffix(p.Issuer, "/"), strings.TrimSuffix(issuer, "/")) {
			return t.Refuse(exchange.ReasonIssuerUnknown,
				"has an iss that differs from the issuer of the identity provider %s by letter case or a trailing slash alone; they must be equal byte for byte", p.Name)
		}
	}
	return t.Refuse(exchange.ReasonIssuerUnknown, "has an iss that no configured identity provider has; add the provider to identity_providers, or present a token of one that is there")
}

// legacyKubernetes is the iss of service-account tokens that Kubernetes kept in secrets. Every cluster has it.
const legacyKubernetes = "kubernetes/serviceaccount"

// checkType refuses a type that the provider's tokens may not be presented as.
func (t *trial) checkType() error {
	if slices.Contains(t.provider.TokenTypes, t.declared) {
		return nil
	}
	return t.Refuse(exchange.ReasonTokenTypeUnsupported,
		"was presented as a type that is not among the token_types of the identity provider %s; they are %s", t.provider.Name, refusal.Joined(t.provider.TokenTypes))
}

// checkSignature finds the provider's key that signed the token. If none did, and the keys may be out of date, it has
// them fetched once and looks again.
func (t *trial) checkSignature(ctx context.Context) error {
	header, keys := t.token.Header, t.provider.keys
	if !slices.Contains(t.provider.Algorithms, header.Algorithm) {
		return t.Invalid("is signed by an algorithm that is not among the algorithms of the identity provider %s; they are %s", t.provider.Name, refusal.Joined(t.provider.Algorithms))
	}
	var fit []*key
	for attempt := range 2 {
		if attempt == 1 {
			if err := keys.ask(ctx, t.now); err != nil {
				return t.unavailable(err, "has no keys that can be had")
			}
		}
		fit = keys.trusted(t.now).candidates(header)
		for _, k := range fit {
			if k.Verify(t.token) == nil {
				t.key = k
				return nil
			}
		}
		if len(fit) > 0 && header.KeyID != "" {
			break // its key is here, and didn't sign it
		}
	}
	switch {
	case len(fit) > 0:
		return t.Invalid("%s", jwt.ErrSignature)
	case header.KeyID == "":
		return t.Invalid("names no key (kid), and the identity provider %s publishes none for its algorithm", t.provider.Name)
	}
	return t.Invalid("names a key (kid) that the identity provider %s does not publish for its algorithm", t.provider.Name)
}

// unavailable turns the provider's trouble into an answer.
func (t *trial) unavailable(err error, trouble string) error {
	var u *refresh.Unavailable
	if !errors.As(err, &u) {
		return err // the caller's own deadline
	}
	return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonProviderUnavailable,
		"the identity provider %s %s at the moment, so its tokens can't be verified; ask again shortly", t.provider.Name, trouble).
		After(u.Retry).Because(u)
}
