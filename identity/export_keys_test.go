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
