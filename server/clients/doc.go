// Package clients knows the registered clients and proves who calls. It knows no transport: each entrance gathers what
// a request carries into [Credentials].
//
// A client has one authentication method and no other is accepted of it, so that a client can't be downgraded
// (RFC 9700 §2.5). Secrets are 256 random bits, so that a plain SHA-256 of them is safe to store, and cheap enough to
// compare on every request. An unknown client costs the same work and gets the same answer as a wrong secret.
//
//	registry.go      the clients in force, replaced as a whole: Prepare checks, Commit can't fail
//	authenticate.go  from credentials to a client: which one is presented, and by which method it is proved
//	basic.go         the Authorization header (RFC 6749 §2.3.1, Appendix B)
//	secret.go        making a secret
//	assertion.go     assertions that the client signs (private_key_jwt, RFC 7523); keys.go reads its keys
//	federated.go     tokens that the client's platform issued to it (federated_assertion): Kubernetes, SPIFFE
//	certificate.go   certificates (tls_client_auth, RFC 8705); dn.go reads names, authorities.go the CAs
//	forwarded.go     certificates that a trusted proxy forwards
package clients
