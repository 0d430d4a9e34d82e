package exchange

import (
	"slices"
	"strings"
)

// ParseScope splits a scope parameter (RFC 6749 §3.3) into sorted, unique names. Order does not matter there, so
// equal sets give equal values.
func ParseScope(text string) ([]string, *Error) {
	var scopes []string
	for name := range strings.SplitSeq(text, " ") {
		if name == "" {
			continue
		}
		if !isScopeToken(name) {
			return nil, Refuse(CodeInvalidScope, ReasonRequestMalformed, "scope holds a character that RFC 6749 does not allow in a scope name; separate names by single spaces")
		}
		scopes = append(scopes, name)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), nil
}

func isScopeToken(name string) bool {
	for i := range len(name) {
		if c := name[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
