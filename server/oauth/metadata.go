package oauth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/fault"
	"github.com/lakegate/sts/server/inbound"
)

// Where the endpoints stand, below the issuer.
const (
	TokenPath         = "/oauth2/token"
	IntrospectionPath = "/oauth2/introspect"
	RevocationPath    = "/oauth2/revoke"
)

const (
	serverMetadataPath = "/.well-known/oauth-authorization-server"
	discoveryPath      = "/.well-known/openid-configuration"
	jwksPath           = "/.well-known/jwks.json"
)

// How long readers may keep the documents. A key is published long before it signs, so minutes are short enough.
const (
	metadataAge = time.Hour
	jwksAge     = 5 * time.Minute
)

// MetadataConfig is what the documents are made of. All of it is needed, but for the methods.
type MetadataConfig struct {
	// Issuer is our own issuer identifier (RFC 8414), FederationIssuer the one that Databricks knows; mostly the same.
	Issuer           string
	FederationIssuer string
	// JWKS returns the key set of the federation issuer, as JSON.
	JWKS func() []byte
	// AuthMethods are how clients can authenticate; nil means all of [clients.Methods].
	AuthMethods []clients.Method
	// Refuse records a failure and returns it with the id of its record.
	Refuse func(f exchange.Failure) *exchange.Error
}

// serverMetadata is RFC 8414 §2, and RFC 9396 §10.
type serverMetadata struct {
	Issuer        string `json:"issuer"`
	TokenEndpoint string `json:"token_endpoint"`
	JWKSURI       string `json:"jwks_uri"`
	// ResponseTypes is mandatory there, and empty here: there is no authorization endpoint.
	ResponseTypes []string         `json:"response_types_supported"`
	GrantTypes    []string         `json:"grant_types_supported"`
	AuthMethods   []clients.Method `json:"token_endpoint_auth_methods_supported"`
	AuthAlgs      []string         `json:"token_endpoint_auth_signing_alg_values_supported"`

	// Clients authenticate everywhere alike, but what isn't said again has other defaults.
	Introspection            string           `json:"introspection_endpoint"`
	IntrospectionAuthMethods []clients.Method `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAuthAlgs    []string         `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	Revocation               string           `json:"revocation_endpoint"`
	RevocationAuthMethods    []clients.Method `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthAlgs       []string         `json:"revocation_endpoint_auth_signing_alg_values_supported"`

	DetailTypes   []string `json:"authorization_details_types_supported"`
	Documentation string   `json:"service_documentation"`
}

// discovery is what of OpenID Connect Discovery 1.0 §3 a verifier of our assertions reads.
type discovery struct {
	Issuer        string   `json:"issuer"`
	JWKSURI       string   `json:"jwks_uri"`
	ResponseTypes []string `json:"response_types_supported"`
	SubjectTypes  []string `json:"subject_types_supported"`
	SigningAlgs   []string `json:"id_token_signing_alg_values_supported"`
}

// Metadata returns the documents by the paths that they stand at. An issuer with a path has them where its path says
// (RFC 8414 §3.1 puts the well-known part in front of it, OpenID behind it), and without, for a proxy that takes the
// path off.
func Metadata(c MetadataConfig) (map[string]http.Handler, error) {
	if c.AuthMethods == nil {
		c.AuthMethods = clients.Methods()
	}
	own, err := parseIssuer(c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	federation, err := parseIssuer(c.FederationIssuer)
	if err != nil {
		return nil, fmt.Errorf("databricks.federation.issuer: %w", err)
	}
	server := document{body: constant(serverMetadata{
		Issuer:        c.Issuer,
		TokenEndpoint: own.base + TokenPath,
		JWKSURI:       own.base + jwksPath,
		ResponseTypes: []string{},
		GrantTypes:    []string{exchange.GrantTypeTokenExchange},
		AuthMethods:   c.AuthMethods,
		AuthAlgs:      clients.AssertionAlgorithms(),

		Introspection:            own.base + IntrospectionPath,
		IntrospectionAuthMethods: c.AuthMethods,
		IntrospectionAuthAlgs:    clients.AssertionAlgorithms(),
		Revocation:               own.base + RevocationPath,
		RevocationAuthMethods:    c.AuthMethods,
		RevocationAuthAlgs:       clients.AssertionAlgorithms(),

		DetailTypes:   []string{exchange.DetailTypeWorkspacePermission},
		Documentation: "https://github.com/lakegate/sts",
	}), age: metadataAge, refuse: c.Refuse}
	openid := document{body: constant(discovery{
		Issuer:        c.FederationIssuer,
		JWKSURI:       federation.base + jwksPath,
		ResponseTypes: []string{"id_token"},
		SubjectTypes:  []string{"public"},
		SigningAlgs:   []string{"ES256"},
	}), age: metadataAge, refuse: c.Refuse}
	jwks := document{body: c.JWKS, age: jwksAge, refuse: c.Refuse}

	routes := map[string]http.Handler{serverMetadataPath: server, serverMetadataPath + own.path: server}
	for _, path := range []string{"", own.path, federation.path} {
		routes[path+discoveryPath] = openid
		routes[path+jwksPath] = jwks
	}
	return routes, nil
}

// Routes returns the endpoints by the paths that they stand at: below the issuer, and without its path, for a proxy that
// takes that off.
func (e *Endpoint) Routes(issuer string) (map[string]http.Handler, error) {
	i, err := parseIssuer(issuer)
	if err != nil {
		return nil, err
	}
	routes := map[string]http.Handler{}
	for path, endpoint := range map[string]http.Handler{
		TokenPath: e, IntrospectionPath: e.Introspection(), RevocationPath: e.Revocation(),
	} {
		routes[path], routes[i.path+path] = endpoint, endpoint
	}
	return routes, nil
}

// TokenEndpoint is the URL of the token endpoint of an issuer.
func TokenEndpoint(issuer string) (string, error) {
	i, err := parseIssuer(issuer)
	return i.base + TokenPath, err
}

type issuer struct {
	base string // the URL without a trailing slash
	path string // its path, likewise; mostly ""
}

func parseIssuer(text string) (issuer, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.RawQuery != "" || strings.Contains(text, "#") {
		return issuer{}, fmt.Errorf("must be an absolute URL without query and fragment (RFC 8414 Section 2)")
	}
	return issuer{base: strings.TrimSuffix(text, "/"), path: strings.TrimSuffix(u.Path, "/")}, nil
}

func constant(v any) func() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // strings always encode
	return b.Bytes
}

// document is a public JSON document.
type document struct {
	body   func() []byte
	age    time.Duration
	refuse func(exchange.Failure) *exchange.Error
}

func (d document) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		err := exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonMethodNotAllowed, "this document is read by GET")
		fault.Write(w, d.refuse(exchange.Failure{Entrance: "metadata", Source: exchange.Source{Peer: inbound.Peer(r)}, Err: err}))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(d.age/time.Second)))
	_, _ = w.Write(d.body()) // the caller has gone: nobody to tell
}
