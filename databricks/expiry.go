package databricks

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/lakegate/sts/exchange"
)

const (
	// clockSkew is how far Databricks' clock may be behind ours when it says, relative to it, how long a federation
	// token lives, and nothing else says when it ends; rounding is in it.
	clockSkew = 5 * time.Second
	// clockSkewOfJWT is the same where the token itself says that it ends in time: then expires_in need only not
	// contradict it. A clock that assertions are backdated for must not fail every mint.
	clockSkewOfJWT = backdating
	// contradiction is how much earlier a token's own exp may be than its expires_in says.
	contradiction = time.Minute
)

// expiry is when a token really ends, in whole seconds. sent is when we began to ask: expires_in counts from some
// moment after it, so that sent + expires_in is never too late, however slow the answer was.
//
// A federation token must end with its assertion. Its own exp is a moment and leaves no room; expires_in is relative
// to Databricks' clock, whose skew it is allowed. In doubt the earlier end counts, and never one after until.
//
// A client_secret token ends when Databricks chooses: at the later of expires_in and its own exp, because the record
// must not say that it is dead while it lives.
func expiry(a answer, method exchange.Method, sent, until time.Time) (time.Time, *exchange.Error) {
	end := sent.Add(a.expiresIn).Truncate(time.Second)
	own, known := ownExpiry(a.token)
	if method == exchange.MethodFederation {
		skew := clockSkew
		if known {
			skew = clockSkewOfJWT
		}
		if end.After(until.Add(skew)) || known && own.After(until) {
			return time.Time{}, invalid(errors.New("the token outlives its assertion, so that nothing bounds it"))
		}
		if known && own.Before(end.Add(clockSkew)) {
			end = own // the more exact of two that agree, or the earlier
		}
		if until.Before(end) {
			end = until
		}
		return stillAlive(end, sent)
	}
	if known {
		switch {
		case own.Before(end.Add(-contradiction)):
			return time.Time{}, invalid(errors.New("the token ends long before its expires_in says"))
		case own.After(sent.Add(maxExpiresIn)):
			return time.Time{}, invalid(errors.New("the token would live for longer than a week"))
		case own.After(end):
			end = own
		}
	}
	return stillAlive(end, sent)
}

func stillAlive(end, sent time.Time) (time.Time, *exchange.Error) {
	if !end.After(sent) {
		return time.Time{}, invalid(errors.New("the token is dead on arrival"))
	}
	return end, nil
}

// ownExpiry is the exp of a token that is a JWT. It is not verified, which only Databricks could: it can make us
// distrust a token, or record a later end, and never serve one for longer.
func ownExpiry(token exchange.Secret) (time.Time, bool) {
	parts := strings.Split(token.Reveal(), ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, false
	}
	claims, err := members(payload)
	if err != nil {
		return time.Time{}, false
	}
	return numericDate(claims["exp"])
}

// numericDate reads a NumericDate (RFC 7519 §2), which may have a fraction; it is rounded down.
func numericDate(raw json.RawMessage) (time.Time, bool) {
	const year9999 = 253402300799
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || !(seconds >= 0 && seconds <= year9999) {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}
