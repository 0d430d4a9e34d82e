// Package refusal words what a caller is told of a token that isn't accepted, alike for every kind of token. No message
// holds text of the token: only numbers, and names of the configuration.
package refusal

import (
	"fmt"
	"strings"

	"github.com/lakegate/sts/exchange"
)

// Refuser refuses a token that is presented for a use.
type Refuser struct {
	Use exchange.Use
}

// Refuse makes a refusal of "the subject token " and what is wrong with it. The reason is a subject token's; an actor token's
// own is found by it. Who has a token explained is told what an exchange would say of it.
func (r Refuser) Refuse(reason exchange.Reason, format string, args ...any) error {
	return exchange.Refuse(exchange.CodeInvalidRequest, r.reason(reason), "the %s token %s", r.word(), fmt.Sprintf(format, args...))
}

// Invalid is a refusal for what is wrong with the token itself.
func (r Refuser) Invalid(format string, args ...any) error {
	return r.Refuse(exchange.ReasonSubjectTokenInvalid, format, args...)
}

func (r Refuser) word() exchange.Use {
	if r.Use == exchange.UseExplain {
		return exchange.UseSubject
	}
	return r.Use
}

// reason gives the actor token's own reasons, of which there are fewer.
func (r Refuser) reason(reason exchange.Reason) exchange.Reason {
	if r.Use != exchange.UseActor {
		return reason
	}
	switch reason {
	case exchange.ReasonSubjectTokenInvalid, exchange.ReasonSubjectTokenNotYetValid, exchange.ReasonSubjectTokenReplayed:
		return exchange.ReasonActorTokenInvalid
	case exchange.ReasonSubjectTokenExpired:
		return exchange.ReasonActorTokenExpired
	}
	return reason
}

// Joined lists names of the configuration.
func Joined[T ~string](names []T) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(name))
	}
	return b.String()
}
