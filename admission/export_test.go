package admission

// Offenders is how many entries the table of strikes holds.
func (g *Gate) Offenders() int {
	g.strikes.mu.Lock()
	defer g.strikes.mu.Unlock()
	return len(g.strikes.young) + len(g.strikes.old)
}

// Sharers is how many subjects' and actors' limits are remembered.
func (g *Gate) Sharers() (subjects, actors int) {
	count := func(s *shares) int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.young) + len(s.old)
	}
	return count(&g.subjects), count(&g.actors)
}

// MaxSharers is the most of each.
const MaxSharers = 2 * maxSharers

// RewriteClaims is the ledger's list of claims, read and written again.
func RewriteClaims(text []byte) ([]byte, error) {
	c, err := decodeClaims(text)
	if err != nil {
		return nil, err
	}
	return c.encode(), nil
}
