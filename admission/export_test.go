package admission

// Offenders is how many entries the table of strikes holds.
func (g *Gate) Offenders() int {
	g.strikes.mu.Lock()
	defer g.strikes.mu.Unlock()
	return len(g.strikes.young) + len(g.strikes.old)
}
