package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program is the path of the program under test.
var program string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sts-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "sts")
	args := []string{"build", "-tags", "testclock", "-o", program}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "github.com/lakegate/sts/cmd/sts")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		return 1
	}
	defer postgres.Close()
	code := m.Run()
	if missing := covered.missing(); code == 0 && wholePackage() && len(missing) > 0 {
		fmt.Fprintf(os.Stderr, "rows of the conformance list:\n    %s\n", strings.Join(missing, "\n    "))
		return 1
	}
	return code
}
