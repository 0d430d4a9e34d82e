// Package store keeps things: tokens, which may vanish at any time, and the ledger, which must not.
//
// Walk [Tokens.Obtain] in tokens.go first. A request that finds a token that fits is one hash, one look into memory and
// one opening of a seal; everything else is about what happens when it does not find one.
//
//	tokens.go     Obtain: look, else share a flight; what is done while minting is unavailable
//	ladder.go     how long a mint lives, and which cached token fits whom (docs/adr/0003)
//	key.go        the 32 bytes that a token is kept under: everything that it was minted by
//	entry.go      a token as sealed bytes, bound to its key
//	memory.go     the memory tier, bounded in entries and bytes
//	flight.go     one mint for everybody who waits for it, which no caller can cancel
//	mint.go       one attempt: ask, check the answer, record it, keep it
//	failures.go   when to try again, and whether minting is unavailable
//	metrics.go    what is counted
//
// Replicas share a Redis, which is never trusted and never needed (docs/redis.md):
//
//	redis.go         one call in bounded time, or none while Redis is left alone; health and metrics
//	redis_tokens.go  a flight's way over Redis: look, wait for whoever mints, else mint and share
//	redis_lock.go    the lock by which one of them mints, kept while it is needed
//
// Which client was handed which token, for introspection and revocation:
//
//	handouts.go        in memory, what this replica handed out; what waits to be shared
//	redis_handouts.go  in Redis, what all did, sealed
//
// What may be used once, such as a client's assertion:
//
//	once_memory.go  marks in memory, for a single replica
//	redis_once.go   marks in Redis, for many; what loses marks permits no replay
//
// The ledger and the keyset that seals what it keeps secret:
//
//	ledger.go     what is a key of the ledger, and how its absence is told
//	sqlite.go     the ledger in one SQLite file, by compare and swap, safe between processes
//	migrate.go    its schema, forward and one step back, from migrations/
//	postgres.go   the ledger that replicas share, by the same compare and swap, bounded in time and connections
//	postgres_pool.go, postgres_migrate.go  how it is reached, and its schema
//	              a command's ledger is opened AsItIs: a program of another version changes no schema in passing
//	keyset.go     the tink keyset file: made once, never overwritten
//	keyset_rotate.go  a new key for it, in steps that no replica notices
//
// A port has one conformance suite, in storetest, with the fakes that it needs; every backend runs it.
package store
