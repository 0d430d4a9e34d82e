package house_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// eachFile calls f with every file of the tree that belongs to it, by its path from the root.
func eachFile(t *testing.T, f func(path string, text string)) {
	t.Helper()
	files := 0
	tree := os.DirFS(root)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch name {
			case ".git", "bin", "data", ".cache": // what .gitignore leaves out
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		files++
		f(name, string(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Fatalf("only %d files; the check has lost its sight", files)
	}
}

// foreign are words that tie the tree to one machine. They stand in pieces, so that this file passes its own check.
var foreign = regexp.MustCompile(strings.Join([]string{
	`(?m)(?:^|[\s"'=(,:>` + "`" + `])/(?:work|root|home/\w+|Users/\w+)/`,
	`\.\./sha` + `red\b`,
	`\b(?:proxy|sum)\.golang` + `\.org\b`,
	`\bregistry\.npmjs` + `\.org\b`,
	`\bdeb\.debian` + `\.org\b`,
}, "|"))

func TestNoFileKnowsAMachine(t *testing.T) {
	eachFile(t, func(path, text string) {
		if found := foreign.FindString(text); found != "" {
			t.Errorf("%s names %q, which is not on the reader's machine", path, strings.TrimSpace(found))
		}
	})
}

func TestNoFileKnowsAMachineCanFail(t *testing.T) {
	for _, c := range []struct {
		text string
		bad  bool
	}{
		{`open("/wo` + `rk/main/x")`, true},
		{"cd /ro" + "ot/go", true},
		{"see ../sha" + "red/DESIGN.md", true},
		{"GOPROXY=https://proxy.golang" + ".org", true},
		{"a file in $HOME/work/x, https://example.com/root/x", false},
		{"the shared cache", false},
	} {
		if got := foreign.MatchString(c.text); got != c.bad {
			t.Errorf("%q: found = %v, want %v", c.text, got, c.bad)
		}
	}
}

var generatedMark = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// TestGeneratedCodeStandsApart keeps generated and written code in different folders: linters skip the one, and "make
// generated" compares all of the other.
func TestGeneratedCodeStandsApart(t *testing.T) {
	eachFile(t, func(path, text string) {
		if filepath.Ext(path) != ".go" {
			return
		}
		generated := generatedMark.MatchString(text)
		inAPI := strings.HasPrefix(path, "api/") && filepath.Base(path) != "doc.go"
		if generated && !inAPI {
			t.Errorf("%s says that it is generated, and does not stand in api/", path)
		}
		if !generated && inAPI {
			t.Errorf("%s is written by hand and stands in api/, where only doc.go may", path)
		}
	})
}

// TestHelpListsEveryTarget keeps "make help" whole.
func TestHelpListsEveryTarget(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile(`(?m)^\.PHONY: (\S+)$`).FindAllStringSubmatch(string(text), -1)
	if len(targets) < 10 {
		t.Fatalf("the Makefile has %d targets; the check has lost its sight", len(targets))
	}
	for _, target := range targets {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(target[1]) + `:.*## \S`).Match(text) {
			t.Errorf("make %s has no line in make help: say after ## what it does", target[1])
		}
	}
}
