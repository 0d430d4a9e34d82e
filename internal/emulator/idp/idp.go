package idp

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// Config says which issuers there are.
type Config struct {
	// Addr is where Start listens; "127.0.0.1:0" if empty.
	Addr string
	// URL is the server's own URL; empty means where Start listened. Set it where the server is used as a bare handler.
	URL string
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// Issuers are the issuers; one called "default" if empty. The first is the one that a Token without Issuer is of.
	Issuers []IssuerConfig
}

// IssuerConfig describes one issuer.
type IssuerConfig struct {
	// Name is the issuer's path on the server: its URL is the server's, "/", and the name.
	Name string `json:"name"`
	// Issuer is what it calls itself (iss) instead of that URL.
	Issuer string `json:"issuer"`
	// Audience is the aud of tokens that name none; empty leaves it out.
	Audience string `json:"audience"`
	// Algorithms are those of the keys that are published from the start; RS256 and ES256 if empty. Keys of other
	// algorithms are made and published when a token asks for them. The first is that of a Token without Algorithm.
	Algorithms []string `json:"algorithms"`
	// KeysPath is where its keys are, below its own path; "/jwks" if empty.
	KeysPath string `json:"keys_path"`
	// Inquirers are the secrets of the clients that may ask about its tokens (RFC 7662), by client id; none if empty.
	Inquirers map[string]string `json:"inquirers"`
	// Prefix is how its opaque tokens begin.
	Prefix string `json:"prefix"`
}

// Server is the emulated provider. Its routes are each issuer's discovery document and JWKS.
type Server struct {
	*emulator.Server
	issuers []*Issuer
}

var issuerName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*$`)

// New makes a provider with keys of its own.
func New(cfg Config) (*Server, error) {
	if len(cfg.Issuers) == 0 {
		cfg.Issuers = []IssuerConfig{{Name: "default"}}
	}
	s := &Server{Server: emulator.NewServer(emulator.Config{Addr: cfg.Addr, URL: cfg.URL, Now: cfg.Now})}
	seen := map[string]bool{}
	for _, c := range cfg.Issuers {
		if !issuerName.MatchString(c.Name) || seen[c.Name] {
			return nil, fmt.Errorf("idp: issuer name %q is no path of small letters, or is used twice", c.Name)
		}
		seen[c.Name] = true
		issuer, err := newIssuer(s, c)
		if err != nil {
			return nil, fmt.Errorf("idp: issuer %s: %w", c.Name, err)
		}
		s.issuers = append(s.issuers, issuer)
		s.Handle(issuer.DiscoveryRoute(), issuer.serveDiscovery)
		s.Handle(issuer.JWKSRoute(), issuer.serveJWKS)
		if len(c.Inquirers) > 0 {
			s.Handle(issuer.IntrospectionRoute(), issuer.serveIntrospection)
			s.Remember(slices.Collect(maps.Values(c.Inquirers))...)
		}
	}
	s.Control("POST /_emulator/tokens", s.postTokens)
	s.Control("POST /_emulator/keys", s.postKeys)
	return s, nil
}

// Issuer returns the issuer of that name, the first for "", nil if there is none.
func (s *Server) Issuer(name string) *Issuer {
	for _, i := range s.issuers {
		if i.cfg.Name == name || name == "" {
			return i
		}
	}
	return nil
}

// Issuers returns the issuers in the order of the configuration.
func (s *Server) Issuers() []*Issuer { return slices.Clone(s.issuers) }

// Name is the issuer's path on the server.
func (i *Issuer) Name() string { return i.cfg.Name }

// DiscoveryRoute is the route of the issuer's discovery document, as faults and totals name it.
func (i *Issuer) DiscoveryRoute() string {
	return "GET /" + i.cfg.Name + "/.well-known/openid-configuration"
}

// JWKSRoute is the route of the issuer's keys.
func (i *Issuer) JWKSRoute() string { return "GET /" + i.cfg.Name + i.keysPath() }

func (i *Issuer) keysPath() string { return cmp.Or(i.cfg.KeysPath, "/jwks") }

// URL is what the issuer calls itself: the iss of its tokens.
func (i *Issuer) URL() string {
	if i.cfg.Issuer != "" {
		return i.cfg.Issuer
	}
	return i.base()
}

// JWKSURI is where the issuer's keys are, whatever it calls itself.
func (i *Issuer) JWKSURI() string { return i.base() + i.keysPath() }

func (i *Issuer) base() string { return i.srv.URL() + "/" + i.cfg.Name }

func (i *Issuer) serveDiscovery(w http.ResponseWriter, _ *http.Request) {
	document := map[string]any{
		"issuer":                                i.URL(),
		"jwks_uri":                              i.JWKSURI(),
		"authorization_endpoint":                i.base() + "/authorize",
		"token_endpoint":                        i.base() + "/token",
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": i.algorithms(),
	}
	if len(i.cfg.Inquirers) > 0 {
		document["introspection_endpoint"] = i.IntrospectionEndpoint()
	}
	emulator.WriteJSON(w, http.StatusOK, document)
}

func (i *Issuer) serveJWKS(w http.ResponseWriter, _ *http.Request) {
	emulator.WriteJSON(w, http.StatusOK, i.JWKS())
}
