package e2e_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table of docs/conformance.md")

const conformance = "../../docs/conformance.md"

// TestConformanceTable holds the table of docs/conformance.md against the rows and the tests that there are.
func TestConformanceTable(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile(conformance)
	if err != nil {
		t.Fatal(err)
	}
	text, _, found := strings.Cut(string(document), "| row |")
	if !found {
		t.Fatal("the document has no table")
	}
	want := text + conformanceTable(t)
	switch {
	case string(document) == want:
	case *update:
		if err := os.WriteFile(conformance, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the table of %s is not up to date; go test -tags testclock ./test/e2e -run %s -update writes it", conformance, t.Name())
	}
}

func conformanceTable(t *testing.T) string {
	t.Helper()
	tests := testsOfRows(t)
	var b strings.Builder
	b.WriteString("| row | through | tests |\n| --- | --- | --- |\n")
	for _, row := range strings.Fields(required) {
		through := "all"
		if s, only := special[row]; only {
			through = strings.ReplaceAll(s.entrances, " ", ", ") + ": " + s.because
		}
		if len(tests[row]) == 0 {
			t.Errorf("row %s has no test", row)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", row, through, strings.Join(slices.Sorted(maps.Keys(tests[row])), ", "))
	}
	return b.String()
}

// testsOfRows finds the tests that a row is named in: in a test's own name, or at the beginning of a text, alone or among
// others.
func testsOfRows(t *testing.T) map[string]map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile(`^[A-Z]\d\d\b`)
	inName := regexp.MustCompile(`[A-Z]\d\d`)
	tests := map[string]map[string]bool{}
	note := func(row, test string) {
		if tests[row] == nil {
			tests[row] = map[string]bool{}
		}
		tests[row][test] = true
	}
	for _, name := range files {
		file, err := parser.ParseFile(gotoken.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, isFunc := d.(*ast.FuncDecl)
			if !isFunc || !strings.HasPrefix(f.Name.Name, "TestRow") {
				continue
			}
			for _, row := range inName.FindAllString(f.Name.Name, -1) {
				note(row, f.Name.Name)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				literal, isText := n.(*ast.BasicLit)
				if !isText || literal.Kind != gotoken.STRING {
					return true
				}
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					return true
				}
				for _, word := range strings.Fields(text) {
					row := id.FindString(word)
					if row == "" {
						break
					}
					note(row, f.Name.Name)
				}
				return true
			})
		}
	}
	return tests
}
