package mapping

// MatchGlob reads a pattern and matches a value against it.
func MatchGlob(pattern, value string) (bool, error) {
	g, err := parseGlob(pattern)
	return err == nil && g.match(value), err
}
