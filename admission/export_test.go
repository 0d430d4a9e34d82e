package admission

// Offenders is how many entries the table of strikes holds.
func (g *Gate) Offenders() int {
	g.strikes.mu.Lock()
	defer g.strikes.mu.Unlock()
	return len(g.strikes.young) + len(g.strikes.old)
}

// RewriteClaims is the ledger's list of claims, read and written again.
func RewriteClaims(text []byte) ([]byte, error) {
	c, err := decodeClaims(text)
	if err != nil {
		return nil, err
	}
	return c.encode(), nil
}
