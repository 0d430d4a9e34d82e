package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/jwt"
)

// Config is what a Pool is made of. Only Providers is needed; the zero value of the rest is what the comment says.
type Config struct {
	Providers []Provider

	// ClientAudience is our own issuer identifier: the one audience of a token that authenticates a client
	// (exchange.UseClient). Where it is empty, none does.
	ClientAudience string

	// Groups is asked for the groups that a token leaves out, of providers with ResolveOverage. Those need it.
	Groups GroupSource

	// Once marks tokens that were used, of providers whose tokens are for a single use. Those need it.
	Once exchange.Once

	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Random spreads refreshes over time, in [0,1). Default math/rand/v2.Float64.
	Random func() float64
	// Log hears of keys that can't be fetched or used. Default slog.Default().
	Log *slog.Logger
	// Metrics is where the metrics of metrics.go are registered. Default nowhere.
	Metrics prometheus.Registerer

	// RootCAs are who may vouch for the providers' servers. Default the system's.
	RootCAs *x509.CertPool
	// FetchTimeout bounds one request to a provider. Default 5 s.
	FetchTimeout time.Duration
	// MaxWait bounds how long a caller waits for keys; the fetch goes on without him. Default 3 s.
	MaxWait time.Duration
	// RefreshInterval is how often keys are fetched ahead of need. Default 5 min, of which up to a fifth is left off by
	// chance.
	RefreshInterval time.Duration

	// CacheBytes and CacheEntries bound the cache of verified tokens. Default 96 MiB, estimated, and 100,000.
	CacheBytes   uint64
	CacheEntries uint64
}

// Provider is an identity provider whose JWTs are accepted.
type Provider struct {
	// Name is what configuration and policy call it.
	Name string
	// Issuer is the iss of its tokens, compared byte for byte. Each issuer has one provider: a person is one identity.
	Issuer string
	// Tenants are the tenants of Entra ID whose tokens are accepted, by their ids. Issuer holds the id, or, for which the id
	// of each is put, "{tenantid}". A token's tid must be the tenant of its iss. Default none: a provider of another kind.
	Tenants []string
	// OtherIssuer is another iss of the same people's tokens, written as Issuer is: Entra ID's of version 1 beside version 2.
	// Their identities have Issuer all the same, since a person is one identity.
	OtherIssuer string
	// Audiences are ours: a token's aud must hold one of them.
	Audiences []string
	// TokenTypes are the types that its tokens may be presented as: TypeAccessToken, TypeIDToken, TypeJWT.
	TokenTypes []exchange.TokenType
	// Algorithms its tokens may be signed by. Default RS256 and ES256; all of jwt.Algorithms are known.
	Algorithms []string

	// JWKSURI is where its keys are, JWKSFile the file that they are in; with neither, the issuer's discovery document
	// says.
	JWKSURI  string
	JWKSFile string
	// JWKSCAFile holds the CAs that alone may vouch for the server of the keys, in PEM, and JWKSTokenFile a bearer token
	// for JWKSURI. Both are read again at each fetch. They are for a cluster that publishes its keys to who it knows.
	JWKSCAFile    string
	JWKSTokenFile string

	// TrustDomain is the SPIFFE trust domain of a provider of JWT-SVIDs. Its Issuer is "spiffe://" and this, whatever iss
	// its tokens have; its keys are a trust bundle, at JWKSURI or in JWKSFile; its subjects are SPIFFE IDs.
	TrustDomain string

	// Introspection is where its access tokens are asked about, which may then be opaque. Nil where they are JWTs that are
	// verified by its keys, as tokens of the other types always are.
	Introspection *Introspection

	// SubjectClaims are the names of the claims that tell its subjects apart, by token type, where it isn't sub. They are
	// for a provider that gives a person another sub in another type of token.
	SubjectClaims map[exchange.TokenType]string
	// GroupsClaim is where the groups are: a name, a dotted path, or a JSON pointer (RFC 6901). A name that holds "://" is
	// a name, whatever dots are in it. Default "groups".
	GroupsClaim string
	// RolesClaim is where roles are that count as groups, too, written as GroupsClaim is. A token without it has none.
	// Default none.
	RolesClaim string
	// ResolveOverage has Config.Groups asked where a token leaves its groups out.
	ResolveOverage bool
	// PartyClaims name whom a token was issued to; the first that is there counts. Default azp, client_id.
	PartyClaims []string
	// RequireTyp is the typ that a token's header must have, such as at+jwt (RFC 9068). Default any that fits its type.
	RequireTyp string

	// ClockSkew widens nbf and iat, never exp. Zero is none.
	ClockSkew time.Duration
	// MaxTokenAge is how old, by iat, a token may be. Default DefaultMaxTokenAge.
	MaxTokenAge time.Duration
	// SingleUse accepts each token once, by its jti, which it must have.
	SingleUse bool
	// JWKSMaxStale is how long keys are trusted that can't be fetched anew. Default DefaultJWKSMaxStale.
	JWKSMaxStale time.Duration
}

// The defaults of a provider. DefaultClockSkew is for the configuration to fill in, since zero is a value here.
const (
	DefaultClockSkew    = 30 * time.Second
	DefaultMaxTokenAge  = 24 * time.Hour
	DefaultJWKSMaxStale = 24 * time.Hour
	maxClockSkew        = 10 * time.Minute
)

func (p Provider) withDefaults() Provider {
	if len(p.Algorithms) == 0 {
		p.Algorithms = []string{"RS256", "ES256"}
	}
	if p.GroupsClaim == "" {
		p.GroupsClaim = "groups"
	}
	if len(p.PartyClaims) == 0 {
		p.PartyClaims = []string{"azp", "client_id"}
	}
	if p.MaxTokenAge == 0 {
		p.MaxTokenAge = DefaultMaxTokenAge
	}
	if p.JWKSMaxStale == 0 {
		p.JWKSMaxStale = DefaultJWKSMaxStale
	}
	return p
}

// checkProviders tells every fault at once.
func (c Config) checkProviders(providers []Provider) error {
	var faults []error
	names, issuers, prefixes := map[string]bool{}, map[string]string{}, map[string]string{}
	for _, p := range providers {
		for _, fault := range p.faults() {
			faults = append(faults, fmt.Errorf("identity provider %s: %w", p.Name, fault))
		}
		if p.ResolveOverage && c.Groups == nil {
			faults = append(faults, fmt.Errorf("identity provider %s: nobody is there to ask for groups", p.Name))
		}
		if p.SingleUse && c.Once == nil {
			faults = append(faults, fmt.Errorf("identity provider %s: single_use needs a store of marks", p.Name))
		}
		if names[p.Name] {
			faults = append(faults, fmt.Errorf("identity provider %s is there twice", p.Name))
		}
		for issuer := range p.tenancies() {
			if other, there := issuers[issuer]; there {
				faults = append(faults, fmt.Errorf("identity providers %s and %s have the same issuer; make them one", other, p.Name))
			}
			issuers[issuer] = p.Name
		}
		names[p.Name] = true
		if p.Introspection == nil {
			continue
		}
		if other, there := prefixes[p.Introspection.Prefix]; there {
			faults = append(faults, fmt.Errorf("identity providers %s and %s have the same introspection.prefix, or both have none: an opaque token must lead to one", other, p.Name))
		}
		prefixes[p.Introspection.Prefix] = p.Name
	}
	return errors.Join(faults...)
}

func (p Provider) faults() (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if p.Name == "" {
		fault("it has no name")
	}
	if len(p.Audiences) == 0 || slices.ContainsFunc(p.Audiences, unprintable) {
		fault("audiences must name at least one audience, in printable ASCII")
	}
	if len(p.TokenTypes) == 0 {
		fault("token_types is empty")
	}
	for _, t := range p.TokenTypes {
		if typeIndex(t) == 0 {
			fault("the token type %s is not one of a JWT", t)
		}
	}
	for _, algorithm := range p.Algorithms {
		if !slices.Contains(jwt.Algorithms(), algorithm) {
			fault("the algorithm %s is not one of %s", algorithm, strings.Join(jwt.Algorithms(), ", "))
		}
	}
	for t, claim := range p.SubjectClaims {
		if p.TrustDomain != "" && claim != "sub" {
			fault("subject_claim can't be changed for JWT-SVIDs: their sub is who they are of")
		}
		if typeIndex(t) == 0 || claim == "" {
			fault("subject_claim must name a claim for a token type")
		}
	}
	if _, err := parsePath(p.GroupsClaim); err != nil {
		fault("groups_claim %w", err)
	}
	if _, err := parsePath(p.RolesClaim); err != nil {
		fault("roles_claim %w", err)
	}
	faults = append(faults, p.tenantFaults()...)
	if p.ClockSkew < 0 || p.ClockSkew > maxClockSkew {
		fault("clock_skew must be between 0 and %s", maxClockSkew)
	}
	if p.MaxTokenAge < 0 || p.JWKSMaxStale < 0 {
		fault("max_token_age and jwks_max_stale can't be negative")
	}
	if p.Introspection != nil {
		faults = append(faults, p.introspectionFaults()...)
	}
	return append(faults, p.sourceFaults()...)
}

// introspectionFaults are those of how its access tokens are asked about.
func (p Provider) introspectionFaults() (faults []error) {
	if _, err := dialable(p.Introspection.Endpoint); err != nil {
		faults = append(faults, fmt.Errorf("introspection.endpoint %w", err))
	}
	if p.Introspection.ClientID == "" || p.Introspection.ClientSecret == "" {
		faults = append(faults, errors.New("introspection needs a client_id and a secret"))
	}
	if prefix := p.Introspection.Prefix; prefix != "" && !isBearer(prefix) {
		faults = append(faults, errors.New("introspection.prefix has characters that no bearer token has"))
	}
	if !slices.Contains(p.TokenTypes, exchange.TypeAccessToken) {
		faults = append(faults, errors.New("introspection is for access tokens, and access_token is not among its token_types"))
	}
	if p.TrustDomain != "" || len(p.Tenants) > 0 {
		faults = append(faults, errors.New("nobody can be asked about JWT-SVIDs and tokens of Entra ID; leave introspection out"))
	}
	return faults
}

// usesKeys reports whether any of its tokens are verified by its keys.
func (p Provider) usesKeys() bool {
	return p.Introspection == nil || slices.ContainsFunc(p.TokenTypes, func(t exchange.TokenType) bool { return t != exchange.TypeAccessToken })
}

// sourceFaults are those of where the keys come from.
func (p Provider) sourceFaults() (faults []error) {
	switch {
	case unprintable(p.Issuer):
		faults = append(faults, errors.New("issuer must be printable ASCII, and not empty"))
	case p.TrustDomain != "" && (!jwt.IsTrustDomain(p.TrustDomain) || p.Issuer != "spiffe://"+p.TrustDomain):
		faults = append(faults, errors.New("trust_domain must be in small letters, and its issuer spiffe:// and that"))
	case p.TrustDomain != "" && p.JWKSURI == "" && p.JWKSFile == "":
		faults = append(faults, errors.New("a trust domain needs jwks_uri or jwks_file: its trust bundle"))
	case p.JWKSFile != "" && p.JWKSCAFile != "":
		faults = append(faults, errors.New("jwks_ca_file is for keys that are fetched, and jwks_file is none"))
	case p.JWKSTokenFile != "" && !strings.HasPrefix(p.JWKSURI, "https://"):
		faults = append(faults, errors.New("jwks_token_file needs a jwks_uri with https: a bearer token goes to a configured address alone"))
	case p.JWKSURI != "" && p.JWKSFile != "":
		faults = append(faults, errors.New("has both jwks_uri and jwks_file; keep one"))
	case p.JWKSURI != "":
		if _, err := dialable(p.JWKSURI); err != nil {
			faults = append(faults, fmt.Errorf("jwks_uri %w", err))
		}
	case p.JWKSFile == "" && p.usesKeys():
		if u, err := dialable(p.Issuer); err != nil {
			faults = append(faults, fmt.Errorf("issuer %w, since its keys are found by discovery; or set jwks_uri or jwks_file", err))
		} else if u.RawQuery != "" {
			faults = append(faults, errors.New("issuer can't have a query (RFC 8414 §2)"))
		}
	}
	return faults
}

// unprintable reports whether text can't be shown in an error_description (RFC 6749 §5.2), or is empty.
func unprintable(text string) bool {
	return text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' || r == '"' || r == '\\' })
}

// dialable reads a URL that keys may be fetched from: https, or http on the loopback.
func dialable(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.Contains(text, "#"):
		return nil, errors.New("must be an absolute https URL without user and fragment")
	case u.Scheme == "https", u.Scheme == "http" && IsLoopback(u):
		return u, nil
	default:
		return nil, errors.New("must be an https URL; http is for the loopback only")
	}
}

// IsLoopback reports whether a URL's host is this machine.
func IsLoopback(u *url.URL) bool {
	host := u.Hostname()
	address, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && address.IsLoopback())
}
