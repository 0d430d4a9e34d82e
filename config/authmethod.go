package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/lakegate/sts/internal/strictyaml"
)

// authMethod is how a client authenticates (RFC 7591 §2, token_endpoint_auth_method).
type authMethod string

func (m *authMethod) UnmarshalScalar(text string) error {
	*m = authMethod(text)
	return strictyaml.OneOf(text, authMethods...)
}

var authMethods = []string{methodBasic, methodPost, methodPrivateKeyJWT, methodFederated, methodTLS, methodNone}

// methodKeys are the keys that belong to a method, and to no other: a key that means nothing would be believed to.
var methodKeys = []struct {
	key     string
	methods []string
}{
	{"secret_sha256", []string{methodBasic, methodPost}},
	{"jwks_file", []string{methodPrivateKeyJWT}},
	{"audience_token_endpoint", []string{methodPrivateKeyJWT}},
	{"assertion_provider", []string{methodFederated}},
	{"assertion_subject", []string{methodFederated}},
	{"tls_client_auth_subject_dn", []string{methodTLS}},
	{"tls_client_auth_san_dns", []string{methodTLS}},
	{"tls_client_auth_san_uri", []string{methodTLS}},
}

// authentication reads what belongs to the client's method. What is in keys and names is checked by who understands it.
func (c *checker) authentication(client *Client, f *clientFile, id, path string, cas bool) {
	method := string(f.AuthMethod.V)
	client.AuthMethod = method
	c.foreignKeys(f, method, path)
	switch method {
	case methodBasic, methodPost:
		client.SecretSHA256 = c.secretDigests(f, id, path)
	case methodPrivateKeyJWT:
		if !f.Keys.Has("jwks_file") {
			c.missing(f.Pos, path, "jwks_file", "add it: the client's public keys, as a JWK set")
		}
		client.JWKS = c.content(f.JWKSFile, path+".jwks_file")
		client.AudienceTokenEndpoint = f.AudienceTokenEndpoint.V
	case methodFederated:
		client.AssertionProvider, client.AssertionSubject = f.AssertionProvider.V, f.AssertionSubject.V
		for key, v := range map[string]text{"assertion_provider": f.AssertionProvider, "assertion_subject": f.AssertionSubject} {
			if v.Set() {
				c.filled(v, path+"."+key)
			}
		}
	case methodTLS:
		client.SubjectDN, client.SANDNS, client.SANURI = f.SubjectDN.V, f.SANDNS.V, f.SANURI.V
		c.certificateName(f, path)
		if !cas {
			c.fault(f.AuthMethod.Pos, path+".auth_method", "a client certificate, and no CA to verify it against", "add listen.tls.client_ca_file")
		}
	}
}

// foreignKeys faults the keys of other methods.
func (c *checker) foreignKeys(f *clientFile, method, path string) {
	if !slices.Contains(authMethods, method) {
		return // that is said already
	}
	for _, k := range methodKeys {
		if k.key == "audience_token_endpoint" && !f.AudienceTokenEndpoint.V {
			continue // it asks for nothing
		}
		if f.Keys.Has(k.key) && !slices.Contains(k.methods, method) {
			c.fault(f.Pos, path, strconv.Quote(k.key)+" is a key of "+strings.Join(k.methods, " and ")+", and this client's auth_method is "+method, "leave it out; a client has one way to authenticate")
		}
	}
}

// certificateName wants one of three keys.
func (c *checker) certificateName(f *clientFile, path string) {
	var set []text
	for _, v := range []text{f.SubjectDN, f.SANDNS, f.SANURI} {
		if v.Set() {
			c.filled(v, path)
			set = append(set, v)
		}
	}
	switch {
	case len(set) == 0:
		c.missing(f.Pos, path, "tls_client_auth_subject_dn", "add it, or tls_client_auth_san_dns or tls_client_auth_san_uri: what the client's certificate says")
	case len(set) > 1:
		c.fault(set[1].Pos, path, "more than one of the names that a certificate may have", "keep one of tls_client_auth_subject_dn, tls_client_auth_san_dns, tls_client_auth_san_uri (RFC 8705 Section 2.1.2)")
	}
}

const maxSecrets = 2 // one in use, its successor during a rotation

// secretDigests checks the digests of a client that authenticates by secret.
func (c *checker) secretDigests(f *clientFile, id, path string) []Digest {
	if !f.Keys.Has("secret_sha256") {
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
	return digests.values()
}
