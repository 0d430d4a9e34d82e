package identity

import (
	"context"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/internal/refusal"
)

// RefreshDue does what Run does each second, and waits for what it started.
func (p *Pool) RefreshDue() {
	p.refreshDue()
	for _, provider := range p.current.Load().providers {
		if flight := provider.keys.flights.UnderWay(); flight != nil {
			_ = flight.Wait(context.Background())
		}
		if i := provider.introspector; i != nil {
			i.mu.Lock()
			probe := i.probe
			i.mu.Unlock()
			if probe != nil {
				<-probe
			}
		}
	}
}

// Inquiries is how many tokens a provider is being asked about, or is about to be.
func (p *Pool) Inquiries(name string) int {
	for _, provider := range p.current.Load().providers {
		if provider.Name == name {
			provider.introspector.mu.Lock()
			defer provider.introspector.mu.Unlock()
			return len(provider.introspector.inquiries)
		}
	}
	return 0
}

// VerifyAnew verifies a subject token as if it had not been seen before.
func (p *Pool) VerifyAnew(ctx context.Context, presented exchange.Presented) error {
	t := &trial{Refuser: refusal.Refuser{Use: exchange.UseSubject}, now: p.now(), declared: presented.Type, sum: sumOf(presented.Token.Reveal())}
	_, err := t.run(ctx, p.current.Load(), presented.Token.Reveal())
	return err
}

// ReadDelegation reads act and may_act of a subject token's claims, for which every issuer is one that nobody knows.
func ReadDelegation(claims map[string]any) ([]exchange.Actor, map[string]any, error) {
	r := refusal.Refuser{Use: exchange.UseSubject}
	issuer, _ := claims["iss"].(string)
	actors, err := actorsOf(r, claims, issuer, func(issuer string) (string, string, string) { return "", issuer, "" })
	if err != nil {
		return nil, nil, err
	}
	members, err := mayActOf(r, claims)
	return actors, members, err
}
