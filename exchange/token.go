package exchange

import (
	"crypto/sha256"
	"time"
)

// Token is a Databricks token, bounded.
type Token struct {
	Text Secret
	// Scopes are those of the grant, sorted.
	Scopes []string
	// Details are those of the grant.
	Details Details
	// TrueExpiry is when Databricks itself stops accepting it, in whole seconds.
	TrueExpiry time.Time
	// Bound says what enforces the lifetime.
	Bound Bound
	// Mint is the id of the mint event.
	Mint MintID
	// SHA256 is the hash of Text.
	SHA256 [sha256.Size]byte
	// Cache says where this copy came from.
	Cache Cache
}

// Bound says what enforces a token's lifetime.
type Bound string

// The bounds.
const (
	BoundToken  Bound = "token"  // Databricks: the token dies at TrueExpiry, which is within what was granted
	BoundServed Bound = "served" // only we: the token may outlive what was granted, until TrueExpiry
)

// Cache says where a token came from.
type Cache string

// The places.
const (
	CacheMemory Cache = "memory"
	CacheRedis  Cache = "redis"
	CacheMinted Cache = "minted"
)

// MintID is a UUIDv7: the id of a mint's event and the jti of its assertion.
type MintID string
