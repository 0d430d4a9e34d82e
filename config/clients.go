package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/lakegate/sts/internal/strictyaml"
)

// Client is a caller of ours, by its id in Config.Clients.
type Client struct {
	AuthMethod   string   `yaml:"auth_method"`
	SecretSHA256 []Digest `yaml:"secret_sha256,omitempty"` // of client_secret_…: one, or two during a rotation

	// Of private_key_jwt: the client's public keys, and whether the token endpoint's URL is taken as audience, too.
	JWKS                  File `yaml:"jwks_file,omitempty"`
	AudienceTokenEndpoint bool `yaml:"audience_token_endpoint,omitempty"`

	// Of federated_assertion: whose tokens the client has of its platform, and their exact subject.
	AssertionProvider string `yaml:"assertion_provider,omitempty"`
	AssertionSubject  string `yaml:"assertion_subject,omitempty"`

	// Of tls_client_auth: what the certificate must say, exactly one of them (RFC 8705 §2.1.2).
	SubjectDN string `yaml:"tls_client_auth_subject_dn,omitempty"`
	SANDNS    string `yaml:"tls_client_auth_san_dns,omitempty"`
	SANURI    string `yaml:"tls_client_auth_san_uri,omitempty"`

	IdentityProviders []string     `yaml:"identity_providers"` // whose tokens it may present
	AuthorizedParties Parties      `yaml:"authorized_parties"` // to whom these may have been issued
	MayAct            bool         `yaml:"may_act,omitempty"`  // present actor tokens, issued to ActorParties
	ActorParties      Parties      `yaml:"actor_parties,omitempty"`
	Audiences         []Audience   `yaml:"audiences"` // what it may ask for
	ForwardsSource    bool         `yaml:"forwards_source"`
	Grants            []string     `yaml:"grants"` // none for a client that may exchange nothing
	Limits            ClientLimits `yaml:"limits,omitempty"`
}

// Parties are values of azp or client_id; Any admits a token without either, too.
type Parties struct {
	Any  bool
	List []string
}

// ClientLimits bound a client's requests; zero is no limit.
type ClientLimits struct {
	Rate  Rate `yaml:"rate,omitempty"`
	Burst int  `yaml:"burst,omitempty"` // 0: a second's worth

	// What one subject and one actor may have of it; a second's worth at once.
	PerSubject Rate `yaml:"per_subject,omitempty"`
	PerActor   Rate `yaml:"per_actor,omitempty"`
}

type clientFile struct {
	Pos               strictyaml.Pos
	Keys              strictyaml.Keys
	AuthMethod        strictyaml.Value[authMethod] `yaml:"auth_method,required"`
	SecretSHA256      list[Digest]                 `yaml:"secret_sha256"`
	IdentityProviders list[string]                 `yaml:"identity_providers,required"`
	AuthorizedParties parties                      `yaml:"authorized_parties,required"`
	Audiences         list[Audience]               `yaml:"audiences,required"`
	ForwardsSource    flag                         `yaml:"forwards_source"`
	Grants            grants                       `yaml:"grants"`
	Limits            struct {
		Rate       rate   `yaml:"rate"`
		Burst      number `yaml:"burst"`
		PerSubject rate   `yaml:"per_subject"`
		PerActor   rate   `yaml:"per_actor"`
	} `yaml:"limits"`

	MayAct                flag    `yaml:"may_act"`
	ActorParties          parties `yaml:"actor_parties"`
	Identity              flag    `yaml:"identity"`
	JWKSFile              text    `yaml:"jwks_file"`
	AudienceTokenEndpoint flag    `yaml:"audience_token_endpoint"`
	AssertionProvider     text    `yaml:"assertion_provider"`
	AssertionSubject      text    `yaml:"assertion_subject"`
	SubjectDN             text    `yaml:"tls_client_auth_subject_dn"`
	SANDNS                text    `yaml:"tls_client_auth_san_dns"`
	SANURI                text    `yaml:"tls_client_auth_san_uri"`
}

const (
	methodBasic         = "client_secret_basic"
	methodPost          = "client_secret_post"
	methodPrivateKeyJWT = "private_key_jwt"
	methodFederated     = "federated_assertion"
	methodTLS           = "tls_client_auth"
	methodNone          = "none"

	grantTokenExchange = "token_exchange"
)

// clients checks them all; cas says whether there are CAs to verify certificates against.
func (c *checker) clients(m strictyaml.Map[clientFile], providers strictyaml.Map[providerFile], cas bool) map[string]Client {
	named(c, m, "clients", checkClientID)
	clients := map[string]Client{}
	known := providers.Keys()
	for _, e := range m.Entries {
		f, path := e.Value, "clients."+e.Key
		if f.Pos.IsZero() {
			continue // no mapping: that is said already
		}
		c.laterClient(&f, path)
		client := c.client(&f, path, known)
		c.mayAct(&client, &f, path)
		c.authentication(&client, &f, e.Key, path, cas)
		clients[e.Key] = client
	}
	return clients
}

func (c *checker) client(f *clientFile, path string, providers []string) Client {
	for _, name := range f.IdentityProviders.Items {
		if !slices.Contains(providers, name.V) {
			c.fault(name.Pos, path+".identity_providers", "unknown identity provider "+strconv.Quote(name.V),
				strictyaml.DidYouMean(name.V, providers, "add it under identity_providers"))
		}
	}
	for _, party := range f.AuthorizedParties.list.Items {
		c.filled(party, path+".authorized_parties") // else it would seem to admit tokens that name no party
	}
	client := Client{
		IdentityProviders: f.IdentityProviders.values(),
		AuthorizedParties: f.AuthorizedParties.value(), Audiences: f.Audiences.values(), ForwardsSource: f.ForwardsSource.V,
		Grants: f.Grants.value(),
		Limits: ClientLimits{Rate: f.Limits.Rate.V, Burst: f.Limits.Burst.V, PerSubject: f.Limits.PerSubject.V, PerActor: f.Limits.PerActor.V},
	}
	switch burst := f.Limits.Burst; {
	case burst.Set() && burst.V < 1:
		c.fault(burst.Pos, path+".limits.burst", "a burst of nothing", "write at least 1, or leave it out for a second's worth")
	case burst.Set() && !f.Limits.Rate.Set():
		c.fault(burst.Pos, path+".limits", "a burst without a rate", "add rate, or leave burst out")
	}
	return client
}

const maxClientID = 256

// checkClientID takes any VSCHAR text (RFC 6749 Appendix A.1).
func checkClientID(id string) error {
	switch {
	case id == "" || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r > '~' }):
		return strictyaml.Problemf("write it in printable ASCII (RFC 6749 Appendix A.1)", "%q is no client id", id)
	case len(id) > maxClientID:
		return strictyaml.Problemf("shorten it to at most "+strconv.Itoa(maxClientID), "a client id of %d characters", len(id))
	}
	return nil
}

// grant is what a client may use us for.
type grant string

func (g *grant) UnmarshalScalar(text string) error {
	*g = grant(text)
	return strictyaml.OneOf(text, grantTokenExchange)
}

// grants is a list that may be empty, for a client that may authenticate and exchange nothing.
type grants struct {
	Pos   strictyaml.Pos
	items []strictyaml.Value[grant]
}

// UnmarshalNode implements strictyaml.Unmarshaler.
func (g *grants) UnmarshalNode(n strictyaml.Node) bool {
	g.Pos = n.Pos()
	return n.Decode(&g.items)
}

func (g grants) value() []string {
	if g.Pos.IsZero() {
		return []string{grantTokenExchange}
	}
	values := []string{}
	for _, item := range g.items {
		values = append(values, string(item.V))
	}
	return values
}

// parties is "any", or a list.
type parties struct {
	Pos  strictyaml.Pos
	any  bool
	list list[string]
}

// UnmarshalNode implements strictyaml.Unmarshaler.
func (p *parties) UnmarshalNode(n strictyaml.Node) bool {
	p.Pos = n.Pos()
	switch {
	case n.Kind() == strictyaml.Sequence:
		return n.Decode(&p.list)
	case n.Kind() == strictyaml.Scalar && n.Text() == "any":
		p.any = true
		return true
	}
	return n.Wrong("any, or a list of parties")
}

func (p parties) value() Parties { return Parties{Any: p.any, List: p.list.values()} }
