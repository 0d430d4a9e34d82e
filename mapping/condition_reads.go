package mapping

import (
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// readsOf lists the top-level claims that an expression reads. Every decision can be explained from its record, which
// keeps the claims that rules read and never all of them; so claims are read by name, and anything else is a fault.
func readsOf(checked *cel.Ast) ([]string, []conditionFault) {
	info := checked.NativeRep().SourceInfo()
	w := &readWalker{fault: func(e ast.Expr, message, mend string) conditionFault {
		at := info.GetStartLocation(e.ID())
		return conditionFault{line: max(1, at.Line()), column: max(0, at.Column()) + 1, message: message, mend: mend}
	}}
	w.walk(checked.NativeRep().Expr())
	slices.Sort(w.reads)
	return slices.Compact(w.reads), w.faults
}

type readWalker struct {
	reads   []string // claims
	ofActor []string // members of the actor beside them
	faults  []conditionFault
	fault   func(e ast.Expr, message, mend string) conditionFault
}

func (w *readWalker) walk(e ast.Expr) {
	if root, path, ok := memberPath(e); ok {
		switch {
		case root == "claims" && len(path) > 0:
			w.claim(e, path[0])
			return
		case root == "actor" && len(path) > 0 && path[0] != "claims":
			w.ofActor = append(w.ofActor, path[0])
			if path[0] == "session_start" {
				w.reads = append(w.reads, claimAuthTime)
			}
			return
		case root == "actor" && len(path) > 1:
			w.claim(e, path[1])
			return
		case root == "claims" || root == "actor":
			w.faults = append(w.faults, w.fault(e, root+" is read as a whole",
				`read its members by name, like claims.department, claims["https://acme.example/team"], has(claims.amr) or actor.claims.department`))
			return
		}
	}
	w.children(e)
}

// claim notes a claim that is read. Not act: whoever acted before the current actor has no say in a decision (RFC 8693 §4.1),
// and two tokens that differ in him alone are decided alike; the current actor is in actor, wherever he is known from.
func (w *readWalker) claim(e ast.Expr, name string) {
	if name == "act" {
		w.faults = append(w.faults, w.fault(e, "the claim act is read", "read actor, who is the current actor; those before him have no say in a decision (RFC 8693 Section 4.1)"))
		return
	}
	w.reads = append(w.reads, name)
}

func (w *readWalker) children(e ast.Expr) {
	switch e.Kind() {
	case ast.SelectKind:
		w.walk(e.AsSelect().Operand())
	case ast.CallKind:
		w.call(e)
	case ast.ListKind:
		for _, item := range e.AsList().Elements() {
			w.walk(item)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			w.walk(entry.AsMapEntry().Key())
			w.walk(entry.AsMapEntry().Value())
		}
	case ast.StructKind:
		for _, f := range e.AsStruct().Fields() {
			w.walk(f.AsStructField().Value())
		}
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		for _, part := range []ast.Expr{c.IterRange(), c.AccuInit(), c.LoopCondition(), c.LoopStep(), c.Result()} {
			w.walk(part)
		}
	}
}

func (w *readWalker) call(e ast.Expr) {
	call := e.AsCall()
	args := call.Args()
	if call.FunctionName() == operators.In && len(args) == 2 {
		// "name" in claims, the other way to write has(claims.name)
		if key, ok := literalText(args[0]); ok {
			if root, path, ok := memberPath(args[1]); ok {
				if root == "claims" && len(path) == 0 || root == "actor" && len(path) == 1 && path[0] == "claims" {
					w.claim(e, key)
					return
				}
				if root == "actor" && len(path) == 0 {
					if key == "session_start" {
						w.reads = append(w.reads, claimAuthTime)
					}
					return
				}
			}
		}
	}
	if call.FunctionName() == "matches" {
		if _, ok := literalText(args[len(args)-1]); !ok {
			w.faults = append(w.faults, w.fault(e, "the pattern of matches is not a literal", "write the regular expression out in quotes, so that it is compiled once"))
		}
	}
	if call.IsMemberFunction() {
		w.walk(call.Target())
	}
	for _, arg := range args {
		w.walk(arg)
	}
}

// memberPath takes root.a.b and root["a"]["b"] apart.
func memberPath(e ast.Expr) (root string, path []string, ok bool) {
	switch e.Kind() {
	case ast.IdentKind:
		return strings.TrimPrefix(e.AsIdent(), "."), nil, true
	case ast.SelectKind:
		s := e.AsSelect()
		if root, path, ok = memberPath(s.Operand()); ok {
			return root, append(path, s.FieldName()), true
		}
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() != operators.Index || len(call.Args()) != 2 {
			return "", nil, false
		}
		key, isText := literalText(call.Args()[1])
		root, path, ok = memberPath(call.Args()[0])
		if top := len(path) == 0 || root == "actor" && len(path) == 1 && path[0] == "claims"; !ok || top && !isText {
			return "", nil, false // which claim, is not known before a request
		}
		return root, append(path, key), true
	}
	return "", nil, false
}

func literalText(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}
