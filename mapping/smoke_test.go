package mapping_test

import (
	"os"
	"testing"
	"time"

	"github.com/lakegate/sts/mapping"
)

func TestSmoke(t *testing.T) {
	data, _ := os.ReadFile("/work/shared/examples/policy.yaml")
	env := &mapping.Environment{
		Providers: map[string]mapping.Provider{"okta": {}, "entra": {Entra: true}, "github": {Shared: true}},
		Clients:   map[string][]string{"kong": {"prod"}, "nightly-etl": {"prod", "staging"}},
		Accounts:  []string{"aws", "azure"}, FederationDetails: true,
	}
	for _, e := range []*mapping.Environment{nil, env} {
		p, err := mapping.Compile([]mapping.File{{Name: "policy.yaml", Data: data}}, e)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range mapping.RunTests(p, time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)) {
			t.Log(r)
			if r.Failure != "" {
				t.Error(r.Failure)
			}
		}
		for _, r := range mapping.RunTests(p, time.Date(2028, 11, 24, 0, 0, 0, 0, time.UTC)) {
			t.Log(r)
		}
		t.Log(p.ReadsClaims(), p.Digest())
	}
}
