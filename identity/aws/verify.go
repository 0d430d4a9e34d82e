package aws

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/internal/refusal"
)

// Verify implements exchange.Verifier.
func (v *Verifier) Verify(ctx context.Context, presented exchange.Presented, use exchange.Use) (*exchange.Identity, error) {
	p := v.current.Load()
	t := &trial{Refuser: refusal.Refuser{Use: use}, now: v.now(), clock: v.now, provider: p}
	id, err := t.run(ctx, presented.Token.Reveal())
	if err == nil && use != exchange.UseExplain {
		err = t.Claim(ctx, v.once, t.mark()) // and then the identity comes with the error, since it is known
	}
	v.metrics.ended(p, err)
	return id, err
}

// trial is the verification of one token, filled step by step.
type trial struct {
	refusal.Refuser
	now      time.Time
	clock    func() time.Time
	provider *provider // nil where there is none
	request  *Request
	place    *place
	expiry   time.Time
}

// run is the whole way of a token but for its mark. What can be told without AWS is told without AWS.
func (t *trial) run(ctx context.Context, text string) (*exchange.Identity, error) {
	if t.provider == nil {
		return nil, t.Refuse(exchange.ReasonTokenTypeUnsupported,
			"is a request to AWS STS, and there is no identity provider for AWS; configure one, or present a token of another type")
	}
	var err error
	if t.request, err = Parse(text); err != nil {
		return nil, t.Invalid("%s", err)
	}
	if err := t.checkPlace(); err != nil {
		return nil, err
	}
	if t.request.Audience != t.provider.Audience {
		return nil, t.Invalid("was made for another service: its header %s isn't %s; sign it with that value", AudienceHeader, t.provider.Audience)
	}
	if err := t.checkTimes(); err != nil {
		return nil, err
	}
	who, err := t.ask(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(t.provider.AccountIDs, who.account) {
		return nil, t.Refuse(exchange.ReasonIssuerUnknown,
			"speaks of an AWS account that is not among account_ids of the identity provider %s; add the account, or use credentials of one that is there", t.provider.Name)
	}
	switch {
	case who.subject == "":
		return nil, t.Invalid("speaks of %s; use the credentials of a role", who.kind())
	case len(who.subject) > maxSubjectBytes:
		return nil, t.Invalid("speaks of a user whose ARN has more than %d bytes", maxSubjectBytes)
	}
	return &exchange.Identity{
		Provider: t.provider.Name, Issuer: Issuer, Subject: who.subject, Claims: who.claims(t.place.region),
		TokenType: exchange.TypeAWS4Request, TokenSHA256: sha256.Sum256([]byte(text)),
		IssuedAt: t.request.Date, Expiry: t.expiry,
	}, nil
}

// checkPlace finds where to ask. The host of the token only chooses among those that are configured.
func (t *trial) checkPlace() error {
	t.place = t.provider.places[t.request.Host]
	switch {
	case t.place == nil:
		return t.Refuse(exchange.ReasonIssuerUnknown, "is for a host that is AWS STS of none of the regions of the identity provider %s; they are %s",
			t.provider.Name, strings.Join(t.provider.Regions, ", "))
	case t.place.region.scope != t.request.Region:
		return t.Invalid("is signed for another region than its host is in, which takes requests that are signed for %s", t.place.region.scope)
	}
	return nil
}

// checkTimes holds a request to the age that AWS holds it to, or less. How long the credentials behind it last isn't said,
// so what is granted for it ends when the request does. The leeway is for its beginning alone.
func (t *trial) checkTimes() error {
	date, age := t.request.Date, t.provider.MaxTokenAge
	if t.request.Presigned {
		age = min(age, t.request.Expires)
	}
	t.expiry = date.Add(age).Truncate(time.Second)
	switch {
	case !t.now.Before(t.expiry):
		return t.Refuse(exchange.ReasonSubjectTokenExpired,
			"was signed %d s ago, and is good for %d s (max_token_age of the identity provider %s, or its own X-Amz-Expires); sign a fresh one for each exchange",
			seconds(t.now.Sub(date)), seconds(age), t.provider.Name)
	case t.now.Before(date.Add(-t.provider.ClockSkew)):
		return t.Refuse(exchange.ReasonSubjectTokenNotYetValid,
			"has an x-amz-date that is %d s ahead of our clock; the leeway is %d s; mend the clock that is wrong, or raise clock_skew of the identity provider %s",
			seconds(date.Sub(t.now)), seconds(t.provider.ClockSkew), t.provider.Name)
	}
	return nil
}

// mark is what tells a request from all others: its signature, which covers all that is in it. The rest of a token can be
// written in many ways, and leads to the same mark. It is kept for as long as AWS takes the request, not just for
// max_token_age, which a reload can lengthen.
func (t *trial) mark() refusal.Mark {
	sum := sha256.Sum256([]byte(t.request.Signature))
	return refusal.Mark{
		Provider: t.provider.Name, Issuer: Issuer, ID: hex.EncodeToString(sum[:]),
		Opens: t.request.Date.Add(-t.provider.ClockSkew), Ends: t.request.Date.Add(MaxAge),
	}
}

// seconds rounds up, so that no message says 0 s.
func seconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }
