package exchange_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lakegate/sts/exchange"
)

const queryChurn = `{"type":"workspace_permission","object_type":"serving-endpoints","object_path":"/serving-endpoints/churn","actions":["query_inference_endpoint"]}`

func TestParseDetailsRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text, says string }{
		{"E16 not JSON", `nonsense`, "array"},
		{"E16 an object", queryChurn, "array"},
		{"E16 no type", `[{"object_type":"o","object_path":"p","actions":["a"]}]`, "no type"},
		{"E16 unknown type", `[{"type":"payment","object_type":"o","object_path":"p","actions":["a"]}]`, "not known"},
		{"empty array", `[]`, "empty"},
		{"trailing", `[` + queryChurn + `] 1`, "nothing behind"},
		{"unknown member", `[{"type":"workspace_permission","object_type":"o","object_path":"p","actions":["a"],"x":1}]`, "member"},
		{"case", `[{"Type":"workspace_permission","object_type":"o","object_path":"p","actions":["a"]}]`, "member"},
		{"twice", `[{"type":"workspace_permission","type":"workspace_permission","object_type":"o","object_path":"p","actions":["a"]}]`, "repeats"},
		{"actions a string", `[{"type":"workspace_permission","object_type":"o","object_path":"p","actions":"a"}]`, "actions"},
		{"no actions", `[{"type":"workspace_permission","object_type":"o","object_path":"p","actions":[]}]`, "needs"},
		{"number", `[{"type":1}]`, "string"},
		{"cut off", `[{"type":"workspace_permission"`, ""},
		{"65 elements", "[" + strings.Repeat(queryChurn+",", 64) + queryChurn + "]", "more than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := exchange.ParseDetails(tc.text)
			if err == nil {
				t.Fatal("accepted")
			}
			if err.Code != exchange.CodeInvalidAuthorizationDetails || !strings.Contains(err.Message, tc.says) {
				t.Errorf("got %v, want one that says %q", err, tc.says)
			}
		})
	}
}

func TestDetailsAreCanonical(t *testing.T) {
	a, err := exchange.ParseDetails(`[{"actions":["b","a"],"type":"workspace_permission","object_path":"/p","object_type":"o"},` + queryChurn + `]`)
	if err != nil {
		t.Fatal(err)
	}
	b, err := exchange.ParseDetails(`[` + queryChurn + `,` + queryChurn + `,{"type":"workspace_permission","object_type":"o","object_path":"/p","actions":["a","b","a"]}]`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error(diff)
	}
	if a.JSON() != b.JSON() || exchange.Details(nil).JSON() != "" {
		t.Errorf("%q and %q differ", a.JSON(), b.JSON())
	}
}

func TestDetailsWithin(t *testing.T) {
	of := func(path string, actions ...string) exchange.Details {
		return exchange.Details{{Type: "workspace_permission", ObjectType: "o", ObjectPath: path, Actions: actions}}
	}
	ceiling := append(of("/p", "a", "b"), of("/q", "a")...)
	for _, tc := range []struct {
		name string
		d    exchange.Details
		want bool
	}{
		{"the same", ceiling, true},
		{"fewer actions", of("/p", "b"), true},
		{"one element", of("/q", "a"), true},
		{"another action", of("/q", "b"), false},
		{"another object", of("/p/x", "a"), false},
		{"nothing", nil, true},
	} {
		if got := tc.d.Within(ceiling); got != tc.want {
			t.Errorf("%s: got %v", tc.name, got)
		}
	}
	if of("/p", "a").Within(nil) {
		t.Error("something lies within nothing")
	}
}

func FuzzParseDetails(f *testing.F) {
	f.Add(`[` + queryChurn + `]`)
	f.Add(`[{"type":"workspace_permission","object_type":"o","object_path":"/\u0000","actions":["a","b"]}]`)
	f.Add(`[{}]`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := exchange.ParseDetails(text)
		if err != nil {
			return
		}
		again, err := exchange.ParseDetails(d.JSON())
		if err != nil {
			t.Fatalf("canonical text %q of %q is refused: %v", d.JSON(), text, err)
		}
		if diff := cmp.Diff(d, again); diff != "" {
			t.Error(diff)
		}
		if !d.Within(again) {
			t.Errorf("%q is not within itself", text)
		}
	})
}

func TestParseScope(t *testing.T) {
	got, err := exchange.ParseScope("sql all-apis sql")
	if diff := cmp.Diff([]string{"all-apis", "sql"}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if got, err := exchange.ParseScope(""); got != nil || err != nil {
		t.Errorf("empty: got %v, %v", got, err)
	}
	for _, bad := range []string{`a"b`, `a\b`, "a\tb", "ä", "a\x7f"} { // E12
		if _, err := exchange.ParseScope(bad); err == nil || err.Code != exchange.CodeInvalidScope {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}
