package mapping

import (
	"regexp"
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

// tenantClaims are claims that name a tenant of a shared issuer, or something that belongs to one tenant only.
var tenantClaims = map[string]bool{
	"tid": true, "hd": true, // Entra ID, Google
	"repository": true, "repository_id": true, "repository_owner": true, "repository_owner_id": true, "enterprise_id": true, // GitHub
	"namespace_id": true, "namespace_path": true, "project_id": true, "project_path": true, // GitLab
	"org_id": true, "organization_id": true, "organization_slug": true, "tenant_id": true,
	"terraform_organization_id": true, "terraform_organization_name": true,
	"oidc.circleci.com/project-id": true,
}

// pathClaims are those of them whose value is a path below its tenant.
var pathClaims = map[string]bool{"repository": true, "project_path": true}

// tenantPrefix is a literal beginning that ends behind the tenant: "repo:acme/", "organization:acme:", "org/1234/".
// Without the separator at its end, repo:acme* would also match repo:acme-evil/….
var tenantPrefix = regexp.MustCompile(`^[^:/]+[:/][^:/]+[:/]`)

// bindsTenant says whether an expression can be true for one tenant only. It knows what is plain to see: comparisons of
// a tenant's claim or the subject with literals, joined by && and ||. of is "" for the subject, "actor" for the actor.
func bindsTenant(e ast.Expr, of string) bool {
	if e.Kind() != ast.CallKind {
		return false
	}
	call := e.AsCall()
	args := call.Args()
	switch call.FunctionName() {
	case operators.LogicalAnd:
		return slices.ContainsFunc(args, func(arg ast.Expr) bool { return bindsTenant(arg, of) })
	case operators.LogicalOr:
		return !slices.ContainsFunc(args, func(arg ast.Expr) bool { return !bindsTenant(arg, of) })
	case operators.Equals:
		return namesTenant(args[0], of) && isLiteral(args[1]) || namesTenant(args[1], of) && isLiteral(args[0])
	case operators.In:
		if args[1].Kind() != ast.ListKind || args[1].AsList().Size() == 0 {
			return false
		}
		return namesTenant(args[0], of) && !slices.ContainsFunc(args[1].AsList().Elements(), func(e ast.Expr) bool { return !isLiteral(e) })
	case "startsWith":
		prefix, ok := literalText(args[0])
		if !ok || !call.IsMemberFunction() {
			return false
		}
		owner, path, nested := strings.Cut(prefix, "/")
		return isSubject(call.Target(), of) && tenantPrefix.MatchString(prefix) ||
			nested && owner != "" && path == strings.TrimLeft(path, "/") && pathClaims[claimName(call.Target(), of)]
	}
	return false
}

func isLiteral(e ast.Expr) bool { return e.Kind() == ast.LiteralKind }

// namesTenant says whether the expression is the subject, or a claim that names its tenant.
func namesTenant(e ast.Expr, of string) bool {
	return isSubject(e, of) || tenantClaims[claimName(e, of)]
}

// claimName is the name of the claim that the expression reads, "" where it does anything else.
func claimName(e ast.Expr, of string) string {
	root, path, ok := memberPath(e)
	if of != "" {
		if !ok || root != of || len(path) == 0 {
			return ""
		}
		root, path = path[0], path[1:]
	}
	if !ok || root != "claims" || len(path) != 1 {
		return ""
	}
	return path[0]
}

func isSubject(e ast.Expr, of string) bool {
	root, path, ok := memberPath(e)
	if !ok {
		return false
	}
	if of == "" {
		return root == "subject" && len(path) == 0
	}
	return root == of && len(path) == 1 && path[0] == "subject"
}
