// Package issuer is our side of token federation: it owns the keys that Databricks verifies our assertions by.
//
// A key's life is written in one ledger entry, so that it survives restarts and is the same on every replica:
//
//	create    made, sealed, put into the JWKS; the very first key signs at once
//	activate  publish_ahead later at the earliest, it signs, and its predecessor no longer does
//	retire    the predecessor leaves the JWKS once the last assertion that it can have signed is over
//
// When a key activates and retires follows from the entry and the clock alone. No timer, cache or message decides it;
// a replica that was away for a month finds out by reading.
//
//	issuer.go    New, Run, Advance: read the entry, do what is due, write it back by compare and swap
//	life.go      what is due, as a function of the entry and the time
//	key.go       making, sealing and opening one key
//	sign.go      Sign and the JWKS
package issuer
