package strictyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxFaults bounds what one file can make us say: beyond it a reader needs another look at the file, not more lines.
const maxFaults = 1000

// Pos is where something stands: lines and columns count from 1, columns in characters. The zero Pos is "nowhere": the value was
// not in the file.
type Pos struct {
	File         string
	Line, Column int
}

// IsZero says that nothing stood in the file.
func (p Pos) IsZero() bool { return p.Line == 0 }

// String is file:line:column, as editors and compilers write it.
func (p Pos) String() string {
	if p.IsZero() {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column)
}

// Fault is one thing that is wrong in a file.
type Fault struct {
	Pos     Pos
	Path    string // where in the structure: "clients.kong.limits", "rule data-science"; may be empty
	Message string // what is wrong
	Mend    string // what to do about it; may be empty
}

// String is "file:line:column: path: message; mend".
func (f Fault) String() string {
	var b strings.Builder
	for _, part := range []string{f.Pos.String(), f.Path} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	b.WriteString(f.Message)
	if f.Mend != "" {
		b.WriteString("; " + f.Mend)
	}
	return b.String()
}

// Faults is everything that is wrong in one or more files. The zero value has no fault.
type Faults []Fault

// Add records a fault.
func (f *Faults) Add(pos Pos, path, message, mend string) {
	if len(*f) <= maxFaults {
		*f = append(*f, Fault{Pos: pos, Path: path, Message: message, Mend: mend})
	}
}

// Err is nil without faults, else the Faults themselves, sorted by file, line and column, as an error.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	sorted := slices.Clone(f)
	slices.SortStableFunc(sorted, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return sorted
}

// Error has one line per fault.
func (f Faults) Error() string {
	var b strings.Builder
	for i, fault := range f {
		if i == maxFaults {
			b.WriteString("\nthere are more faults; mend these first")
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(fault.String())
	}
	return b.String()
}

// Problem is the error by which a scalar type of the caller's (ScalarUnmarshaler) says what is wrong and how to mend it.
type Problem struct{ Message, Mend string }

// Problemf makes a Problem; args belong to the message.
func Problemf(mend, format string, args ...any) error {
	return &Problem{Message: fmt.Sprintf(format, args...), Mend: mend}
}

func (p *Problem) Error() string {
	if p.Mend == "" {
		return p.Message
	}
	return p.Message + "; " + p.Mend
}
