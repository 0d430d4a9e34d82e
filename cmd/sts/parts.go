package main

import (
	"fmt"
	"os"

	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/databricks"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
	"github.com/lakegate/sts/identity/aws"
	"github.com/lakegate/sts/identity/graph"
	"github.com/lakegate/sts/identity/saml"
	"github.com/lakegate/sts/mapping"
	"github.com/lakegate/sts/server/clients"
)

// This file says what each package's settings are, in the words of the configuration. Nothing is decided here.

func providersOf(cfg *config.Config) []identity.Provider {
	urns := map[string]exchange.TokenType{
		"access_token": exchange.TypeAccessToken, "id_token": exchange.TypeIDToken, "jwt": exchange.TypeJWT,
	}
	providers := make([]identity.Provider, 0, len(cfg.IdentityProviders))
	for name, p := range cfg.IdentityProviders {
		if p.AWS != nil || p.SAML != nil {
			continue // see awsOf, samlOf
		}
		made := identity.Provider{
			Name: name, Issuer: p.Issuer, Tenants: p.Tenants, OtherIssuer: p.OtherIssuer, Audiences: p.Audiences, Algorithms: p.Algorithms,
			JWKSURI: p.JWKSURI, JWKSFile: p.JWKSFile, JWKSCAFile: p.JWKSCAFile, JWKSTokenFile: p.JWKSTokenFile, TrustDomain: p.TrustDomain,
			GroupsClaim: p.GroupsClaim, RolesClaim: p.RolesClaim, ResolveOverage: p.Graph != nil, PartyClaims: p.PartyClaims, RequireTyp: p.RequireTyp,
			ClockSkew: p.ClockSkew, MaxTokenAge: p.MaxTokenAge, JWKSMaxStale: p.JWKSMaxStale,
			SingleUse:     p.SingleUse,
			SubjectClaims: map[exchange.TokenType]string{},
		}
		if in := p.Introspection; in != nil {
			made.Introspection = &identity.Introspection{
				Endpoint: in.Endpoint, ClientID: in.ClientID, ClientSecret: exchange.Secret(in.ClientSecret.Reveal()), Prefix: in.Prefix,
			}
		}
		for _, short := range p.TokenTypes {
			made.TokenTypes = append(made.TokenTypes, urns[short])
		}
		for short, claim := range p.SubjectClaim {
			made.SubjectClaims[urns[short]] = claim
		}
		providers = append(providers, made)
	}
	return providers
}

// awsOf is the provider of AWS identities, nil where there is none.
func awsOf(cfg *config.Config) *aws.Provider {
	for name, p := range cfg.IdentityProviders {
		if a := p.AWS; a != nil {
			return &aws.Provider{
				Name: name, Audience: a.Audience, AccountIDs: a.AccountIDs, Regions: a.Regions, Endpoints: a.Endpoints,
				ClockSkew: p.ClockSkew, MaxTokenAge: p.MaxTokenAge,
			}
		}
	}
	return nil
}

// samlOf are the providers of SAML assertions.
func samlOf(cfg *config.Config) []saml.Provider {
	var providers []saml.Provider
	for name, p := range cfg.IdentityProviders {
		if s := p.SAML; s != nil {
			providers = append(providers, saml.Provider{
				Name: name, EntityID: s.EntityID, MetadataURI: s.MetadataURI, MetadataFile: s.MetadataFile, MaxStale: s.MaxStale,
				Audience: s.Audience, Recipient: s.Recipient, SubjectAttribute: s.SubjectAttribute, GroupsAttribute: p.GroupsClaim,
				ClockSkew: p.ClockSkew, MaxTokenAge: p.MaxTokenAge,
			})
		}
	}
	return providers
}

// directoriesOf are where groups are asked for that tokens leave out.
func directoriesOf(cfg *config.Config) []graph.Settings {
	var directories []graph.Settings
	for name, p := range cfg.IdentityProviders {
		if g := p.Graph; g != nil {
			directories = append(directories, graph.Settings{
				Provider: name, ClientID: g.ClientID, ClientSecret: exchange.Secret(g.ClientSecret.Reveal()), AssertionFile: g.ClientAssertionFile,
				Endpoint: g.Endpoint, Authority: g.Authority,
			})
		}
	}
	return directories
}

func registrationsOf(cfg *config.Config) []clients.Registration {
	registrations := make([]clients.Registration, 0, len(cfg.Clients))
	for id, c := range cfg.Clients {
		r := clients.Registration{
			Client: exchange.Client{
				ID: id, IdentityProviders: c.IdentityProviders,
				AuthorizedParties: c.AuthorizedParties.List, AnyParty: c.AuthorizedParties.Any,
				MayAct: c.MayAct, ActorParties: c.ActorParties.List, AnyActorParty: c.ActorParties.Any,
				Audiences: audiencesOf(c), ForwardsSource: c.ForwardsSource,
				Rate: c.Limits.Rate.PerSecond(), Burst: c.Limits.Burst,
				SubjectRate: c.Limits.PerSubject.PerSecond(), ActorRate: c.Limits.PerActor.PerSecond(),
			},
			Method: clients.Method(c.AuthMethod),
			KeySet: []byte(c.JWKS.Content), AudienceTokenEndpoint: c.AudienceTokenEndpoint,
			Workload: clients.Workload{Issuer: cfg.IdentityProviders[c.AssertionProvider].Issuer, Subject: c.AssertionSubject},
			Name:     clients.CertificateName{SubjectDN: c.SubjectDN, SANDNS: c.SANDNS, SANURI: c.SANURI},
		}
		for _, grant := range c.Grants {
			if grant == "token_exchange" {
				r.Client.Grants = append(r.Client.Grants, exchange.GrantTypeTokenExchange)
			}
		}
		for _, digest := range c.SecretSHA256 {
			r.SecretSHA256 = append(r.SecretSHA256, digest)
		}
		registrations = append(registrations, r)
	}
	return registrations
}

func delegationOf(cfg *config.Config) exchange.Delegation {
	return exchange.Delegation{Enabled: cfg.Delegation.Enabled, MaxChain: cfg.Delegation.MaxChain}
}

func audiencesOf(c config.Client) []string {
	audiences := make([]string, len(c.Audiences))
	for i, a := range c.Audiences {
		audiences[i] = a.String()
	}
	return audiences
}

func mintingOf(cfg *config.Config) databricks.Settings {
	s := databricks.Settings{
		Accounts: map[string]databricks.Account{},
		Federation: databricks.Federation{
			Issuer:               cfg.Databricks.Federation.Issuer,
			Audiences:            cfg.Databricks.Federation.Audience,
			AuthorizationDetails: cfg.Databricks.Federation.AuthorizationDetails,
		},
		Credentials: map[string]databricks.Credential{},
		Timeout:     cfg.Databricks.Timeout,
	}
	for name, a := range cfg.Databricks.Accounts {
		s.Accounts[name] = databricks.Account{ID: a.ID, Host: a.Host}
	}
	for principal, c := range cfg.Databricks.Credentials {
		if exchange.Method(c.Method) == exchange.MethodClientSecret {
			s.Credentials[principal] = databricks.Credential{Secret: exchange.Secret(c.ClientSecret.Reveal())}
		}
	}
	return s
}

// environmentOf is what a policy may refer to.
func environmentOf(cfg *config.Config) *mapping.Environment {
	env := &mapping.Environment{
		Providers: map[string]mapping.Provider{}, Clients: map[string][]string{}, Credentials: map[string]mapping.Credential{},
		FederationDetails: cfg.Databricks.Federation.AuthorizationDetails,
	}
	for name, p := range cfg.IdentityProviders {
		env.Providers[name] = mapping.Provider{Issuer: p.Issuer, Tenants: p.Tenants, Shared: p.Shared, Entra: p.Preset == "entra" && p.GroupsClaim == "groups" && p.RolesClaim == ""}
	}
	for id, c := range cfg.Clients {
		env.Clients[id] = audiencesOf(c)
	}
	for name := range cfg.Databricks.Accounts {
		env.Accounts = append(env.Accounts, name)
	}
	secrets := mintingOf(cfg).Credentials
	for principal, c := range cfg.Databricks.Credentials {
		made := mapping.Credential{Method: exchange.Method(c.Method)}
		if secret, has := secrets[principal]; has {
			made.Generation = secret.Generation()
		}
		env.Credentials[principal] = made
	}
	return env
}

// readPolicy reads the policy's files.
func readPolicy(paths []string) ([]mapping.File, error) {
	files := make([]mapping.File, len(paths))
	for i, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the policy: %w", err)
		}
		files[i] = mapping.File{Name: path, Data: data}
	}
	return files, nil
}

// filesOf are the files whose change asks for a reload.
func filesOf(path string, cfg *config.Config) []string {
	files := append([]string{path}, cfg.Policy.Files...)
	for _, c := range cfg.Databricks.Credentials {
		if c.ClientSecret.File != "" {
			files = append(files, c.ClientSecret.File)
		}
	}
	for _, p := range cfg.IdentityProviders {
		if p.Introspection != nil && p.Introspection.ClientSecret.File != "" {
			files = append(files, p.Introspection.ClientSecret.File)
		}
		if p.Graph != nil && p.Graph.ClientSecret.File != "" {
			files = append(files, p.Graph.ClientSecret.File)
		}
	}
	for _, c := range cfg.Clients {
		if c.JWKS.Path != "" {
			files = append(files, c.JWKS.Path)
		}
	}
	return files
}
