package mapping_test

import (
	"os"
	"strings"
	"testing"

	"github.com/lakegate/sts/mapping"
)

// The policy that the documentation shows loads, passes its own tests, and leaves lint nothing to say.
func TestPolicyOfTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	policy, _, found := strings.Cut(rest, "```")
	p, err := mapping.Compile(files(policy), nil)
	if err != nil || !found {
		t.Fatal(err)
	}
	for _, r := range mapping.RunTests(p, today) {
		if r.Failure != "" {
			t.Error(r)
		}
	}
	for _, f := range mapping.Lint(p, today) {
		t.Error(f)
	}
}
