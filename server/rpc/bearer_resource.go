package rpc

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// Resource is the API as a protected resource (RFC 9728).
type Resource struct {
	// Identifier is our issuer's URL and "/v1".
	Identifier string
	// Metadata is the URL at which the metadata are read: the well-known part stands between host and path (§3.1).
	Metadata string
	// path is that of the issuer, mostly "".
	path string
}

const resourcePath = "/.well-known/oauth-protected-resource"

// ResourceOf is the resource of a service with that issuer identifier.
func ResourceOf(issuer string) (Resource, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.RawQuery != "" || strings.Contains(issuer, "#") {
		return Resource{}, fmt.Errorf("issuer: must be an absolute URL without query and fragment (RFC 9728 Section 1.2)")
	}
	path := strings.TrimSuffix(u.Path, "/")
	return Resource{
		Identifier: u.Scheme + "://" + u.Host + path + "/v1",
		Metadata:   u.Scheme + "://" + u.Host + resourcePath + path + "/v1",
		path:       path,
	}, nil
}

// Paths are where the metadata stand: where the issuer's path says, and without it, for a proxy that takes it off.
func (r Resource) Paths() []string {
	return []string{resourcePath + "/v1", resourcePath + r.path + "/v1"}
}

// Document is the metadata (RFC 9728 §2). The authorization servers are those whose tokens may have a role.
func (r Resource) Document(authorizationServers []string) []byte {
	text, err := json.Marshal(struct {
		Resource      string   `json:"resource"`
		Servers       []string `json:"authorization_servers,omitempty"`
		Methods       []string `json:"bearer_methods_supported"`
		Name          string   `json:"resource_name"`
		Documentation string   `json:"resource_documentation"`
	}{r.Identifier, authorizationServers, []string{"header"}, "Lakegate STS", "https://github.com/lakegate/sts/blob/main/docs/api.md"})
	if err != nil {
		panic(fmt.Sprintf("encoding strings: %v", err)) // strings always encode
	}
	return text
}
