package clients

import (
	"context"
	"crypto/sha256"
	"crypto/x509"

	"github.com/lakegate/sts/exchange"
)

// Credentials are all that a request carries to prove its client. An empty value is an absent one (RFC 6749 §3.2).
type Credentials struct {
	// Authorization is the value of the header, or of the metadata entry.
	Authorization exchange.Secret
	ClientID      string
	ClientSecret  exchange.Secret
	// Assertion and AssertionType are client_assertion and client_assertion_type (RFC 7521 §4.2).
	Assertion     exchange.Secret
	AssertionType string

	// Certificates is the chain that the caller presented in its TLS handshake, its own first. The handshake has proved
	// that he holds the key; nothing else of it is checked yet. See [Proxies.Certify].
	Certificates []*x509.Certificate
	// Forwarded is a trusted proxy's X-Forwarded-Client-Cert instead.
	Forwarded string
}

// errUnauthenticated answers everybody who does not prove himself, whatever the cause, so that nobody can learn which
// clients there are.
func errUnauthenticated() *exchange.Error {
	return exchange.Refuse(exchange.CodeInvalidClient, exchange.ReasonClientAuthenticationFailed,
		"client authentication failed; check the client id, its secret, key or certificate, and that they come the way that its auth_method says (a Basic header needs both id and secret form-urlencoded)")
}

// Authenticate returns the client that the credentials prove. Its error is an *exchange.Error: CodeInvalidRequest
// where there is more than one credential (RFC 6749 §2.3), CodeUnauthorizedClient for a public client, CodeUnavailable
// where it can't be told whether an assertion was used before, else CodeInvalidClient.
func (r *Registry) Authenticate(ctx context.Context, c Credentials) (*exchange.Client, error) {
	s := r.current.Load()
	if s == nil {
		return nil, errUnauthenticated()
	}
	p, err := c.presented()
	if err != nil {
		return nil, err
	}
	switch p.method {
	case MethodPrivateKeyJWT:
		return r.byAssertion(ctx, s, &c)
	case MethodTLS:
		return r.byCertificate(s, &c)
	}
	return r.bySecret(s, p)
}

// presented is the one credential of a request: the method that it is of, and for secrets whose it is.
type presented struct {
	method Method
	id     string
	secret exchange.Secret
}

// presented finds the one credential that a request presents. A certificate comes with the connection, often without
// the caller's doing, so that it counts only where there is nothing else.
func (c *Credentials) presented() (presented, error) {
	assertion := c.Assertion != "" || c.AssertionType != ""
	count := 0
	for _, there := range []bool{c.Authorization != "", c.ClientSecret != "", assertion} {
		if there {
			count++
		}
	}
	switch {
	case count > 1:
		return presented{}, exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed,
			"the request authenticates its client in more than one way; send one of the Authorization header, client_secret, client_assertion")
	case assertion:
		return presented{method: MethodPrivateKeyJWT}, nil
	case count == 0 && (len(c.Certificates) > 0 || c.Forwarded != ""):
		return presented{method: MethodTLS}, nil
	case count == 0 && c.ClientID != "":
		return presented{method: MethodNone, id: c.ClientID}, nil
	case c.Authorization == "":
		return presented{MethodPost, c.ClientID, c.ClientSecret}, nil
	}
	id, secret, ok := DecodeBasic(c.Authorization)
	switch {
	case !ok:
		return presented{}, errUnauthenticated()
	case c.ClientID != "" && c.ClientID != id:
		return presented{}, exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed,
			"client_id differs from the client in the Authorization header; send the same or leave it out")
	}
	return presented{MethodBasic, id, secret}, nil
}

// bySecret does the same work whether or not there is such a client, and whichever of its secrets is presented. Without
// a credential it finds public clients, to whom no door is open here (RFC 8693 §2.1 leaves that to us).
func (r *Registry) bySecret(s *Snapshot, p presented) (*exchange.Client, error) {
	e, known := s.entries[p.id]
	if !known {
		e = s.nobody
	}
	sum := sha256.Sum256([]byte(p.secret.Reveal()))
	match := 0
	for i := range e.hashes {
		match |= r.compare(sum[:], e.hashes[i][:])
	}
	switch {
	case !known || e.method != p.method:
		return nil, errUnauthenticated()
	case e.method == MethodNone:
		return nil, exchange.Refuse(exchange.CodeUnauthorizedClient, exchange.ReasonClientNotAllowed,
			"this client is public, and public clients may not exchange tokens here; register it with a way to authenticate")
	case match != 1:
		return nil, errUnauthenticated()
	}
	return &e.client, nil
}

// byCertificate authenticates a client by the certificate of its connection (RFC 8705 §2.1, tls_client_auth).
func (r *Registry) byCertificate(s *Snapshot, c *Credentials) (*exchange.Client, error) {
	certificate := r.verified(c)
	e, known := s.entries[c.ClientID]
	switch {
	case known && e.method == MethodNone: // its connection's certificate proves nothing, and needs to prove nothing
		return r.bySecret(s, presented{method: MethodNone, id: c.ClientID})
	case !known || e.method != MethodTLS || certificate == nil || !e.name.matches(certificate):
		return nil, errUnauthenticated()
	}
	return &e.client, nil
}
