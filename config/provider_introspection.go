package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/lakegate/sts/internal/strictyaml"
)

// Introspection says where a provider's access tokens are asked about (RFC 7662), and how we authenticate there.
type Introspection struct {
	Endpoint     string `yaml:"endpoint"`
	ClientID     string `yaml:"client_id"`
	ClientSecret Secret `yaml:"client_secret"`
	Prefix       string `yaml:"prefix,omitempty"` // how its opaque tokens begin; at most one provider has none
}

type introspectionFile struct {
	Pos              strictyaml.Pos
	Endpoint         strictyaml.Value[endpointURL] `yaml:"endpoint,required"`
	ClientID         strictyaml.Value[clientName]  `yaml:"client_id,required"`
	ClientSecretFile text                          `yaml:"client_secret_file"`
	ClientSecretEnv  text                          `yaml:"client_secret_env"`
	Prefix           strictyaml.Value[tokenPrefix] `yaml:"prefix"`
}

// introspection checks how a provider's access tokens are asked about, if they are.
func (c *checker) introspection(f *providerFile, path string, p *Provider) {
	if !f.Introspection.Set() {
		return
	}
	in, pos := &f.Introspection.V, f.Introspection.Pos
	path += ".introspection"
	p.Introspection = &Introspection{
		Endpoint: string(in.Endpoint.V), ClientID: string(in.ClientID.V), Prefix: string(in.Prefix.V),
		ClientSecret: c.secret(in.ClientSecretFile, in.ClientSecretEnv, pos, path, "client_secret"),
	}
	switch f.Preset.V {
	case presetEntra, presetGitHubActions, presetGitLab, presetKubernetes, presetSPIFFE:
		c.fault(pos, path, "nobody can be asked about tokens of the preset "+string(f.Preset.V), "leave it out: its tokens are JWTs")
		return
	}
	if len(p.TokenTypes) > 0 && !slices.Contains(p.TokenTypes, tokenAccess) {
		c.fault(pos, path, "only access tokens are asked about, and access_token is not among token_types", "add it there, or leave this out")
	}
	if !slices.Equal(p.TokenTypes, []string{tokenAccess}) {
		return // tokens of the other types are verified by keys
	}
	for _, v := range []struct {
		key string
		pos strictyaml.Pos
		set bool
	}{
		{"jwks_uri", f.JWKSURI.Pos, f.JWKSURI.Set()}, {"jwks_file", f.JWKSFile.Pos, f.JWKSFile.Set()}, {"require_typ", f.RequireTyp.Pos, f.RequireTyp.Set()},
	} {
		if v.set {
			c.fault(v.pos, strings.TrimSuffix(path, "introspection")+v.key, "of no use where all tokens are asked about (introspection)", "leave it out")
		}
	}
}

// onePrefix holds that an opaque token leads to one provider.
func (c *checker) onePrefix(prefixes map[string]string, f *providerFile, p Provider, name string) {
	if p.Introspection == nil {
		return
	}
	path, prefix := "identity_providers."+name+".introspection", p.Introspection.Prefix
	first, taken := prefixes[prefix]
	switch {
	case !taken:
		prefixes[prefix] = name
	case prefix == "":
		c.missing(f.Introspection.Pos, path, "prefix", "add it, here or for "+strconv.Quote(first)+", which has none either: how its opaque tokens begin")
	default:
		c.fault(f.Introspection.V.Prefix.Pos, path+".prefix", "the same as that of "+strconv.Quote(first), "an opaque token must lead to one provider: make one of them longer")
	}
}

// clientName is our id at somebody else's authorization server (RFC 6749 Appendix A.1).
type clientName string

func (n *clientName) UnmarshalScalar(text string) error {
	*n = clientName(text)
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return strictyaml.Problemf("write it in printable ASCII (RFC 6749 Appendix A.1)", "not a client id")
	}
	return nil
}

// tokenPrefix is how bearer tokens begin (RFC 6750 §2.1).
type tokenPrefix string

func (p *tokenPrefix) UnmarshalScalar(text string) error {
	*p = tokenPrefix(text)
	if text == "" || strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/", r)
	}) {
		return strictyaml.Problemf("write letters, digits and -._~+/ alone (RFC 6750), or leave it out", "no token begins so")
	}
	return nil
}
