package house_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// goList runs "go list" at the module's root and returns what it prints.
func goList(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

func TestImportTable(t *testing.T) {
	// Each set of build tags shows other files.
	for _, tags := range []string{"", "testclock,long"} {
		t.Run("tags="+tags, func(t *testing.T) {
			out := json.NewDecoder(strings.NewReader(goList(t, "-e", "-json=ImportPath,Dir,Imports,TestImports,XTestImports", "-tags", tags, "./...")))
			var packages []goPackage
			for {
				var p goPackage
				if err := out.Decode(&p); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				packages = append(packages, p)
			}
			if len(packages) < 10 {
				t.Fatalf("go list found %d packages; the check has lost its sight", len(packages))
			}
			for _, f := range faults(packages) {
				t.Error(f)
			}
		})
	}
}

func TestProgramLinksNoStranger(t *testing.T) {
	for _, tags := range []string{"", "testclock"} {
		closure := strings.Fields(goList(t, "-deps", "-tags", tags, "./cmd/sts"))
		if len(closure) < 100 {
			t.Fatalf("the program has %d packages; the check has lost its sight", len(closure))
		}
		for _, f := range strange(closure) {
			t.Errorf("tags %q: %s", tags, f)
		}
	}
}

// TestImportTableCanFail tries the check on one violation of each kind.
func TestImportTableCanFail(t *testing.T) {
	for _, c := range []struct {
		name string
		pkg  goPackage
		want string // "" for a package that is as it should be
	}{
		{"the core imports nothing", pkg("exchange", "identity"), "exchange imports identity, which is not in its row"},
		{"nor what is internal", pkg("exchange", "internal/jwt"), "exchange imports internal/jwt, which is not in its row"},
		{"an adapter knows the core", pkg("identity", "exchange"), ""},
		{"never its sibling", pkg("databricks", "issuer"), "databricks imports issuer, which is not in its row"},
		{"a subpackage is of its folder's row", pkg("server/edge", "server/fault"), ""},
		{"and bound by it", pkg("server/edge", "store"), "server/edge imports store, which is not in its row"},
		{"a common prefix is not a folder", pkg("storehouse", "exchange"), "storehouse stands in no row of the import table"},
		{"the program links no emulator", pkg("cmd/sts", "internal/emulator/idp"), "cmd/sts imports internal/emulator/idp, which is not in its row"},
		{"its sister does", pkg("cmd/sts-dev", "internal/emulator/idp"), ""},
		{"a foreign package with one owner", goPackage{ImportPath: module + "server/rpc", Imports: []string{"github.com/ory/fosite/token/jwt"}},
			"server/rpc imports github.com/ory/fosite/token/jwt, which only server/oauth may"},
		{"the core knows no transport", goPackage{ImportPath: module + "exchange", Imports: []string{"net/http"}},
			"exchange imports net/http, which it keeps away from"},
		{"its owner", goPackage{ImportPath: module + "server/oauth", Imports: []string{"github.com/ory/fosite"}}, ""},
		{"a test may use fakes", goPackage{ImportPath: module + "databricks", XTestImports: []string{module + "internal/emulator", "net/http"}}, ""},
		{"not siblings", goPackage{ImportPath: module + "databricks", XTestImports: []string{module + "store"}},
			"databricks imports store in its tests, which is not in its row"},
		{"nor in package", goPackage{ImportPath: module + "databricks", TestImports: []string{module + "store"}},
			"databricks imports store in its tests, which is not in its row"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, strings.Join(faults([]goPackage{c.pkg}), "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for stranger := range strangers {
		if len(strange([]string{"fmt", stranger + "/part"})) != 1 {
			t.Errorf("%s in the program is not found", stranger)
		}
	}
}

func pkg(name, imported string) goPackage {
	return goPackage{ImportPath: module + name, Imports: []string{module + imported}}
}
