package identity

import (
	"fmt"
	"strings"

	"github.com/lakegate/sts/exchange"
)

// refuser words what a caller is told of his token. No message holds text of the token: only numbers, and names of the
// configuration.
type refuser struct {
	use      exchange.Use
	provider *provider // nil until it is known
}

// refuse makes a refusal of "the subject token " and what is wrong with it. Who has one explained is told what an exchange
// would say of it.
func (r *refuser) refuse(reason exchange.Reason, format string, args ...any) error {
	word := r.use
	if word == exchange.UseExplain {
		word = exchange.UseSubject
	}
	return exchange.Refuse(exchange.CodeInvalidRequest, r.reason(reason), "the %s token %s", word, fmt.Sprintf(format, args...))
}

// invalid is a refusal for what is wrong with the token itself.
func (r *refuser) invalid(format string, args ...any) error {
	return r.refuse(exchange.ReasonSubjectTokenInvalid, format, args...)
}

// reason gives the actor token's own reasons, of which there are fewer.
func (r *refuser) reason(reason exchange.Reason) exchange.Reason {
	if r.use != exchange.UseActor {
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

// joined lists names of the configuration.
func joined[T ~string](names []T) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(name))
	}
	return b.String()
}
