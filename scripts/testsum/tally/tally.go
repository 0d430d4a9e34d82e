// Package tally reads the events of "go test -json" and counts what they say.
//
// A test counts once if it has no subtests of its own; a test with subtests is the sum of them, and counts by itself
// only where it failed and none of them did. A test that never ended, because its package crashed or ran out of time,
// failed. A package that failed without a failed test (it did not build, or died outside of any) is one failure.
//
// tally.go reads the stream and writes the report; package.go holds one package's tests until it ends.
package tally

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Tally counts one run.
type Tally struct {
	out     io.Writer
	open    map[string]*pkg // packages that have not ended, by import path
	passed  int
	failed  int
	skipped int
}

// New makes a Tally that reports to out.
func New(out io.Writer) *Tally {
	return &Tally{out: out, open: map[string]*pkg{}}
}

// event is one line of "go test -json"; see "go doc test2json" and "go help buildjson".
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64 // seconds
	Output  string
}

// Read takes events until the stream ends. A line that is none, such as what a test's child process wrote past the
// test's own output, is passed on as it is.
func (t *Tally) Read(stream io.Reader) error {
	lines := bufio.NewReader(stream)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			t.add(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the events: %w", err)
		}
	}
}

func (t *Tally) add(line []byte) {
	var e event
	if !bytes.HasPrefix(line, []byte("{")) || json.Unmarshal(line, &e) != nil || e.Action == "" {
		t.print(string(line))
		return
	}
	switch {
	case e.Action == "build-output":
		t.print(e.Output)
	case e.Package == "": // build-fail: the package that could not be built for it fails next
	case e.Test != "":
		t.pkg(e.Package).add(e)
	case e.Action == "output":
		p := t.pkg(e.Package)
		p.output = append(p.output, e.Output)
	case e.Action == "pass", e.Action == "fail", e.Action == "skip":
		t.end(e.Package, e.Action, e.Elapsed)
	}
}

func (t *Tally) pkg(path string) *pkg {
	p := t.open[path]
	if p == nil {
		p = newPkg()
		t.open[path] = p
	}
	return p
}

// end counts and reports a package that has ended with the action.
func (t *Tally) end(path, action string, seconds float64) {
	p := t.pkg(path)
	delete(t.open, path)
	passed, failed, skipped := p.results()
	faults := len(failed)
	if action == "fail" && faults == 0 {
		faults = 1 // it did not build, or died outside of any test
	}
	t.passed += passed
	t.failed += faults
	t.skipped += len(skipped)
	if action != "fail" && passed+len(skipped) == 0 {
		return // a package without tests
	}
	word := "ok  "
	if action == "fail" {
		word = "FAIL"
	}
	t.print(fmt.Sprintf("%s %s %.1fs (%d passed, %d failed)\n", word, path, seconds, passed, faults))
	for _, s := range skipped {
		t.print(s.told())
	}
	if action != "fail" {
		return
	}
	for _, f := range p.failures() {
		t.print(f.told())
	}
	for _, line := range p.output {
		t.print(line)
	}
}

// Close counts what the end of the stream left open, says how the command itself ended where that tells more, and
// writes the closing line. It reports whether the run is good: something ran, and nothing failed.
func (t *Tally) Close(commandErr error) bool {
	for path := range t.open {
		t.end(path, "fail", 0)
	}
	if commandErr != nil && t.failed == 0 {
		t.print(fmt.Sprintf("the test command itself failed: %v\n", commandErr))
		t.failed++
	}
	ran := t.passed + t.failed
	if ran == 0 {
		t.print("no test ran\n")
	}
	closing := fmt.Sprintf("%d passed, %d failed", t.passed, t.failed)
	if t.skipped > 0 {
		closing += fmt.Sprintf(", %d skipped", t.skipped)
	}
	t.print(closing + "\n")
	return ran > 0 && t.failed == 0
}

// print writes to a terminal or a log; where that is gone, the exit code still tells.
func (t *Tally) print(s string) { _, _ = io.WriteString(t.out, s) }
