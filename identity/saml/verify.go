package saml

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/internal/refresh"
	"github.com/lakegate/sts/identity/internal/refusal"
)

// Verify implements exchange.Verifier. An assertion is accepted once, whichever replica it comes to; who has it explained
// doesn't use it up.
func (p *Pool) Verify(ctx context.Context, presented exchange.Presented, use exchange.Use) (*exchange.Identity, error) {
	text := presented.Token.Reveal()
	t := &trial{Refuser: refusal.Refuser{Use: use}, now: p.now(), sum: sha256.Sum256([]byte(text))}
	made, err := t.run(ctx, p.current.Load(), text)
	if err != nil {
		p.metrics.refused(t.provider, err)
		return nil, err
	}
	if use != exchange.UseExplain {
		if err := t.claim(ctx, p.config.Once); err != nil {
			p.metrics.refused(t.provider, err)
			return made, err
		}
	}
	t.provider.accepted.Inc()
	return made, nil
}

// trial is the verification of one assertion, filled step by step.
type trial struct {
	refusal.Refuser
	now      time.Time
	sum      [sha256.Size]byte
	provider *provider // nil until it is chosen
	envelope *envelope

	// assertion is what was signed, read from the bytes whose digest was signed.
	assertion *node
	span      span
}

// span is when an assertion is good: from opens on, before expiry, and up to aged.
type span struct {
	issued time.Time
	opens  time.Time // IssueInstant and NotBefore, less the provider's clock_skew
	expiry time.Time // the earliest of all ends, in whole seconds
	aged   time.Time // IssueInstant and max_token_age
}

// run is the whole way of an assertion, but for its single use.
func (t *trial) run(ctx context.Context, s *snapshot, text string) (*exchange.Identity, error) {
	if t.Use == exchange.UseClient || t.Use == exchange.UseBearer {
		return nil, t.Invalid("is a SAML assertion, and those are for token exchange alone")
	}
	document, err := decode(text)
	if err != nil {
		return nil, t.Invalid("%s", err)
	}
	root, err := parseXML(document, false)
	if err != nil {
		return nil, t.Invalid("%s", err)
	}
	if t.envelope, err = open(root); err != nil {
		return nil, t.Invalid("%s", err)
	}
	if err := t.choose(s); err != nil {
		return nil, err
	}
	if err := t.checkSignature(ctx); err != nil {
		return nil, err
	}
	if err := t.checkAssertion(); err != nil {
		return nil, err
	}
	return t.identity()
}

// choose finds the provider. The Issuer is not to be trusted yet, and only chooses among those that are configured.
func (t *trial) choose(s *snapshot) error {
	issuer, err := t.envelope.issuer()
	if err != nil {
		return t.Invalid("%s", err)
	}
	if t.provider = s.byEntity[issuer]; t.provider != nil {
		return nil
	}
	for _, p := range s.providers {
		if strings.EqualFold(strings.Trim(p.EntityID, "/ "), strings.Trim(issuer, "/ \n\t")) {
			return t.Refuse(exchange.ReasonIssuerUnknown,
				"has an Issuer that differs from the entity of the identity provider %s by letter case, white space or a trailing slash alone; they must be equal byte for byte", p.Name)
		}
	}
	return t.Refuse(exchange.ReasonIssuerUnknown,
		"has an Issuer that no configured identity provider of SAML assertions has; add the provider to identity_providers, or present an assertion of one that is there")
}

// checkSignature finds the provider's key that signed the assertion. If none did, and the metadata may be out of date, it
// has that fetched once and looks again. Then it reads what was signed.
func (t *trial) checkSignature(ctx context.Context) error {
	signature, err := t.envelope.readSignature()
	if err != nil {
		return t.Invalid("%s", err)
	}
	signed := t.signedBy(signature)
	if !signed {
		if err := t.provider.source.ask(ctx, t.now); err != nil {
			return t.unavailable(err)
		}
		signed = t.signedBy(signature)
	}
	if !signed {
		return t.Invalid("has a signature that no key of the metadata of the identity provider %s made; a key that the assertion itself brings along is not looked at", t.provider.Name)
	}
	text, err := signature.verified(t.envelope)
	if err != nil {
		return t.Invalid("%s", err)
	}
	if t.assertion, err = parseXML(string(text), false); err != nil {
		return t.Invalid("%s", err)
	}
	return nil
}

func (t *trial) signedBy(s *signature) bool {
	for _, key := range t.provider.source.keys(t.now) {
		if s.madeBy(key.public) {
			return true
		}
	}
	return false
}

// unavailable turns the metadata's trouble into an answer.
func (t *trial) unavailable(err error) error {
	var u *refresh.Unavailable
	if !errors.As(err, &u) {
		return err // the caller's own deadline
	}
	return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonProviderUnavailable,
		"the metadata of the identity provider %s can't be had at the moment, so its assertions can't be verified; ask again shortly", t.provider.Name).
		After(u.Retry).Because(u)
}

// claim lets an assertion through once.
func (t *trial) claim(ctx context.Context, once exchange.Once) error {
	end := t.span.aged.Add(time.Second) // at that very moment it is still accepted
	if t.span.expiry.Before(end) {
		end = t.span.expiry
	}
	return t.Claim(ctx, once, refusal.Mark{
		Provider: t.provider.Name, Issuer: t.provider.EntityID, ID: t.envelope.id, Opens: t.span.opens, Ends: end,
	})
}
