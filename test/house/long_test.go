package house_test

import (
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// TestLongTestsAreFound holds what "make test-long" runs, the tests named TestLong_…, against where they stand: files
// with the build tag "long". A test with only one of the two marks would run never, or with every change.
func TestLongTestsAreFound(t *testing.T) {
	eachFile(t, func(path, text string) {
		if strings.HasSuffix(path, "_test.go") {
			for _, name := range misplaced(t, path, text) {
				t.Errorf("%s: %s: a long test is named TestLong_… and stands in a file with //go:build long", path, name)
			}
		}
	})
}

func TestLongTestsAreFoundCanFail(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"package p_test\nfunc TestLong_Run(*testing.T) {}", "TestLong_Run"},
		{"//go:build long\n\npackage p_test\nfunc TestRun(*testing.T) {}", "TestRun"},
		{"//go:build long && testclock\n\npackage p_test\nfunc TestLong_Run(*testing.T) {}\nfunc helper() {}", ""},
		{"//go:build !long\n\npackage p_test\nfunc TestRun(*testing.T) {}", ""},
		{"package p_test\nfunc TestLongList(*testing.T) {}\nfunc TestMain(*testing.M) {}", ""},
	} {
		if got := strings.Join(misplaced(t, "p_test.go", c.text), " "); got != c.want {
			t.Errorf("misplaced in\n%s\nare %q, want %q", c.text, got, c.want)
		}
	}
}

// misplaced names the tests of a file of which only the name or only the build tag says that they are long.
func misplaced(t *testing.T, path, text string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	long := needsLong(t, file)
	var names []string
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") || f.Name.Name == "TestMain" {
			continue
		}
		if strings.HasPrefix(f.Name.Name, "TestLong_") != long {
			names = append(names, f.Name.Name)
		}
	}
	return names
}

// needsLong says whether the file is built only with the tag.
func needsLong(t *testing.T, file *ast.File) bool {
	t.Helper()
	for _, group := range file.Comments {
		for _, c := range group.List {
			if c.Pos() > file.Package || !constraint.IsGoBuild(c.Text) {
				continue
			}
			expr, err := constraint.Parse(c.Text)
			if err != nil {
				t.Fatal(err)
			}
			return !expr.Eval(func(tag string) bool { return tag != "long" })
		}
	}
	return false
}
