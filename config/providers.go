package config

import (
	"strconv"
	"strings"
	"time"

	"github.com/lakegate/sts/internal/strictyaml"
)

// Provider is an identity provider whose tokens are accepted, by its name in Config.IdentityProviders.
type Provider struct {
	Preset     string   `yaml:"preset,omitempty"`  // what filled in the rest, see presets.go
	Issuer     string   `yaml:"issuer"`            // the iss of its tokens, byte for byte
	Tenants    []string `yaml:"tenants,omitempty"` // Entra's, whose ids stand in the issuer, or for {tenantid} in it
	Audiences  []string `yaml:"audiences"`         // one must be in the token's aud
	TokenTypes []string `yaml:"token_types"`       // access_token, id_token, jwt
	Algorithms []string `yaml:"algorithms"`        // asymmetric ones only
	JWKSURI    string   `yaml:"jwks_uri,omitempty"`
	JWKSFile   string   `yaml:"jwks_file,omitempty"` // absolute; without either, keys are found by discovery

	// Of a platform that publishes its keys to who it knows: who vouches for its server, and a bearer token for jwks_uri.
	// Both are read again at each fetch.
	JWKSCAFile    string `yaml:"jwks_ca_file,omitempty"`
	JWKSTokenFile string `yaml:"jwks_token_file,omitempty"`
	// TrustDomain is that of JWT-SVIDs. Issuer is then spiffe:// and this.
	TrustDomain string `yaml:"trust_domain,omitempty"`

	SubjectClaim  map[string]string `yaml:"subject_claim"`         // by token type, for all three types
	GroupsClaim   string            `yaml:"groups_claim"`          // a name, a dotted path, or a JSON pointer
	RolesClaim    string            `yaml:"roles_claim,omitempty"` // where roles are that count as groups, too
	GroupsOverage string            `yaml:"groups_overage"`        // deny, graph
	Graph         *Graph            `yaml:"graph,omitempty"`       // see provider_entra.go
	PartyClaims   []string          `yaml:"party_claims"`          // whom a token was issued to; the first that is there counts
	RequireTyp    string            `yaml:"require_typ,omitempty"`
	ClockSkew     time.Duration     `yaml:"clock_skew"`    // widens nbf and iat, never exp
	MaxTokenAge   time.Duration     `yaml:"max_token_age"` // since iat
	JWKSMaxStale  time.Duration     `yaml:"jwks_max_stale"`
	Shared        bool              `yaml:"shared"`     // one issuer for many tenants
	SingleUse     bool              `yaml:"single_use"` // each token is accepted once, by its jti

	OtherIssuer string // the iss of Entra's tokens of version 1, of the same people as those of Issuer

	// At most one of these is there; without any, its tokens are JWTs.
	Introspection *Introspection `yaml:"introspection,omitempty"` // opaque tokens, see provider_introspection.go
	SAML          *SAML          `yaml:"saml,omitempty"`          // see provider_saml.go
	AWS           *AWS           `yaml:"aws,omitempty"`           // see provider_aws.go
}

const (
	tokenAccess = "access_token"
	tokenID     = "id_token"
	tokenJWT    = "jwt"

	overageDeny = "deny"

	defaultClockSkew    = 30 * time.Second
	defaultMaxTokenAge  = 24 * time.Hour
	defaultJWKSMaxStale = 24 * time.Hour
	maxClockSkew        = 10 * time.Minute
)

type providerFile struct {
	Pos           strictyaml.Pos
	Keys          strictyaml.Keys
	Preset        strictyaml.Value[preset]            `yaml:"preset"`
	Issuer        strictyaml.Value[providerIssuer]    `yaml:"issuer"`
	Tenants       list[tenant]                        `yaml:"tenants"`
	Audiences     list[audienceClaim]                 `yaml:"audiences"`
	TokenTypes    list[tokenType]                     `yaml:"token_types"`
	Algorithms    list[algorithm]                     `yaml:"algorithms"`
	JWKSURI       strictyaml.Value[endpointURL]       `yaml:"jwks_uri"`
	JWKSFile      text                                `yaml:"jwks_file"`
	JWKSCAFile    text                                `yaml:"jwks_ca_file"`
	JWKSTokenFile text                                `yaml:"jwks_token_file"`
	TrustDomain   strictyaml.Value[trustDomain]       `yaml:"trust_domain"`
	SubjectClaim  strictyaml.Value[subjectClaim]      `yaml:"subject_claim"`
	GroupsClaim   strictyaml.Value[claimPath]         `yaml:"groups_claim"`
	RolesClaim    strictyaml.Value[claimPath]         `yaml:"roles_claim"`
	GroupsOverage text                                `yaml:"groups_overage"`
	Graph         strictyaml.Value[graphFile]         `yaml:"graph"`
	PartyClaims   list[claimName]                     `yaml:"party_claims"`
	RequireTyp    text                                `yaml:"require_typ"`
	ClockSkew     duration                            `yaml:"clock_skew"`
	MaxTokenAge   duration                            `yaml:"max_token_age"`
	JWKSMaxStale  duration                            `yaml:"jwks_max_stale"`
	Shared        flag                                `yaml:"shared"`
	SingleUse     flag                                `yaml:"single_use"`
	Introspection strictyaml.Value[introspectionFile] `yaml:"introspection"`
	SAML          strictyaml.Value[samlFile]          `yaml:"saml"`
	AWS           strictyaml.Value[awsFile]           `yaml:"aws"`
}

func (c *checker) providers(m strictyaml.Map[providerFile]) map[string]Provider {
	named(c, m, "identity_providers", strictyaml.CheckName)
	providers := map[string]Provider{}
	issuers, prefixes := map[string]string{}, map[string]string{}
	for _, e := range m.Entries {
		f, path := e.Value, "identity_providers."+e.Key
		if f.Pos.IsZero() {
			continue // no mapping: that is said already
		}
		p := c.provider(&f, path)
		c.oneProvider(providers, issuers, p, e.Key, e.Pos)
		c.onePrefix(prefixes, &f, p, e.Key)
		providers[e.Key] = p
	}
	return providers
}

// ownKeys are the keys that a provider of its kind has; nil for all. Show writes no others.
func (p Provider) ownKeys() []string {
	switch {
	case p.AWS != nil:
		return awsKeys
	case p.SAML != nil:
		return samlKeys
	}
	return nil
}

// oneProvider holds that no other provider has an issuer of this one.
func (c *checker) oneProvider(providers map[string]Provider, issuers map[string]string, p Provider, name string, pos strictyaml.Pos) {
	for _, issuer := range p.issuers() {
		if first, taken := issuers[issuer]; taken && issuer != "" {
			mend := "make one provider of them: a person is one identity"
			if (p.SAML == nil) != (providers[first].SAML == nil) {
				mend = "keep one of them: a person is one identity, and an assertion's subject can't be told to be a token's"
			}
			c.fault(pos, "identity_providers."+name, "has the issuer of "+strconv.Quote(first)+" too", mend)
			return
		}
	}
	for _, issuer := range p.issuers() {
		issuers[issuer] = name
	}
}

func (c *checker) provider(f *providerFile, path string) Provider {
	switch {
	case f.SAML.Set():
		return c.samlProvider(f, path)
	case f.AWS.Set():
		return c.awsProvider(f, path)
	}
	p := presetProvider(f.Preset.V)
	if f.Issuer.Set() {
		p.Issuer = string(f.Issuer.V)
	}
	p.Audiences = toStrings(f.Audiences.values())
	if f.TokenTypes.set() {
		p.TokenTypes = toStrings(f.TokenTypes.values())
	}
	if f.Algorithms.set() {
		p.Algorithms = toStrings(f.Algorithms.values())
	}
	p.JWKSURI, p.JWKSFile = string(f.JWKSURI.V), c.file(f.JWKSFile, path+".jwks_file")
	if f.JWKSURI.Set() && f.JWKSFile.Set() {
		c.fault(f.JWKSFile.Pos, path, "both jwks_uri and jwks_file", "keep one")
	}
	if f.SubjectClaim.Set() {
		p.SubjectClaim = f.SubjectClaim.V.byType(p.SubjectClaim)
	}
	p.GroupsClaim = string(f.GroupsClaim.Or(claimPath(p.GroupsClaim)))
	if f.PartyClaims.set() {
		p.PartyClaims = toStrings(f.PartyClaims.values())
	}
	p.RolesClaim = string(f.RolesClaim.V)
	c.overage(f.GroupsOverage, path+".groups_overage")
	p.RequireTyp = c.filled(f.RequireTyp, path+".require_typ")
	p.ClockSkew = c.span(f.ClockSkew, path+".clock_skew", p.ClockSkew, 0, maxClockSkew)
	p.MaxTokenAge = c.span(f.MaxTokenAge, path+".max_token_age", p.MaxTokenAge, time.Second, 0)
	p.JWKSMaxStale = c.span(f.JWKSMaxStale, path+".jwks_max_stale", p.JWKSMaxStale, time.Second, 0)
	p.Shared = f.Shared.Or(p.Shared)
	p.SingleUse = f.SingleUse.V
	c.entra(f, path, &p)
	c.platform(f, path, &p)
	c.introspection(f, path, &p)
	c.needed(f, path, p)
	return p
}

// sharedMarks holds that replicas that share a ledger also share what was used once: each alone would accept it again.
func (c *checker) sharedMarks(cfg *Config, providers strictyaml.Map[providerFile], clients strictyaml.Map[clientFile]) {
	if cfg.Database.Postgres == "" || cfg.Store.Redis != nil {
		return
	}
	for _, e := range providers.Entries {
		if f := e.Value.SingleUse; f.V {
			c.fault(f.Pos, "identity_providers."+e.Key+".single_use", "tokens that replicas accept once, without store.redis to mark them in", "add store.redis")
		}
	}
	for _, e := range providers.Entries {
		if f := e.Value.AWS; f.Set() {
			c.fault(f.Pos, "identity_providers."+e.Key+".aws", "requests that replicas accept once, without store.redis to mark them in", "add store.redis")
		}
	}
	for _, e := range providers.Entries {
		if f := e.Value.SAML; f.Set() {
			c.fault(f.Pos, "identity_providers."+e.Key+".saml", "assertions that replicas accept once, without store.redis to mark them in", "add store.redis")
		}
	}
	for _, e := range clients.Entries {
		if f := e.Value.AuthMethod; f.V == methodPrivateKeyJWT {
			c.fault(f.Pos, "clients."+e.Key+".auth_method", "assertions that replicas accept once, without store.redis to mark them in", "add store.redis")
		}
	}
}

// needed faults the keys that only a preset can leave out, and what contradicts the preset.
func (c *checker) needed(f *providerFile, path string, p Provider) {
	unknown := f.Keys.Has("preset") && !f.Preset.Set() // what it would have filled in isn't missing
	if !unknown && !f.Keys.Has("issuer") && !f.Keys.Has("trust_domain") && p.Issuer == "" && f.Preset.V != presetSPIFFE {
		c.missing(f.Pos, path, "issuer", "add it")
	}
	if !f.Keys.Has("audiences") {
		c.missing(f.Pos, path, "audiences", "add it: what the provider's tokens have in aud when they are meant for us")
	}
	if !unknown && !f.Keys.Has("token_types") && len(p.TokenTypes) == 0 {
		c.missing(f.Pos, path, "token_types", "add it: access_token, id_token, jwt")
	}
	for _, t := range f.TokenTypes.Items {
		switch t.V {
		case tokenAWS:
			c.fault(t.Pos, path+".token_types", tokenAWS+" is for AWS identities", "add the key aws to a provider of their own, or leave it out")
		case tokenSAML:
			c.fault(t.Pos, path+".token_types", tokenSAML+" is for SAML assertions", "add the key saml to a provider of their own, or leave it out")
		}
	}
	for _, claim := range p.SubjectClaim {
		if addresses[claim] {
			c.fault(f.SubjectClaim.Pos, path+".subject_claim", strconv.Quote(claim)+" is an address, which changes hands", "name a claim that stays with a person, like sub")
			return
		}
	}
}

// addresses are claims by which nobody is told apart: an address is given to the next who has the name, and in some
// providers everybody writes his own.
var addresses = map[string]bool{"email": true, "mail": true, "upn": true, "preferred_username": true, "unique_name": true, "verified_primary_email": true}

func (c *checker) overage(v text, path string) {
	if v.Set() {
		c.check(v.Pos, path, strictyaml.OneOf(v.V, overageDeny, overageGraph))
	}
}

// claimName is the name of a claim at the top of a token.
type claimName string

func (n *claimName) UnmarshalScalar(text string) error {
	*n = claimName(text)
	if !isPrintable(text) {
		return strictyaml.Problemf("write it in printable ASCII without spaces and quotes", "not the name of a claim")
	}
	return nil
}

// audienceClaim is a value of aud.
type audienceClaim string

func (a *audienceClaim) UnmarshalScalar(text string) error {
	*a = audienceClaim(text)
	if !isPrintable(text) {
		return strictyaml.Problemf("write it in printable ASCII without spaces and quotes", "not an audience")
	}
	return nil
}

// isPrintable says whether a text can be shown in an error_description (RFC 6749 §5.2).
func isPrintable(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' || r == '"' || r == '\\' })
}

// tokenType is the short name of an RFC 8693 URN.
type tokenType string

func (t *tokenType) UnmarshalScalar(text string) error {
	*t = tokenType(text)
	switch text {
	case tokenSAML, tokenAWS:
		return nil // of a provider with the key saml or aws alone
	}
	return strictyaml.OneOf(text, tokenAccess, tokenID, tokenJWT)
}

// algorithm is an asymmetric JWS algorithm (RFC 7518 §3.1, RFC 8037).
type algorithm string

func (a *algorithm) UnmarshalScalar(text string) error {
	*a = algorithm(text)
	if text == "none" || strings.HasPrefix(text, "HS") {
		return strictyaml.Problemf("name asymmetric algorithms", "%s proves nothing: the key would be no secret", text)
	}
	return strictyaml.OneOf(text, "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
}

// subjectClaim is one claim, or one per token type.
type subjectClaim struct {
	one  string
	each subjectClaims
}

type subjectClaims struct {
	AccessToken strictyaml.Value[claimName] `yaml:"access_token"`
	IDToken     strictyaml.Value[claimName] `yaml:"id_token"`
	JWT         strictyaml.Value[claimName] `yaml:"jwt"`
}

// UnmarshalNode implements strictyaml.Unmarshaler.
func (s *subjectClaim) UnmarshalNode(n strictyaml.Node) bool {
	switch n.Kind() {
	case strictyaml.Scalar:
		if n.Text() == "" {
			n.Fault("an empty claim name", "name a claim, or leave the key out")
			return false
		}
		return n.Decode(&s.one)
	case strictyaml.Mapping:
		return n.Decode(&s.each)
	}
	return n.Wrong("a claim, or a mapping of token types to claims")
}

// byType fills in what the file says.
func (s subjectClaim) byType(otherwise map[string]string) map[string]string {
	if s.one != "" {
		return map[string]string{tokenAccess: s.one, tokenID: s.one, tokenJWT: s.one}
	}
	return map[string]string{
		tokenAccess: string(s.each.AccessToken.Or(claimName(otherwise[tokenAccess]))),
		tokenID:     string(s.each.IDToken.Or(claimName(otherwise[tokenID]))),
		tokenJWT:    string(s.each.JWT.Or(claimName(otherwise[tokenJWT]))),
	}
}

// claimPath is where a claim is: a name, a dotted path, a JSON pointer (RFC 6901), or a name that is a URL.
type claimPath string

func (p *claimPath) UnmarshalScalar(text string) error {
	*p = claimPath(text)
	switch {
	case text == "":
		return strictyaml.Problemf("name a claim, or leave the key out", "an empty claim name")
	case strings.HasPrefix(text, "/"):
		if strings.Contains(text+"/", "//") {
			return strictyaml.Problemf("leave the extra slash out", "%q has an empty part", text)
		}
		if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(text), "~") {
			return strictyaml.Problemf("write ~0 for ~ and ~1 for / (RFC 6901)", "%q is no JSON pointer", text)
		}
	case !strings.Contains(text, "://") && strings.Contains("."+text+".", ".."):
		return strictyaml.Problemf("leave the extra dot out", "%q has an empty part", text)
	}
	return nil
}
