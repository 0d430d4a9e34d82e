package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/lakegate/sts/internal/strictyaml"
)

// Client is a caller of ours, by its id in Config.Clients.
type Client struct {
	AuthMethod        string       `yaml:"auth_method"`        // client_secret_basic or client_secret_post
	SecretSHA256      []Digest     `yaml:"secret_sha256"`      // one, or two during a rotation
	IdentityProviders []string     `yaml:"identity_providers"` // whose tokens it may present
	AuthorizedParties Parties      `yaml:"authorized_parties"` // to whom these may have been issued
	Audiences         []Audience   `yaml:"audiences"`          // what it may ask for
	ForwardsSource    bool         `yaml:"forwards_source"`
	Grants            []string     `yaml:"grants"`
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
	Grants            list[grant]                  `yaml:"grants"`
	Limits            struct {
		Rate       rate     `yaml:"rate"`
		Burst      number   `yaml:"burst"`
		PerSubject anything `yaml:"per_subject"`
		PerActor   anything `yaml:"per_actor"`
	} `yaml:"limits"`

	MayAct                flag     `yaml:"may_act"`
	Identity              flag     `yaml:"identity"`
	JWKSFile              anything `yaml:"jwks_file"`
	AudienceTokenEndpoint flag     `yaml:"audience_token_endpoint"`
	SubjectDN             anything `yaml:"tls_client_auth_subject_dn"`
	SANDNS                anything `yaml:"tls_client_auth_san_dns"`
	SANURI                anything `yaml:"tls_client_auth_san_uri"`
}

const (
	methodBasic = "client_secret_basic"
	methodPost  = "client_secret_post"

	grantTokenExchange = "token_exchange"

	maxSecrets = 2 // one in use, its successor during a rotation
)

func (c *checker) clients(m strictyaml.Map[clientFile], providers strictyaml.Map[providerFile]) map[string]Client {
	named(c, m, "clients", checkClientID)
	clients := map[string]Client{}
	known := providers.Keys()
	for _, e := range m.Entries {
		f, path := e.Value, "clients."+e.Key
		if f.Pos.IsZero() {
			continue // no mapping: that is said already
		}
		c.laterClient(&f, path)
		clients[e.Key] = c.client(&f, e.Key, path, known)
	}
	return clients
}

func (c *checker) client(f *clientFile, id, path string, providers []string) Client {
	c.secretDigests(f, id, path)
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
		AuthMethod: string(f.AuthMethod.V), SecretSHA256: f.SecretSHA256.values(), IdentityProviders: f.IdentityProviders.values(),
		AuthorizedParties: f.AuthorizedParties.value(), Audiences: f.Audiences.values(), ForwardsSource: f.ForwardsSource.V,
		Grants: toStrings(f.Grants.values()), Limits: ClientLimits{Rate: f.Limits.Rate.V, Burst: f.Limits.Burst.V},
	}
	if len(client.Grants) == 0 {
		client.Grants = []string{grantTokenExchange}
	}
	switch burst := f.Limits.Burst; {
	case burst.Set() && burst.V < 1:
		c.fault(burst.Pos, path+".limits.burst", "a burst of nothing", "write at least 1, or leave it out for a second's worth")
	case burst.Set() && !f.Limits.Rate.Set():
		c.fault(burst.Pos, path+".limits", "a burst without a rate", "add rate, or leave burst out")
	}
	return client
}

// secretDigests checks the digests of a client that authenticates by secret; for others the method is refused anyway.
func (c *checker) secretDigests(f *clientFile, id, path string) {
	if f.AuthMethod.Set() && !f.Keys.Has("secret_sha256") {
		c.missing(f.Pos, path, "secret_sha256", "add it; `sts client new` makes one")
	}
	digests := f.SecretSHA256
	if len(digests.Items) > maxSecrets {
		c.fault(digests.Items[maxSecrets].Pos, path+".secret_sha256", "more than "+strconv.Itoa(maxSecrets)+" secrets", "remove those that are not in use: one, and its successor during a rotation")
	}
	for _, digest := range digests.Items {
		if c.guessable(digest.V, id) {
			c.fault(digest.Pos, path+".secret_sha256", "the digest of a secret that can be guessed", "make a new secret with `sts client new`")
		}
	}
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

// authMethod is how a client authenticates (RFC 7591 §2, token_endpoint_auth_method).
type authMethod string

func (m *authMethod) UnmarshalScalar(text string) error {
	*m = authMethod(text)
	switch text {
	case "private_key_jwt":
		return notYetProblem("clients that authenticate by a signed assertion")
	case "tls_client_auth":
		return notYetProblem("clients that authenticate by certificate")
	case "none":
		return notYetProblem("public clients of the Databricks-shaped door")
	}
	return strictyaml.OneOf(text, methodBasic, methodPost)
}

// grant is what a client may use us for.
type grant string

func (g *grant) UnmarshalScalar(text string) error {
	*g = grant(text)
	return strictyaml.OneOf(text, grantTokenExchange)
}

// parties is "any", or a list.
type parties struct {
	any  bool
	list list[string]
}

// UnmarshalNode implements strictyaml.Unmarshaler.
func (p *parties) UnmarshalNode(n strictyaml.Node) bool {
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
