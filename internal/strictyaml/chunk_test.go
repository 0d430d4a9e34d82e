package strictyaml_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/internal/strictyaml"
)

type longRule struct {
	Pos         strictyaml.Pos
	ID          name                       `yaml:"id,required"`
	Description strictyaml.Value[string]   `yaml:"description"`
	Issuer      []strictyaml.Value[string] `yaml:"issuer"`
	Groups      struct {
		Any  []strictyaml.Value[string] `yaml:"any"`
		None []strictyaml.Value[string] `yaml:"none"`
	} `yaml:"groups"`
	Lifetime duration `yaml:"lifetime"`
}

type longPolicy struct {
	Version int        `yaml:"version,required"`
	Rules   []longRule `yaml:"rules"`
	Tests   []string   `yaml:"tests"`
}

func manyRules(n int) []byte {
	var b strings.Builder
	b.WriteString("version: 1\nrules: # many\n")
	for i := range n {
		fmt.Fprintf(&b, "\n  - id: rule-%d\n    description: Data scientists call models\n    issuer: [okta]\n    groups: {any: [g%d, h%d], none: [suspended]}\n    lifetime: 10m\n", i, i, i)
	}
	b.WriteString("tests: [x]\n")
	return []byte(b.String())
}

// A list that is cut keeps every item and every position, and a fault of syntax in it hides none of the others.
func TestLongList(t *testing.T) {
	const n = 4000
	data := manyRules(n)
	var whole longPolicy
	if faults := strictyaml.Decode(strictyaml.Config{File: "p.yaml"}, data, &whole); faults != nil {
		t.Fatal(faults)
	}
	if len(whole.Rules) != n || whole.Tests[0] != "x" {
		t.Fatalf("%d rules, tests %q", len(whole.Rules), whole.Tests)
	}
	for i, r := range whole.Rules {
		line := 4 + 6*i
		want := longRule{Pos: at(line, 5), ID: name{V: strictyaml.Name(fmt.Sprint("rule-", i)), Pos: at(line, 9)}}
		if r.Pos != want.Pos || r.ID != want.ID || r.Groups.None[0].Pos.Line != line+3 {
			t.Fatalf("rule %d: %+v, want %+v", i, r, want)
		}
	}

	broken := strings.Replace(string(data), "rule-10\n", "Rule\n", 1)
	broken = strings.Replace(broken, "lifetime: 10m\n\n  - id: rule-2001\n", "lifetime: \"10m\n\n  - id: rule-2001\n", 1)
	broken = strings.Replace(broken, "rule-3999\n", "rule-3999\n    ower: x\n", 1)
	var p longPolicy
	err := strictyaml.Decode(strictyaml.Config{File: "p.yaml"}, []byte(broken), &p).Err()
	want := `p.yaml:64:9: rules[10].id: "Rule" is not a name; names match [a-z0-9][a-z0-9._-]*
p.yaml:12008:15: not valid YAML: could not find end character of double-quoted text; mend the syntax; other faults show after that
p.yaml:23999:5: rules[3999]: unknown key "ower"; known: description, groups, id, issuer, lifetime`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
}

// Cutting must never change what a file says: whatever looks like a list but isn't, or is written in another way.
func TestCuttingChangesNothing(t *testing.T) {
	for _, text := range []string{
		"a:\n  - b\n  - c\n", "a:\n- b\n- c\nd: e\n", "a: # why\n\n  # more\n  - b\n\n\n  - c\n# end\n", "a:\n  - |\n    - text\n\n    more\n  - >\n   folded\n    - x\n",
		"a: |\n  - b\n  - c\n", "a:\n  - b: |\n      - c\n      - d\n  - e\n", "a:\n  - - b\n    - c\n  - d\n", "a:\n  b:\n    - c\n", "a:\n  - b\nc:\n  - d\ne: []\n",
		"a:\n  - {b: c,\n     d: e}\n  - f\n", "a:\n  - 'b\n\n    c'\n  - d\n", "'a':\n  - b\n", "a:\n  - b", "a:\n  - b: c\n    d:\n    - e\n    - f\n  - g\n", "a:\n", "a:\n\n", "a:\n  -   b: c\n      d: e\n  - f\n",
	} {
		whole, faults := decodeAny(strictyaml.Config{}, []byte(text))
		if faults != nil {
			t.Errorf("%q: %v", text, faults)
		}
		cut, faults := decodeAny(strictyaml.Cutting(strictyaml.Config{}), []byte(text))
		if diff := cmp.Diff(whole, cut); diff != "" || faults != nil {
			t.Errorf("%q: %v\n%s", text, faults, diff)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		data := manyRules(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				var p longPolicy
				if faults := strictyaml.Decode(strictyaml.Config{MaxBytes: 64 << 20}, data, &p); faults != nil || len(p.Rules) != n {
					b.Fatal(len(p.Rules), faults)
				}
			}
		})
	}
}
