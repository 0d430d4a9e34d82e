package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/lakegate/sts/internal/strictyaml"
)

// federated checks the clients that authenticate by a token of their platform, once providers and clients are known.
func (c *checker) federated(cfg *Config, clients strictyaml.Map[clientFile]) {
	first := map[[2]string]string{} // issuer and subject: whose
	for _, e := range clients.Entries {
		f, path := e.Value, "clients."+e.Key
		if f.AuthMethod.V != methodFederated {
			continue
		}
		if !f.Keys.Has("assertion_subject") {
			c.missing(f.Pos, path, "assertion_subject", "add it: the sub of its tokens, like system:serviceaccount:NAMESPACE:NAME, or its SPIFFE ID")
		}
		if !f.Keys.Has("assertion_provider") {
			c.missing(f.Pos, path, "assertion_provider", "add it: the identity provider that issues its tokens")
			continue
		}
		c.assertionProvider(cfg, f.AssertionProvider, path+".assertion_provider")
		if key, _, keyed := strings.Cut(f.AssertionSubject.V, ":"); keyed && cfg.IdentityProviders[f.AssertionProvider.V].Shared && !slices.Contains(tenantKeys, key) {
			c.fault(f.AssertionSubject.Pos, path+".assertion_subject", "a subject that anybody can give his own jobs, at an issuer that is everybody's", "write one that begins with its tenant, like repo:OWNER/NAME:environment:NAME or project_path:GROUP/NAME:…")
		}
		whom := [2]string{f.AssertionProvider.V, f.AssertionSubject.V}
		if other, taken := first[whom]; taken && whom[1] != "" {
			c.fault(f.AssertionSubject.Pos, path+".assertion_subject", "the same as that of client "+strconv.Quote(other), "give each client a workload of its own")
			continue
		}
		first[whom] = e.Key
	}
}

// tenantKeys are what a subject begins with where its tenant follows, at issuers of CI services. What else GitHub lets a
// repository's owner put there (environment:production) is the same in everybody's.
var tenantKeys = []string{"repo", "repository", "repository_id", "repository_owner", "repository_owner_id", "enterprise_id", "project_path", "organization"}

// assertionProvider wants a provider of JWTs, whose subjects' tokens are for another audience than ours: else whoever is
// given such a token, to exchange it, could say that he is the client whose token it is.
func (c *checker) assertionProvider(cfg *Config, v text, path string) {
	p, known := cfg.IdentityProviders[v.V]
	switch {
	case v.V == "": // that is said already
	case !known:
		c.fault(v.Pos, path, "unknown identity provider "+strconv.Quote(v.V), strictyaml.DidYouMean(v.V, providerNames(cfg), "add it under identity_providers"))
	case !slices.Contains(p.TokenTypes, tokenJWT):
		c.fault(v.Pos, path, "the tokens of this identity provider are not presented as jwt", "name a provider with jwt among its token_types, like one of preset kubernetes or spiffe")
	case len(p.Tenants) > 0:
		c.fault(v.Pos, path, "every token of Entra ID is an access token or an ID token, and neither authenticates a client", "name a provider of another kind, like one of preset kubernetes or spiffe")
	case slices.Contains(p.Audiences, cfg.Issuer):
		c.fault(v.Pos, path, "this identity provider's tokens for subjects are for our issuer, too, so that whoever exchanges one could pass for its subject", "give subjects' tokens another audience than "+cfg.Issuer)
	}
}

func providerNames(cfg *Config) (names []string) {
	for name := range cfg.IdentityProviders {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
