package identity

// Waiting is how many callers wait for keys.
func (p *Pool) Waiting() (n int) {
	for _, provider := range p.current.Load().providers {
		n += provider.keys.flights.Waiting()
	}
	return n
}

// ReadDiscovery finds where an issuer's keys are.
func ReadDiscovery(text, issuer string) (string, error) { return readDiscovery(text, issuer) }
