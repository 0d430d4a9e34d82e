package tally_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/scripts/testsum/tally"
)

// stream writes events in shorthand, "action test" of one package; a line with no test is about the package.
func stream(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		action, test, _ := strings.Cut(line, " ")
		fmt.Fprintf(&b, `{"Action":%q,"Package":"p","Test":%q}`+"\n", action, test)
	}
	return b.String()
}

func TestClosingLine(t *testing.T) {
	for _, c := range []struct {
		name   string
		events string
		err    error
		want   string
		good   bool
	}{
		{"one passed", stream("run A", "pass A", "pass"), nil, "1 passed, 0 failed", true},
		{"subtests count, their parent doesn't", stream("run A", "run A/x", "run A/y", "pass A/x", "pass A/y", "pass A", "pass"), nil, "2 passed, 0 failed", true},
		{"a failed subtest is one failure", stream("run A", "run A/x", "run A/y", "fail A/x", "pass A/y", "fail A", "fail"), nil, "1 passed, 1 failed", false},
		{"a failed parent of good subtests is one", stream("run A", "run A/x", "pass A/x", "fail A", "fail"), nil, "1 passed, 1 failed", false},
		{"a subtest's own slashes are no levels", stream("run A", "run A/x/y", "pass A/x/y", "pass A", "pass"), nil, "1 passed, 0 failed", true},
		{"skipped", stream("run A", "skip A", "run B", "pass B", "pass"), nil, "1 passed, 0 failed, 1 skipped", true},
		{"only skipped is not a run", stream("run A", "skip A", "pass"), nil, "0 passed, 0 failed, 1 skipped", false},
		{"nothing ran", stream("skip"), nil, "0 passed, 0 failed", false},
		{"no output at all", "", nil, "0 passed, 0 failed", false},
		{"a package that failed outside of any test", stream("run A", "pass A", "fail"), nil, "1 passed, 1 failed", false},
		{"a package that did not build", `{"ImportPath":"p","Action":"build-fail"}` + "\n" + stream("fail"), nil, "0 passed, 1 failed", false},
		{"a test that never ended", stream("run A", "pass A", "run B", "fail"), nil, "1 passed, 1 failed", false},
		{"a stream cut off", stream("run A", "pass A", "run B"), errors.New("signal: killed"), "1 passed, 1 failed", false},
		{"the command failed without saying why", stream("run A", "pass A", "pass"), errors.New("exit status 1"), "1 passed, 1 failed", false},
		{"a failure is not counted twice", stream("run A", "fail A", "fail"), errors.New("exit status 1"), "0 passed, 1 failed", false},
		{"foreign lines pass through", "from a child process\n" + stream("run A", "pass A", "pass"), nil, "1 passed, 0 failed", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			count := tally.New(&out)
			if err := count.Read(strings.NewReader(c.events)); err != nil {
				t.Fatal(err)
			}
			good := count.Close(c.err)
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if diff := cmp.Diff(c.want, lines[len(lines)-1]); diff != "" || good != c.good {
				t.Errorf("good = %v, closing line (-want +got):\n%s\nwhole output:\n%s", good, diff, out.String())
			}
		})
	}
}

// TestRealStream holds the shorthand above against what the go command of today writes.
func TestRealStream(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":            "module m\n\ngo 1.26\n",
		"good/a_test.go":    "package good\nimport \"testing\"\nfunc TestGood(t *testing.T) { t.Log(\"quiet\") }\n",
		"bad/a_test.go":     "package bad\nimport \"testing\"\nfunc TestBad(t *testing.T) { t.Run(\"row\", func(t *testing.T) { t.Fatal(\"the cause\") }) }\n",
		"panics/a_test.go":  "package panics\nimport \"testing\"\nfunc TestPanics(t *testing.T) { panic(\"the panic\") }\n",
		"exits/a_test.go":   "package exits\nimport (\"os\"; \"testing\")\nfunc TestExits(t *testing.T) { os.Exit(3) }\n",
		"broken/a_test.go":  "package broken\nimport \"testing\"\nfunc TestBroken(t *testing.T) { undefined() }\n",
		"missing/a_test.go": "package missing\nimport _ \"m/nowhere\"\n",
		"empty/a.go":        "package empty\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "test", "-json", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	events, runErr := cmd.Output()

	var out strings.Builder
	count := tally.New(&out)
	if err := count.Read(strings.NewReader(string(events))); err != nil {
		t.Fatal(err)
	}
	if count.Close(runErr) {
		t.Error("a run with failures was called good")
	}
	for _, want := range []string{
		"\n1 passed, 5 failed\n", "ok   m/good ", "FAIL m/bad ", "the cause", "panic: the panic", "undefined: undefined", "m/nowhere",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report doesn't say %q", want)
		}
	}
	if strings.Contains(out.String(), "quiet") {
		t.Error("the report tells what a good test logged")
	}
	if t.Failed() {
		t.Logf("report:\n%s", out.String())
	}
}
