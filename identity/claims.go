package identity

import (
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/internal/refusal"
	"github.com/lakegate/sts/internal/jwt"
)

// maxSubjectBytes bounds a subject (OpenID Connect Core 1.0 §2: 255 ASCII characters).
const maxSubjectBytes = 255

// checkAudience wants one of our audiences in aud, which is a string or an array of strings (RFC 7519 §4.1.3).
func (t *trial) checkAudience() error {
	if t.Use == exchange.UseClient {
		return t.checkClientAudience()
	}
	var audiences []any
	switch aud := t.claims["aud"].(type) {
	case string:
		audiences = []any{aud}
	case []any:
		audiences = aud
	}
	if len(audiences) == 0 {
		return t.Invalid("has no aud, or one that is neither a string nor an array of strings")
	}
	ours := false
	for _, element := range audiences {
		audience, ok := element.(string)
		if !ok {
			return t.Invalid("has an aud that is neither a string nor an array of strings")
		}
		for _, own := range t.provider.Audiences {
			ours = ours || audience == own
		}
	}
	if !ours {
		return t.Invalid("is for another audience: its aud holds none of %s; have the identity provider %s issue it for one of those, or add its audience to the provider's audiences",
			refusal.Joined(t.provider.Audiences), t.provider.Name)
	}
	return nil
}

// checkClientAudience wants our issuer in aud, and nothing else, whatever audiences the provider has: whoever else the token
// is for could authenticate by it here (RFC 7523 §3). Its reason tells it from all else that may be wrong: whoever
// presents it does hold a token of the provider, and may be told.
func (t *trial) checkClientAudience() error {
	aud := t.claims["aud"]
	if list, isList := aud.([]any); isList && len(list) == 1 {
		aud = list[0]
	}
	if t.clientAudience == "" || aud != any(t.clientAudience) {
		return t.Refuse(exchange.ReasonClientAuthenticationFailed, "does not have our issuer as its only audience (aud)")
	}
	return nil
}

// span is when a token is good: from opens on, before expiry, and up to aged.
type span struct {
	issued time.Time
	opens  time.Time // iat and nbf, less the provider's clock_skew
	expiry time.Time // exp, in whole seconds
	aged   time.Time // iat and max_token_age
}

func (s *span) holds(now time.Time) bool {
	return now.Before(s.expiry) && !now.After(s.aged) && !now.Before(s.opens)
}

// checkTimes wants iat and exp, and a nbf that has come where there is one. The leeway makes up for clocks that differ
// at the beginning, and never stretches a token at its end.
func (t *trial) checkTimes() (s span, err error) {
	if s.issued, err = t.date("iat"); err != nil {
		return s, err
	}
	if s.expiry, err = t.date("exp"); err != nil {
		return s, err
	}
	latest, name := s.issued, "iat"
	if _, there := t.claims["nbf"]; there {
		notBefore, err := t.date("nbf")
		if err != nil {
			return s, err
		}
		if notBefore.After(latest) {
			latest, name = notBefore, "nbf"
		}
	}
	t.provider.skew.issued(s.issued, t.now)
	s.expiry = s.expiry.Truncate(time.Second)
	s.opens = latest.Add(-t.provider.ClockSkew)
	s.aged = s.issued.Add(t.provider.MaxTokenAge)
	switch {
	case !t.now.Before(s.expiry):
		return s, t.Refuse(exchange.ReasonSubjectTokenExpired, "expired %d s ago by our clock (exp; there is no leeway for it)%s; get a fresh one",
			seconds(t.now.Sub(s.expiry)), t.clocks())
	case t.now.Before(s.opens):
		return s, t.notYetValid(name, latest.Sub(t.now))
	case t.now.After(s.aged):
		return s, t.Refuse(exchange.ReasonSubjectTokenExpired,
			"was issued %d s ago, which is more than max_token_age of the identity provider %s (%d s) allows; get a fresh one",
			seconds(t.now.Sub(s.issued)), t.provider.Name, seconds(t.provider.MaxTokenAge))
	}
	return s, nil
}

func (t *trial) date(name string) (time.Time, error) {
	value, there := t.claims[name]
	if !there {
		return time.Time{}, t.Invalid("has no %s", name)
	}
	date, err := jwt.NumericDate(value)
	if err != nil {
		return time.Time{}, t.Invalid("has a bad %s: it %s", name, err)
	}
	return date, nil
}

// seconds rounds up, so that no message says 0 s. A difference of more than 292 years is cut to that.
func seconds(d time.Duration) int64 {
	return int64(math.Ceil(d.Seconds()))
}

// notYetValid says whose clock is wrong, where that is known: a caller can't see it, and one of two is.
func (t *trial) notYetValid(name string, ahead time.Duration) error {
	const mend = "mend the clock that is wrong, or raise clock_skew of the identity provider"
	leeway := seconds(t.provider.ClockSkew)
	byDate, known := t.provider.skew.byDate()
	refuse := func(format string, args ...any) error {
		return t.Refuse(exchange.ReasonSubjectTokenNotYetValid, "is not valid yet: "+format, args...)
	}
	switch {
	case known && byDate >= agreed:
		return refuse("%s, and the leeway is %d s (its %s is %d s ahead of our clock); %s %s",
			t.provider.skew.inWords(), leeway, name, seconds(ahead), mend, t.provider.Name)
	case known:
		return refuse("its %s is %d s ahead of our clock, and the leeway is %d s, while %s; it was made for later, or by a machine whose clock is wrong; %s %s",
			name, seconds(ahead), leeway, t.provider.skew.inWords(), mend, t.provider.Name)
	case name == "iat":
		return refuse("the provider's clock is at least %d s ahead of ours, as its iat shows, and the leeway is %d s; %s %s",
			seconds(ahead), leeway, mend, t.provider.Name)
	}
	return refuse("its %s is %d s ahead of our clock, and the leeway is %d s; %s %s", name, seconds(ahead), leeway, mend, t.provider.Name)
}

// clocks tells what we know of the provider's clock, in brackets.
func (t *trial) clocks() string {
	if words := t.provider.skew.inWords(); words != "" {
		return " (" + words + ")"
	}
	return ""
}

// identity is who the token speaks of.
func (t *trial) identity() (*exchange.Identity, error) {
	subject, err := t.subject()
	if err != nil {
		return nil, err
	}
	groups, err := t.groups()
	if err != nil {
		return nil, err
	}
	id := &exchange.Identity{
		Provider: t.provider.Name, Issuer: t.tenancy().issuer, Subject: subject, Groups: groups,
		Claims: t.claims, TokenType: t.declared, TokenSHA256: t.sum,
	}
	if id.TokenID, err = t.optional("jti"); err != nil {
		return nil, err
	}
	for _, claim := range t.provider.PartyClaims {
		if id.Party, err = t.optional(claim); err != nil || id.Party != "" {
			return id, err
		}
	}
	return id, nil
}

// subject wants a sub in every token, also where another claim is what tells the provider's subjects apart.
func (t *trial) subject() (string, error) {
	subject, err := t.name("sub")
	if err == nil && t.provider.TrustDomain != "" {
		return subject, t.checkSPIFFEID(subject)
	}
	if claim := t.subjectClaim(); err == nil && claim != "sub" {
		return t.name(claim)
	}
	return subject, err
}

// name is a mandatory claim that names somebody.
func (t *trial) name(claim string) (string, error) {
	value, ok := t.claims[claim].(string)
	switch {
	case !ok || value == "":
		return "", t.Invalid("has no %s, or one that is empty or not a string", claim)
	case len(value) > maxSubjectBytes:
		return "", t.Invalid("has a %s of more than %d bytes", claim, maxSubjectBytes)
	case strings.ContainsFunc(value, unicode.IsControl):
		return "", t.Invalid("has a %s with control characters", claim)
	}
	return value, nil
}

func (t *trial) subjectClaim() string {
	if claim := t.provider.SubjectClaims[t.declared]; claim != "" {
		return claim
	}
	return "sub"
}

// optional is a claim that may be missing, but not of another type.
func (t *trial) optional(name string) (string, error) {
	value, there := t.claims[name]
	if !there || value == nil {
		return "", nil
	}
	text, ok := value.(string)
	if !ok {
		return "", t.Invalid("has a %s that is not a string", name)
	}
	return text, nil
}
