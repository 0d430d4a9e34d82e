package saml

import (
	"context"
	"fmt"
	"time"

	"github.com/lakegate/sts/identity"
)

// expiring is how long before its end a certificate is told of.
const expiring = 30 * 24 * time.Hour

// Examine reads a provider's metadata anew and says how that went. It serves people who look for what is wrong, and
// changes nothing but what a refresh changes.
func (p *Pool) Examine(ctx context.Context, name string) identity.Examination {
	for _, provider := range p.current.Load().providers {
		if provider.Name == name {
			found := provider.examine(ctx, p.now())
			return identity.Examination{Leeway: provider.ClockSkew, Ahead: provider.source.clock.Ahead(), Findings: []identity.Finding{found}}
		}
	}
	return identity.Examination{Findings: []identity.Finding{{
		Part: "configuration", Fault: true, Text: "there is no such identity provider; add it to identity_providers",
	}}}
}

func (p *provider) examine(ctx context.Context, now time.Time) identity.Finding {
	_ = p.source.flights.Start(now).Wait(ctx) // trouble says it
	f := identity.Finding{Part: "metadata"}
	keys := p.source.keys(now)
	if len(keys) == 0 {
		setting := "saml.metadata_file"
		if p.MetadataURI != "" {
			setting = "saml.metadata_uri, or let this host reach it"
		}
		f.Fault, f.Text = true, fmt.Sprintf("there is no certificate to verify assertions by (%s); mend %s", p.source.trouble(now), setting)
		return f
	}
	last := keys[0].notAfter
	for _, k := range keys {
		if k.notAfter.After(last) {
			last = k.notAfter
		}
	}
	f.Text = fmt.Sprintf("it is there, with certificates to verify assertions by: %d, the last until %s", len(keys), last.UTC().Format(time.DateOnly))
	if last.Sub(now) < expiring {
		f.Text += ", which is soon: have the identity provider publish a new one"
	}
	return f
}
