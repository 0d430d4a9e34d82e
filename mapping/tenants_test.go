package mapping_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lakegate/sts/mapping"
)

// A provider of several tenants is shared: an allow rule says whose people it is for. Each tenant is an issuer of its own.
func TestTenants(t *testing.T) {
	env := environment()
	env.Providers["entra"] = mapping.Provider{Issuer: "https://login.example/{tenantid}/v2.0", Tenants: []string{"t1", "t2"}, Shared: true, Entra: true}
	rule := func(match string) string {
		return base + "rules:\n  - {id: r, match: {issuer: [entra], " + match + "}, grant: {principal: ml}}\n"
	}
	const group = "groups: {any: [9c1d7a52-55c5-4f7e-9a56-0d7f0f0a4c11]}"
	if faults := faultsOf(t, rule(group), env); !strings.Contains(faults[0].Message, "serves many tenants") {
		t.Error(faults)
	}
	for _, match := range []string{group + `, when: 'claims.tid == "t1"'`, group + `, when: 'claims.tid in ["t1", "t2"]'`, "subject: [aaaaaaaa-0000-4000-8000-000000000001]"} {
		if _, err := mapping.Compile(files(rule(match)), env); err != nil {
			t.Errorf("%s: %v", match, err)
		}
	}

	h := newHouse(t, newLedger())
	if err := h.Load(t.Context(), files(base+"access:\n  - {role: auditor, match: {issuer: [entra], "+group+`, when: 'claims.tid == "t1"'}}`+"\n"), env); err != nil {
		t.Fatal(err)
	}
	if got, want := h.AccessIssuers(today), []string{"https://login.example/t1/v2.0", "https://login.example/t2/v2.0"}; !slices.Equal(got, want) {
		t.Errorf("the issuers are %v, want %v", got, want)
	}
}
