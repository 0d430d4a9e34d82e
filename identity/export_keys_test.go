package identity

// Waiting is how many callers wait for keys.
func (p *Pool) Waiting() (n int) {
	for _, provider := range p.current.Load().providers {
		provider.keys.mu.Lock()
		n += provider.keys.waiting
		provider.keys.mu.Unlock()
	}
	return n
}

// ReadDiscovery finds where an issuer's keys are.
func ReadDiscovery(text, issuer string) (string, error) { return readDiscovery(text, issuer) }
