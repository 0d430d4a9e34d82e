package saml

import (
	"math"
	"time"

	"github.com/lakegate/sts/exchange"
)

const (
	confirmationBearer      = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	confirmationHolderOfKey = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"
)

// checkAssertion judges what was signed: whose it is, whom it is for, and when.
func (t *trial) checkAssertion() error {
	a := t.assertion
	if id, _ := a.attr("ID"); !a.is(spaceAssertion, "Assertion") || id != t.envelope.id {
		return t.Invalid("was read in two ways")
	}
	if version, _ := a.attr("Version"); version != "2.0" {
		return t.Invalid("is not of SAML 2.0, by its Version")
	}
	if issuer, err := issuerOf(a); err != nil || issuer != t.provider.EntityID {
		return t.Invalid("was read in two ways")
	}
	if _, err := t.one(a, "Issuer"); err != nil {
		return err
	}
	for _, child := range a.children() {
		if child.space != spaceAssertion || !isPart(child.local) {
			return t.Invalid("holds an element that is not of an assertion of SAML 2.0")
		}
	}
	if err := t.checkIssueInstant(); err != nil {
		return err
	}
	if err := t.checkConditions(); err != nil {
		return err
	}
	if err := t.checkConfirmation(); err != nil {
		return err
	}
	if err := t.checkSession(); err != nil {
		return err
	}
	return t.checkSpan()
}

// isPart names what an assertion may hold (SAML 2.0 core §2.3.3), its signature aside. Advice may be ignored, and is.
func isPart(local string) bool {
	switch local {
	case "Issuer", "Subject", "Conditions", "Advice", "AuthnStatement", "AttributeStatement":
		return true
	}
	return false
}

// one is the only child of that name. What it lacks is said with its name, which is one of SAML's.
func (t *trial) one(parent *node, local string) (*node, error) {
	var found *node
	for _, child := range parent.children() {
		if !child.is(spaceAssertion, local) {
			continue
		}
		if found != nil {
			return nil, t.Invalid("has more than one %s, and there must be one", local)
		}
		found = child
	}
	if found == nil {
		return nil, t.Invalid("has no %s", local)
	}
	return found, nil
}

// time reads an attribute; found is false where it isn't there.
func (t *trial) time(n *node, name string) (at time.Time, found bool, err error) {
	text, found := n.attr(name)
	if !found {
		return at, false, nil
	}
	if at, err = parseTime(text); err != nil {
		return at, true, t.Invalid("has a %s that %s", name, err)
	}
	return at, true, nil
}

func (t *trial) checkIssueInstant() error {
	issued, found, err := t.time(t.assertion, "IssueInstant")
	if err != nil {
		return err
	}
	if !found {
		return t.Invalid("has no IssueInstant")
	}
	t.span.issued, t.span.opens, t.span.aged = issued, issued, issued.Add(t.provider.MaxTokenAge)
	return nil
}

// bound narrows the span to what an element says of its times. Its end must be there.
func (t *trial) bound(n *node) error {
	from, found, err := t.time(n, "NotBefore")
	if err != nil {
		return err
	}
	if found && from.After(t.span.opens) {
		t.span.opens = from
	}
	end, found, err := t.time(n, "NotOnOrAfter")
	switch {
	case err != nil:
		return err
	case !found:
		return t.Invalid("has a %s without NotOnOrAfter: it must say when it ends", n.local)
	}
	t.end(end)
	return nil
}

func (t *trial) end(at time.Time) {
	if t.span.expiry.IsZero() || at.Before(t.span.expiry) {
		t.span.expiry = at
	}
}

// checkConditions wants all conditions met, and none that isn't known (SAML 2.0 core §2.5.1).
func (t *trial) checkConditions() error {
	conditions, err := t.one(t.assertion, "Conditions")
	if err != nil {
		return err
	}
	if err := t.bound(conditions); err != nil {
		return err
	}
	restricted := false
	for _, condition := range conditions.children() {
		switch {
		case condition.is(spaceAssertion, "OneTimeUse"): // as all are
		case condition.is(spaceAssertion, "AudienceRestriction"):
			if restricted = true; !t.isAudience(condition) {
				return t.Invalid("is for another audience: an AudienceRestriction of it does not hold %s; have the identity provider %s issue it for that, or mend the provider's audience", t.provider.Audience, t.provider.Name)
			}
		default:
			return t.Invalid("has a condition that is not known here, so it can't be met; AudienceRestriction and OneTimeUse are")
		}
	}
	if !restricted {
		return t.Invalid("has no AudienceRestriction: it must say that it is for us")
	}
	return nil
}

func (t *trial) isAudience(restriction *node) bool {
	for _, audience := range restriction.children() {
		if text, ok := audience.text(); ok && audience.is(spaceAssertion, "Audience") && text == t.provider.Audience {
			return true
		}
	}
	return false
}

// checkConfirmation wants whoever bears the assertion to be confirmed by that, at the place that it is for (RFC 7522 §3).
func (t *trial) checkConfirmation() error {
	subject, err := t.one(t.assertion, "Subject")
	if err != nil {
		return err
	}
	confirmation, err := t.one(subject, "SubjectConfirmation")
	if err != nil {
		return err
	}
	switch method, _ := confirmation.attr("Method"); method {
	case confirmationBearer:
	case confirmationHolderOfKey:
		return t.Refuse(exchange.ReasonSenderConstrained,
			"is bound to a key of its sender (holder-of-key), whose proof can't be checked here; get one for its bearer")
	default:
		return t.Invalid("has a SubjectConfirmation of another method than bearer")
	}
	data, err := t.one(confirmation, "SubjectConfirmationData")
	if err != nil {
		return err
	}
	if len(confirmation.children()) > 1 || len(data.children()) > 0 {
		return t.Invalid("has a SubjectConfirmation that says more than that its bearer is its subject")
	}
	if recipient, _ := data.attr("Recipient"); recipient != t.provider.Recipient {
		return t.Invalid("is for another recipient than %s; have the identity provider %s issue it for that, or mend the provider's recipient", t.provider.Recipient, t.provider.Name)
	}
	return t.bound(data)
}

// checkSession ends an assertion with the session that it is of.
func (t *trial) checkSession() error {
	for _, statement := range t.assertion.children() {
		if !statement.is(spaceAssertion, "AuthnStatement") {
			continue
		}
		end, found, err := t.time(statement, "SessionNotOnOrAfter")
		if err != nil {
			return err
		}
		if found {
			t.end(end)
		}
	}
	return nil
}

// checkSpan compares the times with our clock. The leeway makes up for clocks that differ at the beginning, and never
// stretches an assertion at its end.
func (t *trial) checkSpan() error {
	s := &t.span
	s.expiry = s.expiry.Truncate(time.Second)
	latest := s.opens
	s.opens = latest.Add(-t.provider.ClockSkew)
	switch {
	case !t.now.Before(s.expiry):
		return t.Refuse(exchange.ReasonSubjectTokenExpired, "expired %d s ago by our clock (NotOnOrAfter; there is no leeway for it); get a fresh one", seconds(t.now.Sub(s.expiry)))
	case t.now.Before(s.opens):
		return t.Refuse(exchange.ReasonSubjectTokenNotYetValid,
			"is not valid yet: its IssueInstant or NotBefore is %d s ahead of our clock, and the leeway is %d s; mend the clock that is wrong, or raise clock_skew of the identity provider %s",
			seconds(latest.Sub(t.now)), seconds(t.provider.ClockSkew), t.provider.Name)
	case t.now.After(s.aged):
		return t.Refuse(exchange.ReasonSubjectTokenExpired,
			"was issued %d s ago, which is more than max_token_age of the identity provider %s (%d s) allows; get a fresh one",
			seconds(t.now.Sub(s.issued)), t.provider.Name, seconds(t.provider.MaxTokenAge))
	}
	return nil
}

// seconds rounds up, so that no message says 0 s.
func seconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }
