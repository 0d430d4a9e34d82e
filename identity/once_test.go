package identity_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
)

// marks are an exchange.Once without a birth, which says what it was told.
type marks struct {
	mu    sync.Mutex
	seen  map[string][2]time.Time // the earliest use, and the end
	fault error
}

func newMarks() *marks { return &marks{seen: map[string][2]time.Time{}} }

func (m *marks) Claim(ctx context.Context, key string, earliest, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := errors.Join(m.fault, ctx.Err()); err != nil {
		return false, err
	}
	_, there := m.seen[key]
	m.seen[key] = [2]time.Time{earliest, until}
	return !there, nil
}

// single is a pool of one provider whose tokens are accepted once.
func single(t *testing.T, c *clock, change ...func(*identity.Provider)) (*idp, *identity.Pool, *marks) {
	t.Helper()
	p, m := newIDP(t, c), newMarks()
	provider := p.provider()
	provider.SingleUse = true
	for _, f := range change {
		f(&provider)
	}
	return p, newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{provider}, Once: m}), m
}

// with is a good token with other claims.
func (p *idp) with(t *testing.T, change ...func(object)) string {
	claims := goodClaims(p.clock)
	both(change...)(claims)
	return sign(t, p.key, goodHeader(), claims)
}

// F26: the second use is refused, however the token is written, and the record learns whose it was.
func TestSingleUse(t *testing.T) {
	c := newClock()
	p, pool, _ := single(t, c)
	token := p.good(t)
	first, err := verify(t, pool, token)
	if err != nil {
		t.Fatal(err)
	}
	for what, again := range map[string]string{
		"the same":            token,
		"signed anew":         p.good(t),
		"another of that jti": p.with(t, set("sub", "bob"), set("exp", c.Now().Unix()+60)),
	} {
		id, err := verify(t, pool, again)
		wantReason(t, what, err, exchange.ReasonSubjectTokenReplayed)
		if id == nil || id.TokenID != first.TokenID {
			t.Errorf("%s: the identity is %+v", what, id)
		}
	}
	_, err = verify(t, pool, p.with(t, set("jti", "j2")))
	wantReason(t, "another jti", err, "")
}

func TestSingleUseNeedsAJTI(t *testing.T) {
	p, pool, m := single(t, newClock())
	for what, change := range map[string]func(object){"none": drop("jti"), "empty": set("jti", ""), "null": set("jti", nil), "a number": set("jti", 7)} {
		_, err := verify(t, pool, p.with(t, change))
		wantReason(t, what, err, exchange.ReasonSubjectTokenInvalid)
		if err == nil || !strings.Contains(err.Error(), "jti") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(m.seen) != 0 {
		t.Error("a token without a jti was marked")
	}
}

// What is refused for another reason leaves no mark.
func TestRefusedTokensAreNotUsed(t *testing.T) {
	p, pool, m := single(t, newClock())
	for what, token := range map[string]string{
		"forged": sign(t, newECKey(t), goodHeader(), goodClaims(p.clock)), "for another": p.with(t, set("aud", "x")), "expired": p.with(t, in("exp", -1)),
		"groups that are none": p.with(t, set("groups", "ml")), "not its type": sign(t, p.key, object{"alg": "ES256", "kid": "k1", "typ": "at+jwt"}, goodClaims(p.clock)),
	} {
		if _, err := verify(t, pool, token); err == nil || len(m.seen) != 0 {
			t.Errorf("%s: %v, %d marks", what, err, len(m.seen))
		}
	}
	_, err := verify(t, pool, p.good(t))
	wantReason(t, "the good one of that jti", err, "")
}

// Two providers may use one jti; one provider keeps its marks under another name.
func TestMarksAreTheIssuers(t *testing.T) {
	c := newClock()
	p, pool, _ := single(t, c)
	second := newIDP(t, c)
	other := second.provider()
	other.Name, other.Issuer, other.SingleUse = "entra", issuer+":2", true
	renamed := p.provider()
	renamed.Name, renamed.SingleUse = "okta-2", true
	_, err := verify(t, pool, p.good(t))
	wantReason(t, "the first", err, "")
	prepared, err := pool.Prepare([]identity.Provider{renamed, other})
	if err != nil {
		t.Fatal(err)
	}
	prepared.Commit()
	_, err = verify(t, pool, p.good(t))
	wantReason(t, "under another name", err, exchange.ReasonSubjectTokenReplayed)
	_, err = verify(t, pool, second.with(t, set("iss", issuer+":2")))
	wantReason(t, "another provider's", err, "")
}

// A token that is known already is asked about too, once its provider's tokens are for a single use.
func TestSingleUseAfterAReload(t *testing.T) {
	c := newClock()
	p, m := newIDP(t, c), newMarks()
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{p.provider()}, Once: m})
	token := p.good(t)
	for range 2 {
		_, err := verify(t, pool, token)
		wantReason(t, "before", err, "")
	}
	provider := p.provider()
	provider.SingleUse = true
	prepared, err := pool.Prepare([]identity.Provider{provider})
	if err != nil {
		t.Fatal(err)
	}
	prepared.Commit()
	for i, want := range []exchange.Reason{"", exchange.ReasonSubjectTokenReplayed} {
		_, err := verify(t, pool, token)
		if got := reasonOf(err); got != want {
			t.Errorf("use %d afterwards: %v", i, err)
		}
	}
}

func TestNobodyKnowsWhatWasUsed(t *testing.T) {
	p, pool, m := single(t, newClock())
	m.fault = errors.New("redis is gone")
	_, err := verify(t, pool, p.good(t))
	var refused *exchange.Error
	if !errors.As(err, &refused) || refused.Code != exchange.CodeUnavailable || refused.Reason != exchange.ReasonReplayCheckUnavailable || refused.RetryAfter <= 0 {
		t.Errorf("without marks: %v", err)
	}
	m.fault = nil
	ctx, cancel := context.WithCancel(t.Context())
	_, err = verify(t, pool, p.with(t, set("jti", "warm"))) // its keys are there
	wantReason(t, "with marks", err, "")
	cancel()
	_, err = pool.Verify(ctx, exchange.Presented{Token: exchange.Secret(p.good(t)), Type: exchange.TypeJWT}, exchange.UseSubject)
	wantReason(t, "a caller that has left", err, "caller")
	_, err = verify(t, pool, p.good(t))
	wantReason(t, "afterwards", err, "")
}

func TestActorTokensAreUsedUpToo(t *testing.T) {
	p, pool, _ := single(t, newClock())
	for _, want := range []exchange.Reason{"", exchange.ReasonActorTokenInvalid} {
		_, err := pool.Verify(t.Context(), exchange.Presented{Token: exchange.Secret(p.good(t)), Type: exchange.TypeJWT}, exchange.UseActor)
		if got := reasonOf(err); got != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A mark covers its token's whole life: none is accepted before the earliest use that it names, nor after its end.
func TestMarksCoverEveryUse(t *testing.T) {
	for name, change := range map[string][]func(object){
		"usual": nil, "made a moment ahead": {in("iat", 29)}, "opens later": {in("iat", -60), in("nbf", 20)}, "in fractions": {in("iat", 0.7), in("exp", 90.5)},
		"outlives its age": {in("exp", 7200)}, "old": {in("iat", -3599)},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			p, pool, m := single(t, c, func(p *identity.Provider) { p.MaxTokenAge = time.Hour })
			token := p.with(t, change...)
			if _, err := verify(t, pool, token); err != nil {
				t.Fatal(err)
			}
			for key, mark := range m.seen {
				for at, what := range map[time.Time]string{mark[0].Add(-time.Nanosecond): "before the earliest use", mark[1]: "at the end"} {
					delete(m.seen, key)
					back := c.Now()
					c.move(at.Sub(back))
					if _, err := verify(t, pool, token); err == nil {
						t.Errorf("accepted %s, %v", what, at)
					}
					c.move(back.Sub(c.Now()))
				}
			}
		})
	}
}

// Who explains a token doesn't use it up, and may explain one that was used.
func TestExplainedTokensAreNotUsed(t *testing.T) {
	p, pool, m := single(t, newClock())
	token := p.good(t)
	explain := func(when string) {
		t.Helper()
		before := len(m.seen)
		_, err := pool.Verify(t.Context(), exchange.Presented{Token: exchange.Secret(token), Type: exchange.TypeJWT}, exchange.UseExplain)
		wantReason(t, when, err, "")
		if len(m.seen) != before {
			t.Errorf("%s: it was marked", when)
		}
	}
	explain("before its use")
	_, err := verify(t, pool, token)
	wantReason(t, "its use", err, "")
	explain("after its use")
	_, err = verify(t, pool, token)
	wantReason(t, "its second use", err, exchange.ReasonSubjectTokenReplayed)
}

// What is wrong with a token is said of it as whatever it is presented as.
func TestWordsOfUse(t *testing.T) {
	pool := newPool(t, newClock())
	for use, want := range map[exchange.Use]string{
		exchange.UseSubject: "the subject token ", exchange.UseActor: "the actor token ", exchange.UseBearer: "the bearer token ",
		exchange.UseExplain: "the subject token ",
	} {
		_, err := pool.Verify(t.Context(), exchange.Presented{Token: "nonsense", Type: exchange.TypeJWT}, use)
		if got := exchange.AsError(err).Message; !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", use, got)
		}
	}
}

func TestSingleUseNeedsMarks(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	provider := p.provider()
	provider.SingleUse = true
	if _, err := identity.New(identity.Config{Now: c.Now, Providers: []identity.Provider{provider}}); err == nil || !strings.Contains(err.Error(), "okta: single_use") {
		t.Errorf("made a pool without marks: %v", err)
	}
}
