package mapping

import (
	"strings"
	"unicode/utf8"

	"github.com/lakegate/sts/internal/strictyaml"
)

// glob is a pattern for a whole value: * stands for any run of characters, also none, ? for exactly one; everything
// else, also its case, for itself.
type glob struct {
	pattern string
	// prefix is what every match starts with: the pattern up to its first wildcard.
	prefix string
	// literal says that there is no wildcard.
	literal bool
}

const maxPattern = 255 // bytes; no subject is longer

// parseGlob reads a pattern. What other languages take for a pattern is refused, since it would match nothing here and
// look as if it did.
func parseGlob(pattern string) (glob, error) {
	switch {
	case pattern == "":
		return glob{}, strictyaml.Problemf(`write "*" for any, or leave the key out`, "an empty pattern matches nobody")
	case len(pattern) > maxPattern:
		return glob{}, strictyaml.Problemf("shorten it", "a pattern of %d bytes; no subject is longer than %d", len(pattern), maxPattern)
	case strings.TrimSpace(pattern) != pattern || strings.ContainsFunc(pattern, isControl):
		return glob{}, strictyaml.Problemf("remove them", "the pattern has white space at its ends, or control characters")
	case strings.Contains(pattern, "**"):
		return glob{}, strictyaml.Problemf("write a single *, which also crosses slashes", `"**" is no pattern here`)
	case strings.ContainsAny(pattern, `[]{}\`):
		return glob{}, strictyaml.Problemf("list the alternatives one by one, and stand ? for such a character where a subject has it",
			`brackets, braces and backslashes are no patterns here`)
	case strings.HasPrefix(pattern, "^") || strings.HasSuffix(pattern, "$"):
		return glob{}, strictyaml.Problemf("leave ^ and $ out", "this is a regular expression; patterns are globs, and always match the whole value")
	case !utf8.ValidString(pattern):
		return glob{}, strictyaml.Problemf("write UTF-8", "the pattern is not text")
	}
	end := strings.IndexAny(pattern, "*?")
	if end < 0 {
		return glob{pattern: pattern, prefix: pattern, literal: true}, nil
	}
	return glob{pattern: pattern, prefix: pattern[:end]}, nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// isOpen says that nothing in the pattern narrows whom it matches.
func (g glob) isOpen() bool { return strings.Trim(g.pattern, "*?") == "" }

// match compares a whole value. It takes at most len(value) times len(pattern) steps: only the last * is ever tried
// again, since what an earlier one takes can only be given up to it.
func (g glob) match(value string) bool {
	if g.literal {
		return value == g.pattern
	}
	if !strings.HasPrefix(value, g.prefix) {
		return false
	}
	p, v := len(g.prefix), len(g.prefix)
	star, retry := -1, 0
	for v < len(value) {
		_, size := utf8.DecodeRuneInString(value[v:])
		switch {
		case p < len(g.pattern) && g.pattern[p] == '*':
			star, retry = p, v
			p++
		case p < len(g.pattern) && g.pattern[p] == '?':
			p, v = p+1, v+size
		case p < len(g.pattern) && g.pattern[p] == value[v]:
			p, v = p+1, v+1
		case star >= 0:
			_, size = utf8.DecodeRuneInString(value[retry:])
			retry += size
			p, v = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(g.pattern[p:], "*") == ""
}
