package mapping

import (
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

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
var pathClaims = map[string]bool{"repository": true, "project_path": true, "namespace_path": true}

// tenantPrefix is a literal beginning that ends behind the tenant: "repo:acme/", "organization:acme:", "org/1234/".
// Without the separator at its end, repo:acme* would also match repo:acme-evil/….
var tenantPrefix = regexp.MustCompile(`^[^:/]+[:/][^:/]+[:/]`)

// anybodys are beginnings of subjects that anybody can give his own jobs: a repository's owner chooses which claims GitHub
// writes into its sub, in which order, and names his environments, branches and properties as he likes. A reusable workflow
// (the job_workflow_ref) is called from everywhere.
var anybodys = regexp.MustCompile(`^(actor|actor_id|aud|base_ref|check_run_id|context|environment|environment_node_id|event_name|exp|head_ref|iat|iss|` +
	`issuer_scope|job_workflow_ref|job_workflow_sha|jti|nbf|ref|ref_protected|ref_type|repo_property_[^:]*|repository_visibility|run_attempt|run_id|` +
	`run_number|runner_environment|sha|sub|workflow|workflow_ref|workflow_sha):`)

// isOfTenant says that the subjects which begin so, or that subject, are of one tenant only.
func isOfTenant(subject string, whole bool) bool {
	return (whole || tenantPrefix.MatchString(subject)) && !anybodys.MatchString(subject)
}

// bindsTenant says that the pattern stands for subjects of one tenant only.
func (g glob) bindsTenant() bool { return isOfTenant(g.prefix, g.literal) }

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
		return namesTenant(args[0], args[1], of) || namesTenant(args[1], args[0], of)
	case operators.In:
		if args[1].Kind() != ast.ListKind || args[1].AsList().Size() == 0 {
			return false
		}
		return !slices.ContainsFunc(args[1].AsList().Elements(), func(e ast.Expr) bool { return !namesTenant(args[0], e, of) })
	case "startsWith":
		prefix, ok := literalText(args[0])
		if !ok || !call.IsMemberFunction() {
			return false
		}
		owner, path, nested := strings.Cut(prefix, "/")
		return isSubject(call.Target(), of) && isOfTenant(prefix, false) ||
			nested && owner != "" && path == strings.TrimLeft(path, "/") && pathClaims[claimName(call.Target(), of)]
	}
	return false
}

// namesTenant says whether the expression is the subject and the value one of a tenant, or a claim that names its tenant and
// the value any text or number that can be a name: null and "" are of whoever has no tenant.
func namesTenant(e, value ast.Expr, of string) bool {
	if value.Kind() != ast.LiteralKind {
		return false
	}
	switch v := value.AsLiteral().(type) {
	case types.String:
		return v != "" && (isSubject(e, of) && isOfTenant(string(v), true) || tenantClaims[claimName(e, of)])
	case types.Int, types.Uint, types.Double:
		return tenantClaims[claimName(e, of)]
	}
	return false
}

// claimName is the name of the claim that the expression reads, "" where it does anything else, has() too.
func claimName(e ast.Expr, of string) string {
	if e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() {
		return ""
	}
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
