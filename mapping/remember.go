package mapping

import (
	"cel.dev/cel-go/cel"
)

// A condition that reads the subject, its groups and its claims has one value for one verified token, for as long as
// that is known: nothing that it reads can change. So it is evaluated once, and what it came to hangs on the identity.
// That is the work of a condition, not a decision: the rules are gone through on every request.

// remembered is a condition's value. Its text is the condition, whichever policy it stands in.
type remembered struct {
	text  string
	value bool
}

// maxRemembered bounds the conditions that are remembered for one token, in number. Only those are looked at whose rules
// match the token in everything else, so there are few.
const maxRemembered = 16

// value gives the condition's value for an attempt, evaluated or remembered. An error is not remembered.
func (c *condition) value(v *view) (bool, error) {
	if !c.ofSubject {
		return c.eval(v)
	}
	values := valuesOf(v.subject)
	if value, known := values.recall(c.text); known {
		return value, nil
	}
	// Nothing else will read these claims soon, so only what is needed is made and nothing of it is kept.
	v.claims = make(map[string]any, len(c.claims))
	for _, name := range c.claims {
		if claim, there := v.subject.Claims[name]; there {
			v.claims[name] = celValue(claim)
		}
	}
	value, err := c.eval(v)
	v.claims = nil
	if err == nil {
		values.remember(c.text, value)
	}
	return value, err
}

func (c *celValues) recall(text string) (value, known bool) {
	if all := c.remembered.Load(); all != nil {
		for _, r := range *all {
			if r.text == text {
				return r.value, true
			}
		}
	}
	return false, false
}

// remember may forget what another request remembers at the same time, which is evaluated once more then.
func (c *celValues) remember(text string, value bool) {
	next := []remembered{{text, value}}
	if all := c.remembered.Load(); all != nil && len(*all) < maxRemembered {
		next = append(next, *all...)
	}
	c.remembered.Store(&next)
}

// isOfSubject reports whether an expression refers to nothing but the subject. A variable of a macro that has the name
// of one of the others counts as that: it costs an evaluation, no more.
func isOfSubject(checked *cel.Ast) bool {
	for _, reference := range checked.NativeRep().ReferenceMap() {
		switch reference.Name {
		case "actor", "client", "request", "now":
			return false
		}
	}
	return true
}
