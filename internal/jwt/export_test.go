package jwt

// ParseJWS is Parse for any payload: the vectors of others sign words, not claims.
func ParseJWS(text string) (*Token, error) { return parseJWS(text) }
