// Package admission limits who may ask how often, and knows what was ended before its time. It answers from what this
// process knows, never by a round trip.
//
// Three limits stand before any signature is checked, since that is what costs: [Gate.Enter] asks them in turn.
//
//	gate.go     the three limits, and their errors
//	buckets.go  one token bucket for each client, one for all (golang.org/x/time/rate under our clock)
//	strikes.go  invalid subject tokens, counted by client and source in a table that can't grow without bound
//
// Two more stand behind the decision, of each subject and each actor with a client, which are known only then:
// [Gate.Admit].
//
//	shares.go   their buckets, in a table that can't grow without bound either
//
// A limit is part of a client's registration and so comes with each request: a reload needs no word to this package.
//
// What is revoked stands in the ledger. [Revocations.End] adds to it, and [Revocations.Look] brings it to each replica,
// once a second:
//
//	revocations.go  what is in force here, and how it is followed
//	claims.go       tokens that clients have given up: the ledger's list of them, its bound, compare and swap
package admission
