package config

import (
	"io"
	"os"
)

// maxContent bounds a file whose content is taken over; the wrong file may be anything.
const maxContent = 1 << 20

// File is a file and what was in it when the configuration was read, so that a change of the file is a change of the
// configuration.
type File struct {
	Path    string // absolute; "" for none
	Content string
}

// String is the path.
func (f File) String() string { return f.Path }

// content reads the file that a key names.
func (c *checker) content(v text, path string) File {
	name := c.file(v, path)
	if name == "" {
		return File{}
	}
	file, err := os.Open(name)
	if err != nil {
		return File{Path: name} // said already
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxContent+1))
	switch {
	case err != nil:
		c.unreadable(v, path, err)
	case len(data) > maxContent:
		c.fault(v.Pos, path, "the file is larger than 1 MiB", "name the right file")
	}
	return File{Path: name, Content: string(data)}
}
