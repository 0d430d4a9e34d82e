package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// The colours of what is told to people.
const (
	plain  = ""
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// screen is where people read.
type screen struct {
	out     io.Writer
	colours bool
}

// screenOf paints on a terminal alone, and not where $NO_COLOR asks for none (no-color.org).
func screenOf(out io.Writer) screen {
	return screen{out: out, colours: isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func isTerminal(w any) bool {
	f, isFile := w.(*os.File)
	if !isFile {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (s screen) paint(c cell) string {
	if !s.colours || c.colour == plain || c.text == "" {
		return c.text
	}
	return "\x1b[" + c.colour + "m" + c.text + "\x1b[0m"
}

// cell is a text in its colour.
type cell struct{ text, colour string }

// column is a column of a table; what is longer than most is shortened in its middle, unless that is 0.
type column struct {
	name string
	most int
}

// table is aligned as far as it has been printed: a column gets wider with what comes, and never narrower.
type table struct {
	screen
	columns []column
	widths  []int // nil until the head is printed
}

// print prints rows, aligned to each other and to those before them, and ahead of the first ones the head.
func (t *table) print(rows ...[]cell) error {
	if t.widths == nil {
		t.widths = make([]int, len(t.columns))
		head := make([]cell, len(t.columns))
		for i, c := range t.columns {
			head[i] = cell{c.name, faint}
		}
		rows = append([][]cell{head}, rows...)
	}
	for _, row := range rows {
		for i := range row {
			row[i].text = elide(shown(row[i].text), t.columns[i].most)
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		blanks := 0
		for i, c := range row {
			if c.text != "" {
				b.WriteString(strings.Repeat(" ", blanks))
				b.WriteString(t.paint(c))
				blanks = 0
			}
			blanks += t.widths[i] - utf8.RuneCountInString(c.text) + 2
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(t.out, b.String())
	return err
}

// elide takes a text's middle out where it is too long: names tell themselves apart by either end.
func elide(text string, most int) string {
	n := utf8.RuneCountInString(text)
	if most == 0 || n <= most {
		return text
	}
	runes := []rune(text)
	head := (most - 1) / 2
	return string(runes[:head]) + "…" + string(runes[n-(most-1-head):])
}

// shown is a text as it can't do anything to a terminal: callers have put into records what they liked.
func shown(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) < 0 {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case r > 0xffff && !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		text = text[n:]
	}
	return b.String()
}

// stamp is a time as people compare it: in UTC, to the second.
func stamp(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Format(time.DateTime) + "Z"
}
