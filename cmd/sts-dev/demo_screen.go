package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// screen shows the story. Each kind of line has its own margin, so that it can be told apart without colours: prose
// begins at the edge, commands four blanks in, answers behind an arrow, checks behind their mark.
type screen struct {
	out     io.Writer
	colours bool
	checks  int
	failed  int
}

const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

// newScreen shows colours on a terminal, unless $NO_COLOR says otherwise (no-color.org).
func newScreen(out io.Writer) *screen {
	f, isFile := out.(*os.File)
	if !isFile || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return &screen{out: out}
	}
	info, err := f.Stat()
	return &screen{out: out, colours: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (s *screen) paint(colour, text string) string {
	if !s.colours {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (s *screen) title(text string) {
	fmt.Fprintf(s.out, "%s\n\n", s.paint(bold, text))
}

// prose is text for the reader.
func (s *screen) prose(lines ...string) {
	fmt.Fprintf(s.out, "%s\n\n", strings.Join(lines, "\n"))
}

// gap parts what was checked from what follows.
func (s *screen) gap() { fmt.Fprintln(s.out) }

// command is what the reader can paste.
func (s *screen) command(lines ...string) {
	for _, l := range lines {
		for part := range strings.SplitSeq(l, "\n") {
			fmt.Fprintf(s.out, "    %s\n", s.paint(cyan, part))
		}
	}
	fmt.Fprintln(s.out)
}

// long are texts that nobody reads, as tokens are.
var long = regexp.MustCompile(`[A-Za-z0-9_.\-]{60,}`)

func shorten(text string) string {
	return long.ReplaceAllStringFunc(text, func(t string) string { return t[:12] + "…" })
}

// answer is what a command gave back: JSON in lines if it is long.
func (s *screen) answer(text string) {
	text = shorten(text)
	var lines bytes.Buffer
	if len(text) > 90 && json.Indent(&lines, []byte(text), "    ", "  ") == nil {
		text = lines.String()
	}
	fmt.Fprintf(s.out, "  → %s\n\n", s.paint(dim, text))
}

// field is a member of a record that is shown, and what the reader should know of it.
type field struct{ name, gloss string }

// record shows members of a record of the audit log.
func (s *screen) record(r object, fields ...field) {
	fmt.Fprintf(s.out, "  → %s %s\n", r.get("type"), s.paint(dim, r.get("id")))
	for _, f := range fields {
		value := r.get(f.name)
		if value == "" {
			continue
		}
		line := fmt.Sprintf("      %-17s %s", f.name, shorten(value))
		if f.gloss != "" {
			line = fmt.Sprintf("%-62s %s", line, s.paint(dim, f.gloss))
		}
		fmt.Fprintln(s.out, line)
	}
	fmt.Fprintln(s.out)
}

// check says whether a claim of the story holds.
func (s *screen) check(holds bool, claim string, args ...any) {
	s.checks++
	claim = fmt.Sprintf(claim, args...)
	if holds {
		fmt.Fprintf(s.out, "  %s %s\n", s.paint(green, "✓"), claim)
		return
	}
	s.failed++
	fmt.Fprintf(s.out, "  %s\n", s.paint(red, "✗ does not hold: "+claim))
}

// verdict is an error if a claim did not hold.
func (s *screen) verdict() error {
	if s.failed > 0 {
		return fmt.Errorf("%d of %d checks did not hold", s.failed, s.checks)
	}
	return nil
}
