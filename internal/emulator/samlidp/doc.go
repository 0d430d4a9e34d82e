// Package samlidp emulates a SAML 2.0 identity provider: it publishes metadata and signs assertions.
//
//	samlidp.go   Config, Server: the entity, its keys, its metadata
//	assertion.go Assertion: what an assertion says, and its text
//	sign.go      XML signatures over text that is in canonical form to begin with
//	attacks.go   tokens that must be refused, each with a twin that must not: what is wrong with the text or what it says
//	wrapping.go  signature wrapping, XSW1 to XSW8 and their relatives, for a bare assertion
//
// It shares nothing with what verifies its assertions: it writes each element in Exclusive Canonical XML by hand, hashes
// that, and puts the signature in. What isn't canonical comes after (Assertion.Dressed).
package samlidp
