package mapping

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// actor looks at who may act for whom.
func (l *linter) actor(r *rule) {
	actor := r.match.actor
	switch {
	case r.deny && (actor == nil || actor.who == nil) && readsActor(r.match.condition) && !asksForActor(r.match.condition):
		l.warn(r.match.pos, r.where(), "its condition has no value where nobody acts, and so it denies everyone who comes without an actor",
			"add actor: with whose agents are meant, or begin the condition with has(actor.subject) &&")
	case actor == nil || r.deny:
	case actor.who == nil && r.match.isOpen():
		l.warn(r.match.pos, r.where(), "anybody whom any provider lets in may act for everyone", "say who may act: actor: {issuer: […], subject: […]}")
	case actor.who == nil:
	default:
		if actor.who.isOpen() && !readsActor(r.match.condition) {
			l.warn(actor.who.pos, r.where(), "everybody at "+strings.Join(actor.who.issuers, ", ")+" may act, people too", "name the agents by subject or groups under actor")
		}
		if !r.expired(l.now) && !l.grantedAlone(r) {
			l.warn(r.pos, r.where(), "it never grants anything: no rule grants principal "+r.principal.name+" to a subject of its without an actor, and an actor adds no power",
				"add a rule without actor for those subjects; or, for an agent that acts for itself, match it as the subject")
		}
	}
}

// grantedAlone says whether a rule may grant the same to somebody of the rule's who comes without an actor; where that
// can't be told, it may.
func (l *linter) grantedAlone(r *rule) bool {
	if l.alone == nil {
		l.alone = map[*principal][]*rule{}
		for _, o := range l.p.rules {
			if !o.deny && !o.expired(l.now) && (o.match.actor == nil || o.match.actor.who == nil) {
				l.alone[o.principal] = append(l.alone[o.principal], o)
			}
		}
	}
	if l.compared += len(l.alone[r.principal]); l.compared > maxComparisons {
		return true
	}
	subject := r.match
	subject.actor = nil
	return slices.ContainsFunc(l.alone[r.principal], func(o *rule) bool {
		m := o.match
		m.actor = nil
		return m.overlaps(&subject)
	})
}

// readsActor says whether a condition speaks of the actor.
func readsActor(c *condition) bool {
	if c == nil {
		return false
	}
	for _, reference := range c.ast.NativeRep().ReferenceMap() {
		if reference.Name == "actor" {
			return true
		}
	}
	return false
}

// asksForActor says whether a condition asks if there is an actor, or some member of his: has(actor.party), "party" in actor.
func asksForActor(c *condition) (asks bool) {
	isActor := func(e ast.Expr) bool {
		root, path, ok := memberPath(e)
		return ok && root == "actor" && (len(path) == 0 || path[0] == "claims")
	}
	ast.PostOrderVisit(c.ast.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.SelectKind:
			asks = asks || e.AsSelect().IsTestOnly() && isActor(e.AsSelect().Operand())
		case ast.CallKind:
			args := e.AsCall().Args()
			asks = asks || e.AsCall().FunctionName() == operators.In && len(args) == 2 && isActor(args[1])
		}
	}))
	return asks
}
