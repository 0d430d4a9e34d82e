package mapping

// MatchGlob reads a pattern and matches a value against it.
func MatchGlob(pattern, value string) (bool, error) {
	g, err := parseGlob(pattern)
	return err == nil && g.match(value), err
}

// RemakePageToken reads a page token and makes it again.
func RemakePageToken(token string) (again string, ok bool) {
	b, after, ok := decodePageToken(token)
	return b.encode(after), ok
}
