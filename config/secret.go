package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/lakegate/sts/internal/strictyaml"
)

// maxSecret bounds a file that holds a secret; the wrong file may be anything.
const maxSecret = 64 << 10

// Secret is a secret and where it came from; exactly one of File and Env is set, or none for no secret. However it is printed, only
// its source shows.
type Secret struct {
	File  string  // absolute path
	Env   string  // name of an environment variable
	value *string // behind a pointer, so that printing a struct around it can't show it
}

// Reveal returns the secret itself.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// String is the source.
func (s Secret) String() string {
	switch {
	case s.File != "":
		return "[from file " + s.File + "]"
	case s.Env != "":
		return "[from environment " + s.Env + "]"
	}
	return "[none]"
}

// Format implements fmt.Formatter, since %x and %#v would otherwise pass String by.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// secret reads what one of two keys names. Both, or none, is a fault.
func (c *checker) secret(file, env text, pos strictyaml.Pos, path, key string) Secret {
	switch {
	case file.Set() && env.Set():
		c.fault(env.Pos, path, "both "+key+"_file and "+key+"_env", "keep one")
		return Secret{}
	case file.Set():
		return c.secretFile(file, path+"."+key+"_file")
	case env.Set():
		return c.secretEnv(env, path+"."+key+"_env")
	}
	c.missing(pos, path, key+"_file", "add it, or "+key+"_env")
	return Secret{}
}

func (c *checker) secretFile(v text, path string) Secret {
	name := c.path(v, path, "")
	if name == "" {
		return Secret{}
	}
	value, err := readSecret(name)
	c.unreadable(v, path, err)
	if err == nil {
		c.secretValue(v, path, value)
	}
	return Secret{File: name, value: &value}
}

func (c *checker) secretEnv(v text, path string) Secret {
	value, ok := os.LookupEnv(v.V)
	if !ok {
		c.fault(v.Pos, path, "there is no environment variable of that name", "set it, or mend its name")
	} else {
		value = trimNewline(value)
		c.secretValue(v, path, value)
	}
	return Secret{Env: v.V, value: &value}
}

// secretValue refuses what can't be a secret: nothing, and texts that no header or form carries unharmed.
func (c *checker) secretValue(v text, path, value string) {
	switch {
	case value == "":
		c.fault(v.Pos, path, "the secret is empty", "write the secret there")
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }):
		c.fault(v.Pos, path, "the secret has characters that no secret has (control characters, line ends or non-ASCII)", "write the secret there alone, without quotes, on one line")
	}
}

func readSecret(name string) (string, error) {
	if err := probe(name); err != nil {
		return "", err
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxSecret {
		return "", errors.New("too large for a secret")
	}
	return trimNewline(string(data)), nil
}

// trimNewline takes one line end off, since editors and `echo` add one.
func trimNewline(s string) string { return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r") }
