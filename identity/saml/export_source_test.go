package saml

// Waiting is how many callers wait for metadata.
func (p *Pool) Waiting() (n int) {
	for _, provider := range p.current.Load().providers {
		n += provider.source.flights.Waiting()
	}
	return n
}
