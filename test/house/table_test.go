package house_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

const module = "github.com/lakegate/sts/"

// row says what a folder's packages may import of ours, beside each other. Every package stands in the row of the
// longest folder that leads to it.
type row struct {
	folder string
	may    []string
}

var nothing []string

// core are the parts that the program is wired from.
var core = []string{
	"exchange", "identity", "mapping", "admission", "issuer", "databricks", "store", "audit", "server", "config", "api",
	"client", "internal/jwt", "internal/outbound", "internal/strictyaml",
}

// all is for what only proves or shows the rest, and is never linked into it.
var all = append([]string{"cmd/sts", "internal/emulator", "internal/testservice"}, core...)

// table is the import table. Imports run toward exchange, and an adapter never knows its sibling; so a new row, or a
// longer one, is a decision, and comes with an ADR.
var table = []row{
	{"exchange", nothing},
	{"identity", []string{"exchange", "internal/jwt", "internal/outbound"}},
	{"mapping", []string{"exchange", "api", "internal/strictyaml"}},
	{"admission", []string{"exchange", "api"}},
	{"issuer", []string{"exchange"}},
	{"databricks", []string{"exchange", "internal/outbound"}},
	{"store", []string{"exchange"}},
	{"audit", []string{"exchange", "api"}},
	{"server", []string{"exchange", "api", "internal/jwt"}},
	{"config", []string{"internal/strictyaml"}},
	{"api", nothing},
	{"client", []string{"api"}},
	{"cmd/sts", core},
	{"internal/jwt", nothing},
	{"internal/outbound", nothing},
	{"internal/strictyaml", nothing},
	{"internal/emulator", core},
	{"internal/testservice", nothing},
	{"cmd/sts-dev", all},
	{"deploy", all},
	{"bench", all},
	{"test/e2e", all},
	{"test/house", nothing},
	{"scripts", nothing},
}

// inTests is what any package's tests may import beside its row: fakes that speak the wire, and real services.
var inTests = []string{"internal/emulator", "internal/testservice"}

// owner says which packages alone may import a foreign one, its subpackages included.
type owner struct {
	foreign string
	ours    []string
}

var owners = []owner{
	{"github.com/ory/fosite", []string{"server/oauth"}},
	{"github.com/go-jose/go-jose/v3", []string{"server/oauth"}}, // fosite's; our own code uses v4
	{"github.com/databricks/databricks-sdk-go", []string{"databricks", "client"}},
}

// shunned are foreign packages that a folder of ours keeps away from, tests aside.
var shunned = []struct {
	ours    string
	foreign []string
}{
	{"exchange", []string{"net/http", "google.golang.org", "database/sql", "os"}}, // the core knows no transport and no store
	{"mapping", []string{"net/http"}},                                             // a decision does no I/O
	{"server/clients", []string{"net/http", "google.golang.org"}},                 // every entrance authenticates by it
}

// strangers are packages that the program never links, and why.
var strangers = map[string]string{
	module + "internal/emulator":      "emulators are for the demo and the tests",
	module + "internal/testservice":   "it starts services for the tests",
	module + "cmd/sts-dev":            "so is their program",
	"net/http/httptest":               "it is for tests",
	"github.com/golang/mock":          "it is for tests",
	"go.uber.org/mock":                "it is for tests",
	"github.com/stretchr/testify":     "it is for tests",
	"github.com/ory/fosite/compose":   "it drags in mocks",
	"github.com/ory/fosite/storage":   "it is an example's",
	"github.com/ory/fosite/internal":  "it is for tests",
	"github.com/alicebob/miniredis":   "it is for tests",
	"github.com/google/go-cmp":        "it is for tests",
	"github.com/rogpeppe/go-internal": "it is for tests",
}

// goPackage is what "go list -json" says of a package.
type goPackage struct {
	ImportPath   string
	Dir          string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// faults holds packages against the table and the owners.
func faults(packages []goPackage) []string {
	var found []string
	for _, p := range packages {
		name, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue
		}
		r, ok := rowOf(name)
		if !ok {
			found = append(found, name+" stands in no row of the import table")
			continue
		}
		may := append([]string{r.folder}, r.may...)
		for _, i := range p.Imports {
			found = append(found, fault(name, i, may, "")...)
		}
		may = append(may, inTests...)
		for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
			found = append(found, fault(name, i, may, " in its tests")...)
		}
	}
	return found
}

func fault(name, imported string, may []string, where string) []string {
	for _, o := range owners {
		if within(imported, o.foreign) && !withinAny(name, o.ours) {
			return []string{fmt.Sprintf("%s imports %s%s, which only %s may", name, imported, where, strings.Join(o.ours, " and "))}
		}
	}
	for _, s := range shunned {
		if where == "" && within(name, s.ours) && withinAny(imported, s.foreign) {
			return []string{fmt.Sprintf("%s imports %s, which it keeps away from", name, imported)}
		}
	}
	if of, ours := strings.CutPrefix(imported, module); ours && !withinAny(of, may) {
		return []string{fmt.Sprintf("%s imports %s%s, which is not in its row", name, of, where)}
	}
	return nil
}

// strange names the packages of a program's closure that it must not link.
func strange(closure []string) []string {
	var found []string
	for _, p := range closure {
		for stranger, why := range strangers {
			if within(p, stranger) {
				found = append(found, fmt.Sprintf("%s is linked in, but %s", p, why))
			}
		}
	}
	return found
}

func rowOf(name string) (row, bool) {
	for folder := name; folder != "."; folder = path.Dir(folder) {
		if i := slices.IndexFunc(table, func(r row) bool { return r.folder == folder }); i >= 0 {
			return table[i], true
		}
	}
	return row{}, false
}

// within says whether an import path is the folder or in it.
func within(importPath, folder string) bool {
	return importPath == folder || strings.HasPrefix(importPath, folder+"/")
}

func withinAny(importPath string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return within(importPath, f) })
}
