package mapping

import (
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/strictyaml"
)

// Explanation says why an attempt was decided as it was. It shows groups and claims: it is for those who write policy and
// those who audit it, never for callers.
type Explanation struct {
	Decision exchange.Decision
	// Rules are those that could have matched: of the subject's issuer, and leading to the target.
	Rules []Trace
	// Nearest is the allow that went furthest before it failed; nil where something was granted, a rule denied, or
	// nothing was near.
	Nearest *Trace
}

// Trace is how one rule fared.
type Trace struct {
	Rule string
	Pos  strictyaml.Pos
	Deny bool
	// Alone is true where the subject was looked at without its actor.
	Alone bool
	// Matched is true where it applied.
	Matched bool
	// Failed is the first condition that failed ("groups", "when", …), or that is unknown; "" where all held.
	Failed string

	rank int
	rule *rule
	view *view
}

// Condition is what the first condition that failed wants, and the value that it saw. It takes an evaluation of its own,
// so that it is asked of traces that are shown.
func (tr *Trace) Condition() (wanted, saw string) { return tr.rule.wanted(part(tr.Failed), tr.view) }

// Explain decides an attempt again, and writes down how each rule fared.
func (p *Policy) Explain(a *exchange.Attempt) *Explanation {
	x := &Explanation{Decision: p.Decide(a)}
	t, refused := p.targetOf(a.Request.Target, a.Call.Client)
	if refused != nil {
		return x
	}
	v := &view{now: a.Time, client: a.Call.Client.ID, subject: a.Subject, actor: a.Actor, request: a.Request}
	x.trace(p, v, &t, false)
	if e := p.evaluations.Get().(*evaluation); a.Actor != nil {
		if pair := p.judge(e, v, &t); pair.allow != nil {
			t.principal = pair.allow.principal
			alone := *v
			alone.actor, alone.actorValue = nil, nil
			x.trace(p, &alone, &t, true)
		}
		p.release(e)
	}
	if x.Decision.Denial != nil {
		x.findNearest()
	}
	return x
}

func (x *Explanation) trace(p *Policy, v *view, t *target, alone bool) {
	for _, r := range p.rules {
		if !r.match.matchesIssuer(v.subject.Provider) || !r.deny && !t.admits(r.principal) {
			continue
		}
		matched, failed := r.matches(v)
		tr := Trace{Rule: r.id, Pos: r.pos, Deny: r.deny, Alone: alone, Matched: matched == yes || r.deny && matched == unknown, Failed: string(failed), rule: r, view: v}
		for i, part := range parts {
			if part == failed {
				tr.rank = i
			}
		}
		x.Rules = append(x.Rules, tr)
	}
}

// findNearest looks where it failed last: with an actor whose pair was granted, at the subject alone.
func (x *Explanation) findNearest() {
	reason := x.Decision.Denial.Reason
	if reason != exchange.ReasonNoMatchingRule && reason != exchange.ReasonGroupsOverage {
		return
	}
	alone := len(x.Rules) > 0 && x.Rules[len(x.Rules)-1].Alone
	for i := range x.Rules {
		tr := &x.Rules[i]
		if !tr.Deny && !tr.Matched && tr.Alone == alone && (x.Nearest == nil || tr.rank > x.Nearest.rank) {
			x.Nearest = tr
		}
	}
}

// wanted is what a part of the rule wants, and what it saw instead.
func (r *rule) wanted(failed part, v *view) (want, saw string) {
	m := &r.match
	switch failed {
	case partClients:
		return strings.Join(m.clients, ", "), v.client
	case partSubject:
		return patterns(m.subjects), v.subject.Subject
	case partActor:
		return m.actor.String(), describeActor(v.actor)
	case partExpires:
		return "a time before " + r.expires.Format(time.RFC3339), v.now.UTC().Format(time.RFC3339)
	case partGroups:
		return m.groups.String(), describeGroups(v.subject.Groups)
	case partNames:
		return "a request that names its principal, as audience=workspace/principal", describeAudience(v)
	case partSession:
		return "an agent's session of at most " + strictyaml.Duration(m.actor.maxSessionAge).String(), describeSession(v)
	case partWhen:
		return m.condition.firstFailure(v)
	}
	return "", ""
}

func patterns(globs []glob) string { return strings.Join(patternList(globs), ", ") }

// String implements fmt.Stringer.
func (m *groupMatcher) String() string {
	var parts []string
	for _, p := range []struct {
		key   string
		names []string
	}{{"any", m.any}, {"all", m.all}, {"none", m.none}} {
		if p.names != nil {
			parts = append(parts, p.key+" of "+strings.Join(p.names, ", "))
		}
	}
	return strings.Join(parts, "; ")
}

// String implements fmt.Stringer.
func (m *actorMatcher) String() string {
	switch {
	case m == nil:
		return "nobody who acts"
	case m.who == nil:
		return "any"
	}
	want := "issuer " + strings.Join(m.who.issuers, ", ")
	if m.who.subjects != nil {
		want += ", subject " + patterns(m.who.subjects)
	}
	if m.who.groups != nil {
		want += ", groups " + m.who.groups.String()
	}
	return want
}

func describeActor(a *exchange.Identity) string {
	if a == nil {
		return "nobody"
	}
	return a.Provider + " " + a.Subject + ", groups " + describeGroups(a.Groups)
}

const maxShown = 20

func describeGroups(g exchange.Groups) string {
	switch n := len(g.Names); {
	case g.Overage:
		return "unknown: too many for the token"
	case !g.Known:
		return "unknown: the token says nothing about them"
	case n == 0:
		return "none"
	case n > maxShown:
		return strings.Join(g.Names[:maxShown], ", ") + fmt.Sprintf(" and %d more", n-maxShown)
	}
	return strings.Join(g.Names, ", ")
}

// firstFailure is the first of the terms joined by && that is not true, and the claims that it reads, and what of the actor.
func (c *condition) firstFailure(v *view) (want, saw string) {
	want = c.text
	program, err := c.env.Program(c.ast, cel.EvalOptions(cel.OptTrackState, cel.OptExhaustiveEval))
	if err != nil {
		return want, err.Error()
	}
	_, details, evalErr := program.Eval(v)
	rep := c.ast.NativeRep()
	term := rep.Expr()
	for _, t := range terms(term, nil) {
		if value, ok := details.State().Value(t.ID()); !ok || value != types.True {
			term = t
			if text, err := cel.ExprToString(t, rep.SourceInfo()); err == nil {
				want = text
			}
			break
		}
	}
	w := &readWalker{fault: func(ast.Expr, string, string) conditionFault { return conditionFault{} }}
	w.walk(term)
	var seen []string
	for _, name := range w.reads {
		seen = append(seen, name+" = "+describeClaim(v, name))
	}
	for _, name := range w.ofActor {
		value, there := v.actorMap()[name]
		seen = append(seen, "actor."+name+" = "+shown(value, there))
	}
	if evalErr != nil {
		seen = append(seen, "error: "+evalErr.Error())
	}
	return want, strings.Join(seen, ", ")
}

// terms takes a && b && c apart.
func terms(e ast.Expr, into []ast.Expr) []ast.Expr {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.LogicalAnd {
		for _, arg := range e.AsCall().Args() {
			into = terms(arg, into)
		}
		return into
	}
	return append(into, e)
}

func describeClaim(v *view, name string) string {
	describe := func(id *exchange.Identity) string {
		value, there := id.Claims[name]
		return shown(value, there)
	}
	if v.actor == nil {
		return describe(v.subject)
	}
	return describe(v.subject) + " (actor: " + describe(v.actor) + ")"
}

// shown is the beginning of a value, be it CEL's.
func shown(value any, there bool) string {
	const maxText = 200
	if !there {
		return "missing"
	}
	if of, isValue := value.(ref.Val); isValue {
		value = of.Value()
	}
	if at, isTime := value.(time.Time); isTime {
		value = at.Format(time.RFC3339)
	}
	text := fmt.Sprintf("%v", value)
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}

// Text tells it to a person: what was decided, and why nothing better was.
func (x *Explanation) Text() string {
	d := x.Decision
	var b strings.Builder
	switch {
	case d.Denial == nil:
		fmt.Fprintf(&b, "granted principal %s for %s by rule %s", d.Grant.Principal, strictyaml.Duration(d.Grant.Lifetime), d.Rule)
	case d.Rule != "":
		fmt.Fprintf(&b, "refused: %s by rule %s", d.Denial.Reason, d.Rule)
	default:
		fmt.Fprintf(&b, "refused: %s", d.Denial.Reason)
	}
	if x.Nearest != nil {
		b.WriteString("; nearest is " + x.Nearest.text())
	}
	return b.String()
}

func (tr *Trace) text() string {
	text := "rule " + tr.Rule + " (" + tr.Pos.String() + ")"
	if tr.Alone {
		text += ", for the subject alone"
	}
	wanted, saw := tr.Condition()
	return text + ", whose " + tr.Failed + " wants " + wanted + " and saw " + saw
}
