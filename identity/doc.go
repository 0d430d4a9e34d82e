// Package identity proves who a token speaks of: it is the exchange.Verifier for JSON Web Tokens of any configured
// OpenID Connect provider, and for opaque access tokens, of which it asks the provider.
//
// Start at [Pool.Verify] in verify.go. A token that was verified before, as the same type and for the same use, is found
// by its hash, and only what the clock and the key set may have changed since is looked at. Any other goes this way:
// read strictly (internal/jwt), choose the provider by the unverified iss among those that are configured, check the
// signature with that provider's keys and no others, judge what kind of token it is, then the claims.
//
//	config.go    Config, Provider, and what is refused in them
//	pool.go      Pool: New, Prepare and Commit (a reload, all or nothing), Run, Health
//	verify.go    the way of one token
//	profile.go   what kind of token it is, whatever it was presented as
//	spiffe.go    JWT-SVIDs: whose they are by their trust domain, and what their sub must be
//	claims.go    audience, times, subject, party
//	act.go       who acts for the subject by the token's word, and who may
//	groups.go    groups, or the knowledge that we don't know them
//	skew.go      whose clock is wrong, as far as that can be known
//	introspect.go         tokens that their provider is asked about: the questions under way, and how it is doing
//	introspect_call.go    one question and its answer (RFC 7662)
//	introspect_verify.go  whose an opaque token is, and what only answers have
//	tenants.go   Entra ID's tenants, which share their keys: whose token it is
//	overage.go   groups that the token leaves out, and who is asked for them
//	once.go      tokens that are accepted once
//	internal/refusal  what a caller is told, and what is accepted once, alike for all kinds of tokens
//	cache.go     what was verified, and until when that holds
//	keys.go      a provider's keys, and what becomes of those that it withdraws
//	source.go    the keys that are known, how long they are trusted
//	internal/refresh  when keys are fetched, and who waits for it
//	internal/verifications  how many of them were accepted and refused, alike for all kinds
//	fetch.go     where they come from: discovery, a URI, a file
//	access.go    how they are fetched from who has a CA of his own, and publishes to who he knows
//	metrics.go   what is counted
//	examine.go   what a look at a provider finds, for sts doctor
//
// Each provider has its own keys, HTTP client and flights, so that the trouble of one slows no other. Nothing in a token
// makes us dial an address: the addresses are those of the configuration and of the discovery documents that it names.
package identity
