package graph_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/lakegate/sts/identity/graph"
)

// What FuzzMembers holds: an answer that is accepted has a list of nothing but ids, all of which are there, each once,
// and says nowhere that there are more.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{
		`{"value":[]}`, `{"value":["` + group2 + `","` + group1 + `","` + group2 + `"]}`, `{"value":["` + strings.ToUpper(group1) + `"]}`,
		`{"value":null}`, `{"value":["x"]}`, `{"value":[1]}`, `{"value":[],"@odata.nextLink":"x"}`, `{"value":[],"value":[]}`, `[]`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		names, err := graph.ReadMembers(text)
		if err != nil {
			if names != nil {
				t.Fatalf("groups and an error: %v", err)
			}
			return
		}
		var answer map[string]any
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatal(err)
		}
		list, ok := answer["value"].([]any)
		if !ok || answer["@odata.nextLink"] != nil {
			t.Fatal("groups that nobody has told")
		}
		var want []string
		for _, element := range list {
			name, _ := element.(string)
			if len(name) != len(group1) || strings.Trim(strings.ToLower(name), "0123456789abcdef-") != "" {
				t.Fatalf("%q is no id", name)
			}
			want = append(want, strings.ToLower(name))
		}
		slices.Sort(want)
		if !slices.Equal(names, slices.Compact(want)) {
			t.Fatalf("%v, want %v", names, want)
		}
	})
}
