package strictyaml

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Name is the name of a rule, a principal, a workspace, a provider: [a-z0-9][a-z0-9._-]*, at most 128 characters.
type Name string

// NamePattern is what a Name matches.
const NamePattern = `[a-z0-9][a-z0-9._-]*`

var nameRegexp = regexp.MustCompile(`^` + NamePattern + `$`)

const maxName = 128

// CheckName says what is wrong with a name, as a Problem; nil if nothing is.
func CheckName(name string) error {
	switch {
	case len(name) > maxName:
		return Problemf("shorten it to at most "+strconv.Itoa(maxName)+" characters", "a name of %d characters", len(name))
	case !nameRegexp.MatchString(name):
		return Problemf("names match "+NamePattern, "%q is not a name", name)
	}
	return nil
}

// UnmarshalScalar implements ScalarUnmarshaler.
func (n *Name) UnmarshalScalar(text string) error {
	*n = Name(text)
	return CheckName(text)
}

// Duration is a span of time as Go writes it: 30s, 15m, 24h. It is never negative.
type Duration time.Duration

// String is the shortest way to write it: 24h, not 24h0m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// UnmarshalScalar implements ScalarUnmarshaler.
func (d *Duration) UnmarshalScalar(text string) error {
	v, err := time.ParseDuration(text)
	if err != nil {
		return Problemf("write a number and a unit, like 30s, 15m or 24h", "%q is not a duration", text)
	}
	if v < 0 {
		return Problemf("leave the sign out", "a duration can't be negative")
	}
	*d = Duration(v)
	return nil
}

// OneOf is nil if text is one of the known words, else a Problem that suggests the nearest. It serves a ScalarUnmarshaler for a
// closed list of words.
func OneOf(text string, known ...string) error {
	for _, k := range known {
		if k == text {
			return nil
		}
	}
	if near := Nearest(text, known); near != "" {
		return Problemf("did you mean "+strconv.Quote(near)+"?", "unknown value %q", text)
	}
	return Problemf("write "+orList(known), "unknown value %q", text)
}

// orList is "a", "a or b", "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
