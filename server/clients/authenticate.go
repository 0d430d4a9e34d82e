package clients

import (
	"crypto/sha256"

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
}

// errUnauthenticated answers everybody who does not prove himself, whatever the cause, so that nobody can learn which
// clients there are.
func errUnauthenticated() *exchange.Error {
	return exchange.Refuse(exchange.CodeInvalidClient, exchange.ReasonClientAuthenticationFailed,
		"client authentication failed; check the client id, its secret, and that they come the way that its auth_method says (a Basic header needs both form-urlencoded)")
}

// Authenticate returns the client that the credentials prove. Its error is an *exchange.Error: CodeInvalidRequest
// where there is more than one credential (RFC 6749 §2.3), else CodeInvalidClient.
func (r *Registry) Authenticate(c Credentials) (*exchange.Client, error) {
	id, secret, method, err := c.claim()
	if err != nil {
		return nil, err
	}
	client, ok := r.prove(id, secret, method)
	if !ok {
		return nil, errUnauthenticated()
	}
	return client, nil
}

// claim finds the one credential that a request presents.
func (c *Credentials) claim() (id string, secret exchange.Secret, method Method, err error) {
	assertion := c.Assertion != "" || c.AssertionType != ""
	presented := 0
	for _, there := range []bool{c.Authorization != "", c.ClientSecret != "", assertion} {
		if there {
			presented++
		}
	}
	switch {
	case presented > 1:
		return "", "", "", exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed,
			"the request authenticates its client in more than one way; send one of the Authorization header, client_secret, client_assertion")
	case assertion:
		return "", "", "", exchange.Refuse(exchange.CodeInvalidClient, exchange.ReasonClientAuthenticationFailed,
			"client assertions are not accepted here; use client_secret_basic or client_secret_post, as registered")
	case c.Authorization == "":
		return c.ClientID, c.ClientSecret, MethodPost, nil
	}
	id, secret, ok := DecodeBasic(c.Authorization)
	switch {
	case !ok:
		return "", "", "", errUnauthenticated()
	case c.ClientID != "" && c.ClientID != id:
		return "", "", "", exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed,
			"client_id differs from the client in the Authorization header; send the same or leave it out")
	}
	return id, secret, MethodBasic, nil
}

// prove does the same work whether or not there is such a client, and whichever of its secrets is presented.
func (r *Registry) prove(id string, secret exchange.Secret, method Method) (*exchange.Client, bool) {
	snapshot := r.current.Load()
	if snapshot == nil {
		return nil, false
	}
	e, known := snapshot.entries[id]
	if !known {
		e = snapshot.nobody
	}
	sum := sha256.Sum256([]byte(secret.Reveal()))
	match := 0
	for i := range e.hashes {
		match |= r.compare(sum[:], e.hashes[i][:])
	}
	return &e.client, match == 1 && known && e.method == method
}
