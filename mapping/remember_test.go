package mapping_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
)

// rememberConditions are some that read the subject alone, and some that don't, alike but for that.
var rememberConditions = []string{
	`claims.amr.exists(m, m == "mfa")`,
	`claims.level >= 2 && claims.org.path[1] == 7`,
	`subject == "ada" && "ds" in groups`,
	`has(claims.department)`,
	`claims.nothing == "x"`,
	`true || "ds" in groups`,
	`client == "kong" && has(claims.amr)`,
	`request.lifetime > duration("60s") && claims.level >= 2`,
	`now < timestamp("2026-11-24T13:00:00Z") && claims.level >= 2`,
	`has(actor.subject) && claims.level >= 2`,
	`["now"].exists(now, now == "now") && claims.level >= 2`,
}

// rememberSituations are what may differ between two requests with one subject token.
var rememberSituations = []func(*exchange.Attempt){
	func(*exchange.Attempt) {},
	at(today.Add(2 * time.Hour)),
	by(agent()),
	func(a *exchange.Attempt) { a.Request.Lifetime = time.Hour },
	func(a *exchange.Attempt) { a.Call.Client.ID = "batch" },
}

func rememberPolicy(t testing.TB, effect string, conditions ...string) *mapping.Policy {
	t.Helper()
	var rules strings.Builder
	rules.WriteString("rules:\n")
	for i, condition := range conditions {
		actor, grant := ", actor: any", fmt.Sprintf(", priority: %d, grant: {principal: ml}", len(conditions)-i)
		if effect == "deny" {
			actor, grant = "", ""
		}
		fmt.Fprintf(&rules, "  - {id: r%d, effect: %s, match: {issuer: [okta]%s, when: '%s'}%s}\n", i, effect, actor, condition, grant)
	}
	if effect == "deny" {
		rules.WriteString("  - {id: all, match: {issuer: [okta], actor: any, everyone: true}, grant: {principal: ml}}\n")
	}
	return compile(t, rules.String())
}

// A token that is known for long is decided on like one that was verified just now, whatever came in between.
func TestRememberedConditionsDecideAlike(t *testing.T) {
	for _, effect := range []string{"allow", "deny"} {
		for _, known := range []bool{true, false} {
			long := ada("ds")
			long.Groups.Known = known
			for _, condition := range rememberConditions {
				p := rememberPolicy(t, effect, condition)
				for range 2 {
					for i, situation := range rememberSituations {
						fresh := ada("ds")
						fresh.Groups.Known = known
						want, got := p.Decide(attempt(fresh, "prod", situation)), p.Decide(attempt(long, "prod", situation))
						if diff := cmp.Diff(want.Rule, got.Rule); diff != "" {
							t.Errorf("%s %s, groups known: %v, situation %d (-fresh +remembered):\n%s", effect, condition, known, i, diff)
						}
					}
				}
			}
		}
	}
}

// The memory of a token is bounded, and what it forgot is evaluated again.
func TestMoreConditionsThanAreRemembered(t *testing.T) {
	var conditions []string
	for i := range 40 {
		conditions = append(conditions, fmt.Sprintf(`claims.level == %d.0`, 100-i))
	}
	p, id := rememberPolicy(t, "allow", append(conditions, `claims.level == 2.0`)...), ada()
	for range 3 {
		if d := p.Decide(attempt(id, "prod")); d.Rule != "r40" {
			t.Fatalf("rule %q granted", d.Rule)
		}
	}
}

func TestRememberConcurrently(t *testing.T) {
	p, id := rememberPolicy(t, "allow", `claims.level > 5`, `claims.level > 4`, `claims.level >= 2`), ada()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if d := p.Decide(attempt(id, "prod")); d.Rule != "r2" {
					t.Errorf("rule %q granted", d.Rule)
				}
			}
		})
	}
	wg.Wait()
}
