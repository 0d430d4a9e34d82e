// Package oauth is the token endpoint of RFC 6749 and RFC 8693, POST /oauth2/token, those of introspection (RFC 7662) and
// revocation (RFC 7009), and the service's metadata.
//
// The token endpoint is fosite's, and this is the only package that imports fosite; docs/adr/0005 says what of it is used and
// why the rest is our own. A request comes down like this:
//
//	endpoint.go  the way of one request: framing, form, fosite, answer; first failure wins
//	framing.go   what is wrong with a request before its body is looked at
//	form.go      the strict form decoder: each byte once, each parameter once
//	grant.go     what fosite calls: our client authentication and our grant
//	answer.go    the success body
//	inquiry.go   introspection and revocation: their form, their way, their answers
//	metadata.go  RFC 8414, OpenID discovery and the key set
package oauth
