package exchange

import "time"

// Judge finds out what would become of an attempt whose tokens are verified, as far as that is the client's and policy's to
// say: what Exchange asks of both, without a limit, a token or a record. It fills in the decision, and on success the
// end that a caller would be told. An actor who is there already acts as if by a token of his own. It is for those who
// explain.
func (a *Attempt) Judge(d Delegation, p Policy) *Error {
	if err := consent(a, d); err != nil {
		return AsError(err)
	}
	a.Decision = p.Decide(a)
	if err := refusal(a); err != nil {
		return AsError(err)
	}
	if err := a.tooShort(a.Time); err != nil {
		return err
	}
	a.ExpiresAt = a.Time.Add(min(a.limit(), Rest(a.notAfter(), a.Time)))
	return nil
}

// tooShort refuses tokens whose rest is less than what the principal serves.
func (a *Attempt) tooShort(now time.Time) *Error {
	least := a.Decision.Grant.MinLifetime
	expiring := func(reason Reason, whose string) *Error {
		return Refuse(CodeInvalidRequest, reason, "the %s token has less than %d s left, the least that is served here; get a fresh one", whose, int(least/time.Second))
	}
	switch {
	case Rest(a.Subject.Expiry, now) < least:
		return expiring(ReasonSubjectTokenExpiring, "subject")
	case Rest(a.notAfter(), now) < least:
		return expiring(ReasonActorTokenExpired, "actor") // the nearest of the closed list: a fresh subject token would not help
	}
	return nil
}
