package strictyaml_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/internal/strictyaml"
)

type (
	name     = strictyaml.Value[strictyaml.Name]
	duration = strictyaml.Value[strictyaml.Duration]
)

type effect string

func (e *effect) UnmarshalScalar(text string) error {
	*e = effect(text)
	return strictyaml.OneOf(text, "allow", "deny")
}

// parties is "any" or a list, as a caller would write such a type.
type parties struct {
	Any  bool
	List []string
}

func (p *parties) UnmarshalNode(n strictyaml.Node) bool {
	if n.Kind() == strictyaml.Sequence {
		return n.Decode(&p.List)
	}
	p.Any = n.Text() == "any"
	return p.Any || n.Wrong(`"any" or a list of parties`)
}

type rule struct {
	Pos      strictyaml.Pos
	ID       name                       `yaml:"id,required"`
	Effect   strictyaml.Value[effect]   `yaml:"effect"`
	Lifetime duration                   `yaml:"lifetime"`
	Everyone strictyaml.Value[bool]     `yaml:"everyone"`
	Priority strictyaml.Value[int]      `yaml:"priority"`
	Ratio    float64                    `yaml:"ratio"`
	Clients  []strictyaml.Value[string] `yaml:"clients"`
	Parties  strictyaml.Value[parties]  `yaml:"parties"`
	Lease    *struct {
		Max duration `yaml:"max"`
	} `yaml:"lease"`
}

type policy struct {
	Version strictyaml.Value[int] `yaml:"version,required"`
	Rules   []rule                `yaml:"rules"`
	Named   strictyaml.Map[rule]  `yaml:"named"`
	Claims  any                   `yaml:"claims"`
}

func decode(text string) (policy, error) {
	var p policy
	faults := strictyaml.Decode(strictyaml.Config{File: "p.yaml", MaxBytes: 4096, MaxDepth: 8}, []byte(text), &p)
	return p, faults.Err()
}

func at(line, column int) strictyaml.Pos {
	return strictyaml.Pos{File: "p.yaml", Line: line, Column: column}
}

func TestDecode(t *testing.T) {
	got, err := decode(`# a policy
version: 1
rules:
  - id: first
    effect: deny
    lifetime: 90m
    everyone: false
    priority: -3
    ratio: 1
    clients: [kong, "12"]
    parties: any
    lease: {max: 6h}
named:
  b: {id: b, parties: [x]}
  a: {id: a}
claims: {n: 1, f: 1.5, s: "1", t: yes, b: true, l: [~, {x: y}]}
`)
	if err != nil {
		t.Fatal(err)
	}
	first := rule{
		Pos: at(4, 5), ID: name{"first", at(4, 9)}, Effect: strictyaml.Value[effect]{V: "deny", Pos: at(5, 13)},
		Lifetime: duration{strictyaml.Duration(90 * time.Minute), at(6, 15)}, Everyone: strictyaml.Value[bool]{Pos: at(7, 15)},
		Priority: strictyaml.Value[int]{V: -3, Pos: at(8, 15)}, Ratio: 1,
		Clients: []strictyaml.Value[string]{{V: "kong", Pos: at(10, 15)}, {V: "12", Pos: at(10, 21)}},
		Parties: strictyaml.Value[parties]{V: parties{Any: true}, Pos: at(11, 14)},
	}
	first.Lease = &struct {
		Max duration `yaml:"max"`
	}{duration{strictyaml.Duration(6 * time.Hour), at(12, 18)}}
	want := policy{
		Version: strictyaml.Value[int]{V: 1, Pos: at(2, 10)},
		Rules:   []rule{first},
		Named: strictyaml.Map[rule]{Pos: at(14, 3), Entries: []strictyaml.Entry[rule]{
			{"b", at(14, 3), rule{Pos: at(14, 6), ID: name{"b", at(14, 11)}, Parties: strictyaml.Value[parties]{V: parties{List: []string{"x"}}, Pos: at(14, 23)}}},
			{"a", at(15, 3), rule{Pos: at(15, 6), ID: name{"a", at(15, 11)}}},
		}},
		Claims: map[string]any{"n": int64(1), "f": 1.5, "s": "1", "t": "yes", "b": true, "l": []any{nil, map[string]any{"x": "y"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !got.Rules[0].Everyone.Set() || got.Named.Entries[0].Value.Everyone.Set() {
		t.Error("absent is not told from zero")
	}
}

func TestDecodeFaults(t *testing.T) {
	const head = "version: 1\nrules:\n"
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", `p.yaml:1:1: missing key "version"; add it`},
		{"comment alone", "# x\n", `p.yaml:1:1: missing key "version"; add it`},
		{"list at the top", "- a", `p.yaml:1:1: wanted a mapping, found a list`},
		{"unknown key, near", "version: 1\nrule: []", `p.yaml:2:1: unknown key "rule"; did you mean "rules"?`},
		{"unknown key, far", "version: 1\nx: []", `p.yaml:2:1: unknown key "x"; known: claims, named, rules, version`},
		{"repeated key", "version: 1\nversion: 2", `p.yaml:2:1: repeated key "version"; it stands on line 1 already: keep one`},
		{"missing in a block", head + "  - priority: 1", `p.yaml:3:5: rules[0]: missing key "id"; add it`},
		{"missing in a flow", head + "  - {priority: 1}", `p.yaml:3:5: rules[0]: missing key "id"; add it`},
		{"no value", head + "  - id:\n", `p.yaml:3:5: rules[0].id: wanted a single value, found nothing; give it a value, or leave the key out`},
		{"number for a text", head + "  - {id: a, clients: [1, b]}", `p.yaml:3:23: rules[0].clients[0]: wanted a text, found the number "1"; put it in quotes`},
		{"boolean for a text", head + "  - {id: a, clients: [true]}", `p.yaml:3:23: rules[0].clients[0]: wanted a text, found the boolean true; put it in quotes`},
		{"text for a boolean", head + "  - {id: a, everyone: yes}", `p.yaml:3:23: rules[0].everyone: wanted true or false, found a text`},
		{"text for a number", "version: one", `p.yaml:1:10: version: wanted a whole decimal number, found a text`},
		{"octal", "version: 010", `p.yaml:1:10: version: wanted a whole decimal number, found the number "010"`},
		{"fraction", "version: 1.5", `p.yaml:1:10: version: wanted a whole decimal number, found the number "1.5"`},
		{"not finite", head + "  - {id: a, ratio: .inf}", `p.yaml:3:20: rules[0].ratio: wanted a number, found the number ".inf"`},
		{"list for a mapping", "version: 1\nnamed: []", `p.yaml:2:8: named: wanted a mapping, found a list`},
		{"bad name", head + "  - id: A b", `p.yaml:3:9: rules[0].id: "A b" is not a name; names match [a-z0-9][a-z0-9._-]*`},
		{"bad duration", head + "  - {id: a, lifetime: 10}", `p.yaml:3:23: rules[0].lifetime: "10" is not a duration; write a number and a unit, like 30s, 15m or 24h`},
		{"negative duration", head + "  - {id: a, lifetime: -1s}", `p.yaml:3:23: rules[0].lifetime: a duration can't be negative; leave the sign out`},
		{"unknown word", head + "  - {id: a, effect: dney}", `p.yaml:3:21: rules[0].effect: unknown value "dney"; did you mean "deny"?`},
		{"unknown word, far", head + "  - {id: a, effect: perhaps}", `p.yaml:3:21: rules[0].effect: unknown value "perhaps"; write allow or deny`},
		{"union", head + "  - {id: a, parties: none}", `p.yaml:3:22: rules[0].parties: wanted "any" or a list of parties, found a text`},
		{"number too big for claims", "version: 1\nclaims: {n: 18446744073709551615}", `p.yaml:2:13: claims.n: wanted a whole decimal number of at most 64 bits, found the number "18446744073709551615"`},
		{"repeated claim", "version: 1\nclaims: {n: 1, n: 2}", `p.yaml:2:16: claims: repeated key "n"; it stands on line 2 already: keep one`},
		{"several, sorted", "rules:\n  - {id: A, x: 1}\nversio: 1", `p.yaml:1:1: missing key "version"; add it
p.yaml:2:10: rules[0].id: "A" is not a name; names match [a-z0-9][a-z0-9._-]*
p.yaml:2:13: rules[0]: unknown key "x"; known: clients, effect, everyone, id, lease, lifetime, parties, priority, ratio
p.yaml:3:1: unknown key "versio"; did you mean "version"?`},

		{"anchor", "version: &a 1", `p.yaml:1:10: anchors, aliases and merge keys are not supported; write the value out (or put it in quotes, if it is a text)`},
		{"alias", "version: *a", `p.yaml:1:10: anchors, aliases and merge keys are not supported; write the value out (or put it in quotes, if it is a text)`},
		{"merge key", "<<: {version: 1}", `p.yaml:1:1: anchors, aliases and merge keys are not supported; write the value out (or put it in quotes, if it is a text)`},
		{"tag", "version: !!int 1", `p.yaml:1:10: tags are not supported; leave the tag out (or put it in quotes, if it is a text)`},
		{"directive", "%YAML 1.2\n---\nversion: 1", `p.yaml:1:1: directives are not supported; leave the line out`},
		{"explicit key", "? version\n: 1", `p.yaml:1:1: "?" keys are not supported; write key: value`},
		{"empty item", head + "  -\nclaims: 1", `p.yaml:3:3: a dash without a value; give it a value, or leave it out`},
		{"second document", "version: 1\n---\nversion: 1", `p.yaml:2:1: a second document in one file; write it to a file of its own; --- may stand alone on the first line, ... nowhere`},
		{"end of the document", "version: 1\n...\n", `p.yaml:2:1: a second document in one file; write it to a file of its own; --- may stand alone on the first line, ... nowhere`},
		{"text over lines", "claims: a\n  -b\n   c", `p.yaml:3:5: a text over several lines without quotes; put it in quotes, or write it with | or >`},
		{"key without its colon", "1\n:\n", `p.yaml:1:1: a key that is no text on one line with its colon; write key: value`},
		{"deep flow", "claims: [[[[[[[[[1]]]]]]]]]", `p.yaml:1:17: nested too deep; nest less`},
		{"deep dashes", "- - - - - - - - - 1", `p.yaml:1:17: nested too deep; nest less`},
		{"deep block", "a:\n b:\n  c:\n   d:\n    e:\n     f:\n      g:\n       h:\n        i: 1", `p.yaml:9:9: nested too deep; nest less`},
		{"no YAML", "version: [", `p.yaml:1:10: not valid YAML: sequence end token ']' not found; mend the syntax; other faults show after that`},
		{"tab", "version: 1\n\tx: 1", "p.yaml:2:1: not valid YAML: found character '\t' that cannot start any token; mend the syntax; other faults show after that"},
		{"no UTF-8", "version: 1 # \xff", `p.yaml:1:14: a byte that is no UTF-8 text; save the file as UTF-8, without byte order mark or control characters`},
		{"byte order mark", "\ufeffversion: 1", `p.yaml:1:1: a byte that is no UTF-8 text; save the file as UTF-8, without byte order mark or control characters`},
		{"too large", "version: 1 #" + strings.Repeat("x", 4096), `p.yaml:1:1: the file has 4108 bytes, more than the 4096 that are allowed; split it`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := decode(c.text)
			if err == nil {
				t.Fatal("no fault")
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is faulty is unset or left out, so that the checks which follow don't complain about it again.
func TestFaultyIsUnset(t *testing.T) {
	got, err := decode("version: x\nrules: [{id: a, clients: [1, b]}, 7]\n")
	if err == nil || got.Version.Set() || len(got.Rules) != 1 || len(got.Rules[0].Clients) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOneDocument(t *testing.T) {
	for _, text := range []string{"---\nversion: 1\n", "---\n# x\nversion: 1", "version: 1\r\n"} {
		if _, err := decode(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"kong", "king", "nightly-etl", "a"}
	for name, want := range map[string]string{
		"kongg": "kong", "konk": "kong", "kang": "king", "KONG": "kong", "nightly_etl": "nightly-etl", "b": "", "": "", "x": "", "totally-else": "",
		"kong": "king", strings.Repeat("k", 70): "",
	} {
		if got := strictyaml.Nearest(name, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	known := []string{"prod", "dev"}
	for _, c := range []struct{ name, otherwise, want string }{
		{"prd", "", `did you mean "prod"?`},
		{"prd", "add it under workspaces", `did you mean "prod"? Else add it under workspaces`},
		{"elsewhere", "add it under workspaces", `add it under workspaces`},
		{"elsewhere", "", `known: dev, prod`},
	} {
		if got := strictyaml.DidYouMean(c.name, known, c.otherwise); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestDurationString(t *testing.T) {
	for want, d := range map[string]time.Duration{"24h": 24 * time.Hour, "30s": 30 * time.Second, "1h30m": 90 * time.Minute, "15m": 15 * time.Minute, "1h0m5s": 3605 * time.Second, "0s": 0, "50ms": 50 * time.Millisecond} {
		if got := strictyaml.Duration(d).String(); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestFaultsAreBounded(t *testing.T) {
	var text strings.Builder
	for range 5000 {
		text.WriteString("x: 1\n")
	}
	var p policy
	err := strictyaml.Decode(strictyaml.Config{File: "p.yaml"}, []byte(text.String()), &p).Err()
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 1001 || !slices.Contains(lines, "there are more faults; mend these first") {
		t.Errorf("%d lines", len(lines))
	}
}
