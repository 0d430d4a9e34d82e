// Package saml proves who a SAML 2.0 assertion speaks of: it is the exchange.Verifier for assertions of the configured
// identity providers, presented as urn:ietf:params:oauth:token-type:saml2 (RFC 8693 §3, RFC 7522).
//
// Start at [Pool.Verify] in verify.go. An assertion is opened by one strict parser that knows no document types, entities or
// comments; it must have the one form in which a signature can only be of all of it; its Issuer chooses among the
// configured providers and does nothing else; a key of that provider's metadata must have made the signature, whatever
// KeyInfo says. Then the canonical bytes whose digest was signed are parsed anew, and only these are read.
//
//	config.go     Config, Provider, and what is refused in them
//	pool.go       Pool: New, Prepare and Commit (a reload, all or nothing), Run, Health
//	verify.go     the way of one assertion
//	xml.go        the parser: the part of XML that nobody can read in two ways
//	node.go       what it makes: elements, and the namespaces in force in each
//	shape.go      base64url; one assertion, one signature, and where it stands
//	signature.go  what the signature says, and whether it is so
//	canonical.go  the bytes that are signed (goxmldsig)
//	conditions.go Issuer, Subject, Conditions: whom it is for, and when
//	claims.go     whom it speaks of: name, groups, attributes
//	time.go       times as SAML writes them
//	metadata.go   what a provider publishes: its entity, its certificates
//	source.go     the metadata that is known, how long it is trusted (when it is fetched: ../internal/refresh)
//	fetch.go      where it comes from: a URI, a file
//	metrics.go    what is counted
//	examine.go    what a look at a provider finds, for sts doctor
//
// Every assertion is accepted once, on all replicas, and nothing of it is kept.
package saml
