// Package idp emulates an OpenID Connect provider: any number of issuers on one server, each with its own keys, and
// tokens with any claims and headers, good or bad in every way that a verifier must notice.
//
//	idp.go      Config, Server: what is published for each issuer, and the server's faults (embedded emulator.Server)
//	issuer.go   an issuer's keys: rotation, publication, withdrawal
//	token.go    Token, the recipe; Mint and MintMany
//	sign.go     signatures over arbitrary bytes, since JOSE libraries rightly refuse to make bad tokens
//	introspect.go  opaque tokens, and the endpoint that tells what they are
//	tamper.go   what is done to a token after it was signed
//	dialect_entra.go, dialect_okta.go, …  tokens and documents as one provider writes them
//	control.go  POST /_emulator/tokens and /_emulator/keys
//
// Slow, broken, huge, redirecting and dead providers are faults on an issuer's [Issuer.DiscoveryRoute] and
// [Issuer.JWKSRoute]; a provider whose clock is wrong is an offset of the server's.
package idp
