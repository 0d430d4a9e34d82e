package config

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/lakegate/sts/internal/strictyaml"
)

// This file is about platforms that issue tokens to workloads: CI services, whose issuer is everybody's; clusters, which
// publish their keys to who they know; SPIFFE trust domains, which have a bundle in place of an issuer.

const spiffeScheme = "spiffe://"

// everybodys are issuers of which anybody can have a token. A rule for one of them must say whose tokens it is for.
var everybodys = map[string]bool{
	"https://token.actions.githubusercontent.com": true,
	"https://gitlab.com":                          true,
	"https://accounts.google.com":                 true,
	"https://app.terraform.io":                    true,
	"https://agent.buildkite.com":                 true,
	"https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0": true, // personal accounts
}

// trustDomain is the name of a SPIFFE trust domain, without scheme (SPIFFE-ID §2.1).
type trustDomain string

var trustDomainName = regexp.MustCompile(`^[a-z0-9._-]{1,255}$`)

func (d *trustDomain) UnmarshalScalar(text string) error {
	*d = trustDomain(text)
	if bare, had := strings.CutPrefix(text, spiffeScheme); had {
		return strictyaml.Problemf("write "+bare, "a trust domain is written without its scheme")
	}
	if !trustDomainName.MatchString(text) {
		return strictyaml.Problemf("write it in small letters, digits, dots, dashes and underscores, like acme.example", "%q is no trust domain", text)
	}
	return nil
}

// providerIssuer is an issuerURL, or the trust domain that stands for one.
type providerIssuer string

func (i *providerIssuer) UnmarshalScalar(text string) error {
	*i = providerIssuer(text)
	if strings.HasPrefix(text, spiffeScheme) {
		return nil // what it must be is known where trust_domain is
	}
	return new(issuerURL).UnmarshalScalar(text)
}

// platform reads what of a provider depends on the platform that it is.
func (c *checker) platform(f *providerFile, path string, p *Provider) {
	p.JWKSCAFile = c.file(f.JWKSCAFile, path+".jwks_ca_file")
	p.JWKSTokenFile = c.file(f.JWKSTokenFile, path+".jwks_token_file")
	if f.JWKSCAFile.Set() && f.JWKSFile.Set() {
		c.fault(f.JWKSCAFile.Pos, path+".jwks_ca_file", "a CA for keys that are fetched, and jwks_file is not", "keep one")
	}
	if f.JWKSTokenFile.Set() && !strings.HasPrefix(p.JWKSURI, "https://") {
		c.fault(f.JWKSTokenFile.Pos, path+".jwks_token_file", "a bearer token, and no https address that is configured to send it to", "add jwks_uri, like https://kubernetes.default.svc/openid/v1/jwks")
	}
	c.trustDomain(f, path, p)
	switch {
	case !everybodys[p.Issuer] || p.Shared:
	case p.Preset != "" && f.Shared.Set():
		c.fault(f.Shared.Pos, path+".shared", "this issuer is everybody's", "leave it out")
	default:
		c.fault(f.Issuer.Pos, path, "this issuer is everybody's", "write shared: true, so that every rule for it must say whose tokens it means")
	}
}

// trustDomain holds what is different where the tokens are JWT-SVIDs.
func (c *checker) trustDomain(f *providerFile, path string, p *Provider) {
	if !f.TrustDomain.Set() {
		switch {
		case f.Keys.Has("trust_domain"): // its own fault stands already
		case f.Preset.V == presetSPIFFE:
			c.missing(f.Pos, path, "trust_domain", "add it: the name behind spiffe://, like acme.example")
		case strings.HasPrefix(p.Issuer, spiffeScheme):
			c.fault(f.Issuer.Pos, path+".issuer", "a trust domain in place of an issuer", "write preset: spiffe and trust_domain: "+strconv.Quote(strings.TrimPrefix(p.Issuer, spiffeScheme)))
		}
		return
	}
	p.TrustDomain = string(f.TrustDomain.V)
	issuer := spiffeScheme + p.TrustDomain
	if f.Issuer.Set() && p.Issuer != issuer {
		c.fault(f.Issuer.Pos, path+".issuer", "an issuer beside trust_domain: whatever iss a JWT-SVID has, what stands for it is "+issuer, "leave it out")
	}
	p.Issuer = issuer
	if !f.Keys.Has("jwks_uri") && !f.Keys.Has("jwks_file") {
		c.missing(f.Pos, path, "jwks_uri", "add it, or jwks_file: the trust domain's bundle")
	}
	for i, item := range f.TokenTypes.Items {
		if item.V != tokenJWT {
			c.fault(item.Pos, path+".token_types["+strconv.Itoa(i)+"]", "JWT-SVIDs are presented as jwt", "leave it out")
		}
	}
	for _, claim := range p.SubjectClaim {
		if claim != "sub" {
			c.fault(f.SubjectClaim.Pos, path+".subject_claim", "the SPIFFE ID of a JWT-SVID is its sub", "leave it out")
			break
		}
	}
}
