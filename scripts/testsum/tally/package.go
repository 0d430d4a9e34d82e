package tally

import (
	"slices"
	"strings"
)

// pkg is what one package's tests have said so far.
type pkg struct {
	tests  map[string]*test
	order  []*test // as they started
	output []string
}

// test is one test or subtest.
type test struct {
	name     string
	parent   *test
	subtests int
	result   string // "" until it ends
	broken   bool   // one of its subtests failed
	output   []string
}

func newPkg() *pkg { return &pkg{tests: map[string]*test{}} }

func (p *pkg) add(e event) {
	t := p.test(e.Test)
	switch e.Action {
	case "output":
		if !isProgress(e.Output) {
			t.output = append(t.output, e.Output)
		}
	case "pass", "fail", "skip":
		t.result = e.Action
	}
}

func (p *pkg) test(name string) *test {
	if t := p.tests[name]; t != nil {
		return t
	}
	t := &test{name: name, parent: p.ancestor(name)}
	if t.parent != nil {
		t.parent.subtests++
	}
	p.tests[name] = t
	p.order = append(p.order, t)
	return t
}

// ancestor is the nearest test above name. Not every slash is a level: a subtest's own name may hold some.
func (p *pkg) ancestor(name string) *test {
	for {
		slash := strings.LastIndexByte(name, '/')
		if slash < 0 {
			return nil
		}
		name = name[:slash]
		if t := p.tests[name]; t != nil {
			return t
		}
	}
}

// results counts the tests of a package that has ended.
func (p *pkg) results() (passed int, failed, skipped []*test) {
	// Subtests start after their parents, so backwards every parent is met after all of its subtests.
	for _, t := range slices.Backward(p.order) {
		failing := t.result == "fail" || t.result == ""
		if t.parent != nil {
			t.parent.broken = t.parent.broken || failing || t.broken
		}
		switch {
		case failing && !t.broken:
			failed = append(failed, t)
		case t.subtests > 0:
		case t.result == "pass":
			passed++
		case t.result == "skip":
			skipped = append(skipped, t)
		}
	}
	return passed, failed, skipped
}

// failures are all tests whose output explains a failure: the failed ones, and those above them.
func (p *pkg) failures() []*test {
	return slices.DeleteFunc(slices.Clone(p.order), func(t *test) bool {
		return t.result == "pass" || t.result == "skip"
	})
}

// told is the test's output, with its name where the output doesn't say it.
func (t *test) told() string {
	said := strings.Join(t.output, "")
	if t.result == "" {
		return said + "--- FAIL: " + t.name + " (never ended)\n"
	}
	return said
}

func isProgress(line string) bool {
	for _, mark := range []string{"=== RUN", "=== PAUSE", "=== CONT", "=== NAME"} {
		if strings.HasPrefix(line, mark) {
			return true
		}
	}
	return false
}
