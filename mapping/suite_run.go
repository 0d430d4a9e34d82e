package mapping

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/strictyaml"
)

// TestResult is how one of the policy's own tests went.
type TestResult struct {
	Name string
	Pos  strictyaml.Pos
	// Failure is "" where it passed, else what was wanted, what came instead, and the nearest miss, in lines of text.
	Failure string
}

// RunTests runs the policy's own tests, at now where they name no time of their own.
func RunTests(p *Policy, now time.Time) []TestResult {
	results := make([]TestResult, len(p.tests))
	for i, t := range p.tests {
		results[i] = TestResult{Name: t.name, Pos: t.pos, Failure: p.run(t, now)}
	}
	return results
}

func (p *Policy) run(t *testCase, now time.Time) string {
	a := exchange.Attempt{Time: now, Call: t.attempt.Call, Request: t.attempt.Request, Subject: t.attempt.Subject}
	if !t.at.IsZero() {
		a.Time = t.at
	}
	if who := t.attempt.Actor; who != nil {
		a.Actor = &exchange.Identity{
			Provider: who.Provider, Issuer: who.Issuer, Subject: who.Subject, Groups: who.Groups, Claims: who.Claims, Party: who.Party,
			IssuedAt: a.Time.Add(-t.session),
		}
	}
	var wrong []string
	if t.expect.wantsRoles {
		if got := p.Roles(a.Subject, a.Time); !sameRoles(got, t.expect.roles) {
			wrong = append(wrong, fmt.Sprintf("wanted roles %v, got %v", t.expect.roles, got))
		}
	}
	if t.expect.wantsDecision {
		a.Decision = p.Decide(&a)
		if missed := t.expect.compare(p, a.Decision, t.lifetime); missed != "" {
			wrong = append(wrong, "wanted "+missed+"; "+p.Explain(&a).Text())
		}
	}
	return strings.Join(wrong, "\n")
}

// compare says in which way a decision is not what was expected.
func (e *expectation) compare(p *Policy, d exchange.Decision, requested time.Duration) string {
	if d.Denial != nil {
		if e.reason == "" {
			return "principal " + e.principal
		}
		if string(d.Denial.Reason) != e.reason {
			return "reason " + e.reason
		}
		return differs("rule", e.rule, d.Rule)
	}
	if e.reason != "" {
		return "reason " + e.reason
	}
	lifetime := d.Grant.Lifetime
	if requested > 0 {
		lifetime = min(lifetime, requested)
	}
	var r *rule
	for _, candidate := range p.rules {
		if candidate.id == d.Rule {
			r = candidate
		}
	}
	wrong := []string{differs("principal", e.principal, d.Grant.Principal), differs("rule", e.rule, d.Rule)}
	for _, part := range []struct {
		what string
		want *time.Duration
		got  time.Duration
	}{{"lifetime", e.lifetime, lifetime}, {"gateway_cache", e.gatewayCache, r.gatewayCache}, {"lease", e.lease, r.lease}} {
		if part.want != nil && *part.want != part.got {
			wrong = append(wrong, fmt.Sprintf("%s %s, not %s", part.what, strictyaml.Duration(*part.want), strictyaml.Duration(part.got)))
		}
	}
	if e.scopes != nil {
		wrong = append(wrong, differs("scopes", strings.Join(e.scopes, " "), strings.Join(d.Grant.Scopes, " ")))
	}
	return strings.Join(slices.DeleteFunc(wrong, func(s string) bool { return s == "" }), ", ")
}

func differs(what, want, got string) string {
	if want == "" || want == got {
		return ""
	}
	return what + " " + want
}

func sameRoles(a, b []Role) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}
