package exchange

import "time"

// Judge finds out what would become of an attempt whose tokens are verified, as far as that is the client's and policy's to
// say: what Exchange asks of both, without a limit, a token or a record. It fills in the decision, and on success the
// end that a caller would be told. It is for those who explain.
func (a *Attempt) Judge(p Policy) *Error {
	if err := consent(a); err != nil {
		return AsError(err)
	}
	a.Decision = p.Decide(a)
	if err := refusal(a); err != nil {
		return AsError(err)
	}
	notAfter := a.notAfter()
	if err := tooShort(&a.Decision.Grant, Rest(notAfter, a.Time)); err != nil {
		return err
	}
	a.ExpiresAt = a.Time.Add(min(a.limit(), Rest(notAfter, a.Time)))
	return nil
}

// tooShort refuses tokens whose rest is less than what the principal serves.
func tooShort(g *Grant, rest time.Duration) *Error {
	if rest >= g.MinLifetime {
		return nil
	}
	return Refuse(CodeInvalidRequest, ReasonSubjectTokenExpiring,
		"the subject token has less than %d s left, the least that is served here; get a fresh one", int(g.MinLifetime/time.Second))
}
