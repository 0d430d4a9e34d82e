package mapping_test

import (
	"os"
	"strings"
	"testing"

	"github.com/lakegate/sts/mapping"
)

// A policy that we show loads and passes its own tests; and of what the documentation shows, lint has nothing to say.
func TestPoliciesThatWeShow(t *testing.T) {
	for _, file := range []string{"../docs/policy.md", "../docs/agents.md", "../deploy/config/policy.yaml", "testdata/contract.yaml"} {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			policy, isDoc := string(text), strings.HasSuffix(file, ".md")
			if isDoc {
				_, rest, _ := strings.Cut(policy, "```yaml\n")
				policy, _, _ = strings.Cut(rest, "```")
			}
			p, err := mapping.Compile(files(policy), nil)
			if err != nil {
				t.Fatal(err)
			}
			results := mapping.RunTests(p, today)
			for _, r := range results {
				if r.Failure != "" {
					t.Error(r)
				}
			}
			if len(results) == 0 {
				t.Error("it has no tests")
			}
			for _, f := range mapping.Lint(p, today) {
				if isDoc || f.Severity == mapping.SeverityError {
					t.Error(f)
				}
			}
		})
	}
}
