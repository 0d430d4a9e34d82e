package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/lakegate/sts/internal/strictyaml"
)

// checker collects the faults that only show once the whole file is decoded.
type checker struct {
	folder string // the file's; relative paths start there
	faults strictyaml.Faults
	where  map[string]strictyaml.Pos
	issuer string // ours

	guessed map[Digest]bool // see guessable.go; made when it is first needed
}

func (c *checker) fault(pos strictyaml.Pos, path, message, mend string) {
	c.faults.Add(pos, path, message, mend)
}

// missing faults the mapping at pos for a key that it needs.
func (c *checker) missing(pos strictyaml.Pos, path, key, mend string) {
	c.fault(pos, path, "missing key "+strconv.Quote(key), mend)
}

// check faults a value for what a ScalarUnmarshaler would have said of it.
func (c *checker) check(pos strictyaml.Pos, path string, err error) {
	var p *strictyaml.Problem
	if errors.As(err, &p) {
		c.fault(pos, path, p.Message, p.Mend)
	}
}

// span is a length of time with its default and its bounds; most zero means no upper one.
func (c *checker) span(v duration, path string, otherwise, least, most time.Duration) time.Duration {
	d := time.Duration(v.Or(strictyaml.Duration(otherwise)))
	switch {
	case d < least:
		c.fault(v.Pos, path, "shorter than "+strictyaml.Duration(least).String(), "make it longer, or leave it out for "+strictyaml.Duration(otherwise).String())
	case most > 0 && d > most:
		c.fault(v.Pos, path, "longer than "+strictyaml.Duration(most).String(), "make it shorter, or leave it out for "+strictyaml.Duration(otherwise).String())
	}
	return d
}

// path is absolute: relative ones start at the file's folder. An absent one is its default, "" if that is empty.
func (c *checker) path(v text, path, otherwise string) string {
	name := v.Or(otherwise)
	switch {
	case v.Set() && name == "":
		c.fault(v.Pos, path, "an empty path", "name a file or folder, or leave the key out")
		return ""
	case name == "" || filepath.IsAbs(name):
		return filepath.Clean(name)
	}
	return filepath.Join(c.folder, name)
}

// file is the path of a file that must be there and readable, "" if it is absent.
func (c *checker) file(v text, path string) string {
	if !v.Set() {
		return ""
	}
	name := c.path(v, path, "")
	if name == "" {
		return ""
	}
	c.unreadable(v, path, probe(name))
	return name
}

// probe opens a file and closes it again.
func probe(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		return errIsFolder
	}
	return err
}

var errIsFolder = errors.New("is a folder")

// unreadable faults a file that can't be read. It doesn't repeat the path: somebody may have written the secret itself there.
func (c *checker) unreadable(v text, path string, err error) {
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		c.fault(v.Pos, path, "there is no such file", "make it, or mend the path; relative paths start at this file's folder")
	case errors.Is(err, fs.ErrPermission):
		c.fault(v.Pos, path, "the file must not be read by us", "let the service's user read it")
	case errors.Is(err, errIsFolder):
		c.fault(v.Pos, path, "a folder", "name a file in it")
	default:
		c.fault(v.Pos, path, "the file can't be read", "mend the path, or the file")
	}
}

// named checks the keys of a mapping of named parts, and remembers where each stands.
func named[T any](c *checker, m strictyaml.Map[T], section string, check func(string) error) {
	for _, e := range m.Entries {
		c.where[section+"."+e.Key] = e.Pos
		c.check(e.Pos, section, check(e.Key))
	}
}

// list is a list with at least one item and no repetition.
type list[T comparable] struct {
	Pos   strictyaml.Pos
	Items []strictyaml.Value[T]
}

// UnmarshalNode implements strictyaml.Unmarshaler.
func (l *list[T]) UnmarshalNode(n strictyaml.Node) bool {
	if n.Kind() == strictyaml.Sequence && n.Len() == 0 {
		n.Fault("an empty list", "name at least one")
		return false
	}
	if !n.Decode(&l.Items) {
		return false
	}
	l.Pos = n.Pos()
	seen := map[T]bool{}
	for _, item := range l.Items {
		if seen[item.V] {
			n.FaultAt(item.Pos, "the same value again", "keep one")
		}
		seen[item.V] = true
	}
	return true
}

func (l list[T]) set() bool { return !l.Pos.IsZero() }

// values are the items without their positions.
func (l list[T]) values() []T {
	var values []T
	for _, item := range l.Items {
		values = append(values, item.V)
	}
	return values
}

func toStrings[T ~string](values []T) []string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}
