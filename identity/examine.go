package identity

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lakegate/sts/identity/internal/refusal"
	"github.com/lakegate/sts/internal/jwt"
)

// Finding is one thing that was looked at of a provider.
type Finding struct {
	// Part is what was looked at: discovery, keys, introspection, and whatever else another package looks at.
	Part string
	// Fault says that tokens are refused for it, or soon will be.
	Fault bool
	// Text is one sentence. That of a fault ends with what to mend, by the names of settings.
	Text string
}

// Examination is what a look at one provider found.
type Examination struct {
	Findings []Finding
	// Ahead is how far its clock is ahead of ours, by the Date of its answers; nil where that isn't known.
	Ahead *time.Duration
	// Leeway is how far it may be.
	Leeway time.Duration
}

func (e *Examination) well(part, format string, args ...any) {
	e.Findings = append(e.Findings, Finding{Part: part, Text: fmt.Sprintf(format, args...)})
}

func (e *Examination) fault(part, format string, args ...any) {
	e.Findings = append(e.Findings, Finding{Part: part, Fault: true, Text: fmt.Sprintf(format, args...)})
}

// Examine asks a provider anew for all that its tokens are verified by, and says how that went. It serves people who
// look for what is wrong, and changes nothing but what a refresh changes.
func (p *Pool) Examine(ctx context.Context, name string) Examination {
	var e Examination
	for _, provider := range p.current.Load().providers {
		if provider.Name != name {
			continue
		}
		e.Leeway = provider.ClockSkew
		if provider.usesKeys() {
			provider.examineKeys(ctx, &e, p.now())
		}
		if provider.introspector != nil {
			provider.examineIntrospection(ctx, &e)
		}
		e.Ahead = provider.skew.date.Ahead()
		return e
	}
	e.fault("configuration", "there is no such identity provider; add it to identity_providers")
	return e
}

func (p *provider) examineKeys(ctx context.Context, e *Examination, now time.Time) {
	err := p.keys.flights.Start(now).Wait(ctx)
	byDiscovery := p.JWKSURI == "" && p.JWKSFile == ""
	if errors.Is(err, errDiscovery) {
		p.examineDiscovery(e, err)
		return
	}
	if byDiscovery {
		e.well("discovery", "its document is there, and its issuer is the configured one")
	}
	if err != nil {
		e.fault("keys", "its keys can't be had (%s); %s", err, p.mendKeys())
		return
	}
	p.examineKeySet(e, p.keys.set.Load(), now)
}

func (p *provider) examineDiscovery(e *Examination, err error) {
	var other *otherIssuer
	if errors.As(err, &other) {
		e.fault("discovery", "its document calls the issuer %q, and the configuration %q; they must be equal byte for byte, so set issuer to what the document and the tokens have",
			other.found[:min(len(other.found), 200)], p.Issuer)
		return
	}
	e.fault("discovery", "its discovery document can't be used (%s); mend issuer, let this host reach it, or set jwks_uri or jwks_file", err)
}

// mendKeys is what to look at where keys can't be had.
func (p *provider) mendKeys() string {
	switch {
	case p.JWKSFile != "":
		return "mend jwks_file"
	case p.JWKSURI != "":
		return "mend jwks_uri, or let this host reach it"
	}
	return "let this host reach the jwks_uri of its discovery document, or set jwks_file"
}

func (p *provider) examineKeySet(e *Examination, set *keySet, now time.Time) {
	skipped := ""
	if n := len(set.skipped); n > 0 {
		skipped = fmt.Sprintf("; %d not used, of which the first %s", n, set.skipped[0].Reason)
	}
	if len(set.keys) == 0 {
		e.fault("keys", "it publishes no key that can be used%s; have the provider publish its signing keys, or mend jwks_uri", skipped)
		return
	}
	var signs, usable []string
	for _, algorithm := range jwt.Algorithms() {
		if !slices.ContainsFunc(set.keys, func(k *key) bool { return k.Fits(algorithm) }) {
			continue
		}
		signs = append(signs, algorithm)
		if slices.Contains(p.Algorithms, algorithm) {
			usable = append(usable, algorithm)
		}
	}
	if len(usable) == 0 {
		e.fault("keys", "its keys are for %s, and algorithms allows %s alone%s; add to algorithms what its tokens are signed by",
			refusal.Joined(signs), refusal.Joined(p.Algorithms), skipped)
		return
	}
	e.well("keys", "%d that can be used, for %s of algorithms (%s)%s", len(set.keys), refusal.Joined(usable), p.age(now), skipped)
}

// age is how old the keys are.
func (p *provider) age(now time.Time) string {
	if p.JWKSFile == "" {
		return "fetched now"
	}
	info, err := os.Stat(p.JWKSFile)
	if err != nil {
		return "of a file that is gone"
	}
	return "of a file that was written " + strings.TrimSuffix(now.Sub(info.ModTime()).Round(time.Minute).String(), "0s") + " ago"
}

func (p *provider) examineIntrospection(ctx context.Context, e *Examination) {
	const part = "introspection"
	_, err := p.introspector.askNobodys(ctx)
	switch {
	case err == nil:
		e.well(part, "its endpoint knows us, and says of a token that nobody issued that it isn't active")
	case errors.Is(err, errCredential):
		e.fault(part, "%s; mend introspection.client_id or the secret beside it, and let that client introspect tokens", err)
	case errors.Is(err, errQuestion):
		e.fault(part, "%s; mend introspection.endpoint: it must be one of RFC 7662", err)
	default:
		e.fault(part, "it can't be asked about tokens (%s); mend introspection.endpoint, or let this host reach it", err)
	}
}
