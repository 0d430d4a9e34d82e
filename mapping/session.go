package mapping

import (
	"math"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/strictyaml"
)

// claimAuthTime is when the provider last saw who the token speaks of prove who he is (OpenID Connect Core §2): seconds
// since 1970, fractions allowed.
const claimAuthTime = "auth_time"

// maxSessionAge is the most that a rule can say: what a month doesn't bound, nothing does.
const maxSessionAge = 30 * 24 * time.Hour

// maxAhead is how far into the future a session may seem to begin: what clocks may differ by.
const maxAhead = 5 * time.Minute

// sessionStart is when the session began in which a token was issued: its auth_time where it has one, else its iat. Of
// the two the earlier counts, since nobody is issued a token before he has signed in: a provider that counts in
// milliseconds makes no session young for ever. ok is false where it can't be told, as for an actor who is only named by
// another's token.
func sessionStart(id *exchange.Identity, now time.Time) (began time.Time, ok bool) {
	began = id.IssuedAt
	switch v := id.Claims[claimAuthTime].(type) {
	case nil:
	case int64:
		began = earlier(began, float64(v))
	case float64:
		began = earlier(began, v)
	default:
		return time.Time{}, false
	}
	if began.IsZero() || began.After(now.Add(maxAhead)) {
		return time.Time{}, false
	}
	return began, true
}

// earlier is the earlier of a time, if there is one, and so many seconds since 1970.
func earlier(t time.Time, seconds float64) time.Time {
	const most = 1 << 40 // some 35,000 years, which a time.Time holds
	whole, fraction := math.Modf(max(-most, min(seconds, most)))
	if at := time.Unix(int64(whole), int64(fraction*1e9)); t.IsZero() || at.Before(t) {
		return at
	}
	return t
}

// young says whether the actor's session is as young as the rule wants. Whose session can't be told is not.
func (m *actorMatcher) young(v *view) bool {
	if m == nil || m.maxSessionAge == 0 {
		return true
	}
	began, ok := sessionStart(v.actor, v.now)
	return ok && v.now.Sub(began) <= m.maxSessionAge
}

// named says whether the request names its principal, where the rule wants that of an actor.
func (m *actorMatcher) named(v *view) bool {
	return m == nil || !m.namesPrincipal || v.request.Target.Principal != ""
}

// describeSession tells the age of the actor's session.
func describeSession(v *view) string {
	began, ok := sessionStart(v.actor, v.now)
	if !ok {
		return "one whose beginning is not known"
	}
	return "one of " + strictyaml.Duration(max(0, v.now.Sub(began)).Truncate(time.Second)).String()
}

// describeAudience tells what was asked for, short of a principal.
func describeAudience(v *view) string {
	if v.request.Target.Workspace == "" {
		return "no audience"
	}
	return "audience=" + v.request.Target.Workspace
}
