package house_test

import (
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// parsers are the parsers of foreign bytes, by package, with the fuzz targets that hold a property of each. A new one gets its
// line here.
var parsers = map[string]string{
	"internal/jwt":        "FuzzParse FuzzParseObject FuzzParseKeySet FuzzParseSPIFFEID",       // segments, claims and headers, JWKS
	"identity":            "FuzzVerify FuzzDiscovery FuzzActors FuzzIntrospectionAnswer",       // whole tokens; what providers answer
	"identity/saml":       "FuzzSAML FuzzXML FuzzMetadata",                                     // assertions
	"identity/aws":        "FuzzAWSRequest",                                                    // presigned requests
	"identity/graph":      "FuzzMembers",                                                       // what Microsoft Graph answers
	"server/clients":      "FuzzAssertion FuzzBasic FuzzForwarded FuzzDN",                      // client authentication
	"server/oauth":        "FuzzForm FuzzInquiry",                                              // forms
	"server/rpc":          "FuzzDecodeJSON FuzzCheckWire",                                      // JSON and gRPC messages
	"server/fault":        "FuzzDescription",                                                   // what becomes of a text in an answer
	"exchange":            "FuzzParseDetails FuzzNormalizeResource",                            // parameters
	"databricks":          "FuzzAnswer FuzzRefusal",                                            // what Databricks answers
	"store":               "FuzzEntry",                                                         // what Redis holds
	"admission":           "FuzzClaims",                                                        // revocations by claims
	"audit":               "FuzzDecode FuzzCheckpoint FuzzRetirement FuzzReceipt FuzzTornTail", // the log on its disk
	"mapping":             "FuzzCompile FuzzGlob FuzzPageToken",                                // policies, page tokens
	"config":              "FuzzLoad",                                                          // the configuration
	"internal/strictyaml": "FuzzDecode",
}

// TestEveryParserIsFuzzed holds that each parser of foreign bytes has its fuzz target, and that "make fuzz" finds every target
// there is: it asks "go test -list", which sees no file whose build tags it wasn't given, and no target in a file of another name.
func TestEveryParserIsFuzzed(t *testing.T) {
	found := map[string][]string{}
	eachFile(t, func(file, text string) {
		if filepath.Ext(file) != ".go" {
			return
		}
		targets, faults := fuzzTargets(t, file, text)
		for _, fault := range faults {
			t.Errorf("%s: %s", file, fault)
		}
		found[path.Dir(file)] = append(found[path.Dir(file)], targets...)
	})
	for folder, want := range parsers {
		for _, target := range strings.Fields(want) {
			if !slices.Contains(found[folder], target) {
				t.Errorf("%s has no %s: a parser of foreign bytes is not fuzzed", folder, target)
			}
		}
	}
	script, err := os.ReadFile(filepath.Join(root, "scripts", "fuzz"))
	if err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{"go test -tags testclock -list '^Fuzz'", `-fuzz "^$target\$" -fuzztime "$time"`} {
		if !strings.Contains(string(script), says) {
			t.Errorf("scripts/fuzz doesn't say %q any more: this test doesn't know what it finds", says)
		}
	}
}

func TestEveryParserIsFuzzedCanFail(t *testing.T) {
	const body = "(f *testing.F) { f.Fuzz(func(t *testing.T, s string) { t.Error(s) }) }"
	for _, c := range []struct{ file, text, targets, fault string }{
		{"p_test.go", "package p_test\nfunc FuzzX" + body, "FuzzX", ""},
		{"p_test.go", "//go:build testclock\n\npackage p_test\nfunc FuzzX" + body, "FuzzX", ""},
		{"p_test.go", "//go:build long\n\npackage p_test\nfunc FuzzX" + body, "", "build tags"},
		{"p.go", "package p\nfunc FuzzX" + body, "", "no test file"},
		{"p_test.go", "package p_test\nfunc FuzzX(f *testing.F) { f.Fuzz(func(t *testing.T, s string) { parse(s) }) }", "", "no property"},
		{"p_test.go", "package p_test\nfunc FuzzX(f *testing.F) { f.Add(1) }", "", "no property"},
		{"p_test.go", "package p_test\nfunc TestX(t *testing.T) {}\nfunc fuzzX(f *testing.F) {}", "", ""},
	} {
		targets, faults := fuzzTargets(t, c.file, c.text)
		if got := strings.Join(targets, " "); got != c.targets || (len(faults) == 0) != (c.fault == "") || len(faults) > 0 && !strings.Contains(faults[0], c.fault) {
			t.Errorf("%s\n%s\ntargets %q, faults %q", c.file, c.text, got, faults)
		}
	}
}

// fuzzTargets are a file's fuzz targets that "make fuzz" runs, and what is wrong with the others. A target without a word of
// failure only looks for panics.
func fuzzTargets(t *testing.T, file, text string) (targets, faults []string) {
	t.Helper()
	if !strings.Contains(text, "testing.F)") {
		return nil, nil
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		f, isFunc := d.(*ast.FuncDecl)
		if !isFunc || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Fuzz") {
			continue
		}
		switch {
		case !strings.HasSuffix(file, "_test.go"):
			faults = append(faults, f.Name.Name+" stands in no test file")
		case !builtForFuzzing(parsed):
			faults = append(faults, f.Name.Name+" stands behind build tags that make fuzz doesn't set")
		case !holdsProperty(f):
			faults = append(faults, f.Name.Name+" holds no property: it can't fail")
		default:
			targets = append(targets, f.Name.Name)
		}
	}
	return targets, faults
}

// builtForFuzzing reports whether a file is built with the tags of scripts/fuzz.
func builtForFuzzing(f *ast.File) bool {
	for _, group := range f.Comments {
		for _, comment := range group.List {
			if expr, err := constraint.Parse(comment.Text); err == nil && group.Pos() < f.Package {
				return expr.Eval(func(tag string) bool { return tag == "testclock" || tag == "linux" || tag == "unix" })
			}
		}
	}
	return true
}

// holdsProperty reports whether the target calls Fuzz, and can fail: by a call of the testing kind, or by handing its t to
// somebody who makes one.
func holdsProperty(f *ast.FuncDecl) (holds bool) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		call, isCall := n.(*ast.CallExpr)
		if !isCall {
			return true
		}
		if s, ok := call.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Fuzz" {
			ast.Inspect(call, func(n ast.Node) bool {
				inner, isCall := n.(*ast.CallExpr)
				if !isCall || inner == call {
					return true
				}
				if s, ok := inner.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Error", "Errorf", "Fatal", "Fatalf"}, s.Sel.Name) {
					holds = true
				}
				for _, arg := range inner.Args {
					if name, ok := arg.(*ast.Ident); ok && name.Name == "t" {
						holds = true
					}
				}
				return true
			})
		}
		return true
	})
	return holds
}
