package mapping

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types/ref"
)

// condition is a compiled CEL expression. Rules with the same text share it.
type condition struct {
	text    string
	ast     *cel.Ast
	program cel.Program
	env     *cel.Env // to evaluate it step by step for an explanation
	// claims are the top-level claims that it reads, of the subject or the actor.
	claims []string
	// tenant says that it can only be true for one tenant of a shared issuer; actorTenant the same of the actor.
	tenant, actorTenant bool
	// ofSubject says that its value depends on the subject's token alone, see remember.go.
	ofSubject bool
}

const (
	// maxConditionCost is the most that a condition may cost by CEL's own estimate, with the largest identity that fits
	// into a token. A pass over a claim that is a list of texts costs some 20,000; a pass within a pass does not fit.
	maxConditionCost = 250_000
	maxConditionText = 4096 // characters

	// What fits into a token of 16 KiB: three quarters of it are JSON, and an element of a list needs two bytes or more.
	maxClaimElements = 4096
	maxClaimText     = 12 << 10 // bytes
	maxNameText      = 255      // of a subject, a group, a client, an audience
	maxRequestScopes = 64
)

// newConditionEnv declares what a condition may refer to. There are no functions beyond CEL's own.
func newConditionEnv() (*cel.Env, error) {
	object := cel.MapType(cel.StringType, cel.DynType)
	env, err := cel.NewEnv(
		cel.Variable("subject", cel.StringType),
		cel.Variable("groups", cel.ListType(cel.StringType)),
		cel.Variable("claims", object),
		cel.Variable("actor", object),
		cel.Variable("client", cel.StringType),
		cel.Variable("request", object),
		cel.Variable("now", cel.TimestampType),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxConditionText),
		cel.ParserRecursionLimit(64),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals()),
	)
	if err != nil {
		return nil, fmt.Errorf("declaring the variables of conditions: %w", err)
	}
	return env, nil
}

// conditionFault is what is wrong with an expression, and where in it: lines and columns count from 1, in characters.
type conditionFault struct {
	line, column int
	message      string
	mend         string
}

// compileCondition parses, checks, bounds and plans an expression.
func compileCondition(env *cel.Env, expression string) (*condition, []conditionFault) {
	ast, issues := env.Compile(expression)
	if issues != nil && issues.Err() != nil {
		var faults []conditionFault
		for _, e := range issues.Errors() {
			faults = append(faults, conditionFault{
				line: max(1, e.Location.Line()), column: max(0, e.Location.Column()) + 1, message: e.Message,
				mend: "conditions are CEL over subject, groups, claims, actor, client, request and now",
			})
		}
		return nil, faults
	}
	whole := func(message, mend string) []conditionFault {
		return []conditionFault{{line: 1, column: 1, message: message, mend: mend}}
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) {
		return nil, whole("the condition is of type "+cel.FormatCELType(t)+", not bool", "compare it with something")
	}
	reads, faults := readsOf(ast)
	if faults != nil {
		return nil, faults
	}
	estimate, err := env.EstimateCost(ast, claimSizes{})
	if err != nil {
		return nil, whole("the cost of the condition can't be estimated: "+err.Error(), "simplify it")
	}
	if estimate.Max > maxConditionCost {
		return nil, whole(fmt.Sprintf("the condition may cost %d, more than the %d that one may", estimate.Max, maxConditionCost),
			"go through a list once, not once for each element of another, and compare whole values instead of searching texts")
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, whole(err.Error(), "mend the constant parts of the condition")
	}
	return &condition{
		text: expression, ast: ast, program: program, env: env, claims: reads,
		tenant: bindsTenant(ast.NativeRep().Expr(), ""), actorTenant: bindsTenant(ast.NativeRep().Expr(), "actor"),
		ofSubject: isOfSubject(ast),
	}, nil
}

// eval gives the condition's value; an error where it has none.
func (c *condition) eval(vars cel.Activation) (bool, error) {
	out, _, err := c.program.Eval(vars)
	if err != nil {
		return false, err
	}
	return isTrue(out), nil
}

func isTrue(v ref.Val) bool {
	b, ok := v.Value().(bool)
	return ok && b
}

// claimSizes tells the estimator how large the variables get. It is asked by path: claims, then a claim's name, then
// @items, @keys or @values.
type claimSizes struct{}

// EstimateSize implements cost.Estimator.
func (claimSizes) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	upTo := func(n uint64) *cost.SizeEstimate { return &cost.SizeEstimate{Max: n} }
	path := node.Path()
	if len(path) == 0 {
		return nil
	}
	inside := slices.ContainsFunc(path, func(step string) bool { return step == "@items" || step == "@keys" || step == "@values" })
	switch path[0] {
	case "subject", "client":
		return upTo(maxNameText)
	case "groups":
		if inside {
			return upTo(maxNameText)
		}
		return upTo(maxClaimElements)
	case "request":
		if inside {
			return upTo(maxNameText)
		}
		return upTo(maxRequestScopes)
	case "claims", "actor":
		if isText(node) {
			return upTo(maxClaimText)
		}
		// Text that sits in a list shares the token with the list's other elements.
		if inside {
			return upTo(maxNameText)
		}
		return upTo(maxClaimElements)
	}
	return nil
}

func isText(node cost.AstNode) bool {
	return node.Type() != nil && node.Type().IsExactType(cel.StringType)
}

// EstimateCallCost implements cost.Estimator: CEL's own costs hold.
func (claimSizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
