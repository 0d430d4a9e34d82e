package strictyaml_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/internal/strictyaml"
)

var seeds = []string{
	"", "# nothing\n", "a: 1", "- a\n- b: c\n", "a: {b: [c, 1, 1.5, true, null, ~]}\n", "a: |\n  text\n  more\nb: >-\n  folded\n",
	"a: \"\\u00e9\\n\"\nb: 'it''s'\n", "a: *b\n", "a: &b c\n", "<<: {a: b}\n", "a: 1\na: 2\n", "a: 1\n---\nb: 2\n", "---\na: 1\n...\n",
	"rules:\n  - id: a\n    x: |\n      - text\n\n  # between\n  - id: b\nend: 1\n", "rules:\n- a\n-\n  b: c\nend: [\n  1\n]\n",
	"rules:\n  - a: \"x\n  - b\"\n", "rules:\n  - a: [1,\n  - 2]\n", "rules:\n  - - a\n    - b\n  -   c: d\n      e: f\n", "\t- a", "a: b: c", "[[[[[[",
	"- - - - - a", "a:\r\n  - b\r\n  - c\r\n", "? a\n: b\n", "'a': b\n\"c\": d\n1: e\n", "a: 0x1f\nb: 0o17\nc: 1_000\nd: .inf\ne: 1e3\n", "a: !!str b\n", "\xef\xbb\xbfa: 1", "a: \x00",
}

// What FuzzDecode holds: Decode returns; a fault stands inside the file; what decoded without a fault survives a round trip through
// JSON, which is YAML; and a list that is parsed in chunks reads like one that is not, or is refused.
func FuzzDecode(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg := strictyaml.Config{File: "f.yaml", MaxBytes: 1 << 16}
		whole, faults := decodeAny(cfg, data)
		checkPositions(t, data, faults)
		chunked, chunkedFaults := decodeAny(strictyaml.Cutting(cfg), data)
		checkPositions(t, data, chunkedFaults)
		if chunkedFaults == nil {
			if faults != nil {
				t.Fatalf("in chunks it decodes, as a whole it does not: %v", faults)
			}
			if diff := cmp.Diff(whole, chunked); diff != "" {
				t.Fatalf("in chunks it reads differently:\n%s", diff)
			}
		}
		if faults != nil {
			return
		}
		asJSON, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		again, faults := decodeAny(strictyaml.Config{File: "f.json", MaxBytes: 1 << 24}, asJSON)
		againJSON, err := json.Marshal(again) // as text: JSON writes 1.0 as 1, and -0.0 as the integer -0
		zero := func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("-0"), []byte("0")) }
		if err != nil || faults != nil || !bytes.Equal(zero(asJSON), zero(againJSON)) {
			t.Fatalf("%s\nreads as\n%s\n%v %v", asJSON, againJSON, err, faults)
		}
	})
}

func decodeAny(cfg strictyaml.Config, data []byte) (map[string]any, strictyaml.Faults) {
	var m strictyaml.Map[any]
	faults := strictyaml.Decode(cfg, data, &m)
	values := map[string]any{}
	for _, e := range m.Entries {
		values[e.Key] = e.Value
	}
	return values, faults
}

func checkPositions(t *testing.T, data []byte, faults strictyaml.Faults) {
	t.Helper()
	lines := bytes.Split(data, []byte("\n"))
	for _, f := range faults {
		if f.Pos.Line < 1 || f.Pos.Line > len(lines) {
			t.Fatalf("%v is outside of %d lines", f, len(lines))
		}
		if line := lines[f.Pos.Line-1]; f.Pos.Column < 1 || f.Pos.Column > len(line)+1 {
			t.Fatalf("%v is outside of %q", f, line)
		}
	}
}
