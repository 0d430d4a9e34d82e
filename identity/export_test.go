package identity

// RefreshDue does what Run does each second, and waits for what it started.
func (p *Pool) RefreshDue() {
	p.refreshDue()
	for _, provider := range p.current.Load().providers {
		provider.keys.mu.Lock()
		flight := provider.keys.flight
		provider.keys.mu.Unlock()
		if flight != nil {
			<-flight.done
		}
	}
}
