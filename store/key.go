package store

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/lakegate/sts/exchange"
)

// key is what a token is kept under: the hash of everything that it was minted by.
type key [sha256.Size]byte

// appendGrant appends the fields of a grant that make its token a different one, each behind its length, so that no
// two grants can be written alike. Names (workspace, principal) are left out: renaming mints nothing.
func appendGrant(b []byte, g *exchange.Grant) []byte {
	b = appendField(b, "sts token 1")
	b = appendField(b, g.Host)
	b = appendField(b, g.ApplicationID)
	b = appendField(b, string(g.Method))
	b = appendField(b, g.Credential)
	b = appendField(b, g.Isolation)
	b = binary.BigEndian.AppendUint32(b, uint32(len(g.Scopes))) //nolint:gosec // a handful
	for _, s := range g.Scopes {
		b = appendField(b, s)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(g.Details))) //nolint:gosec // bounded by its parser
	for i := range g.Details {
		d := &g.Details[i]
		b = appendField(b, d.Type)
		b = appendField(b, d.ObjectType)
		b = appendField(b, d.ObjectPath)
		b = binary.BigEndian.AppendUint32(b, uint32(len(d.Actions))) //nolint:gosec // bounded by its parser
		for _, a := range d.Actions {
			b = appendField(b, a)
		}
	}
	return b
}

func appendField(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s))) //nolint:gosec // bounded by configuration and request
	return append(b, s...)
}

// keyAt is the key of the grant that is written in fields, at a step of the ladder.
func keyAt(fields []byte, step time.Duration) key {
	return sha256.Sum256(binary.BigEndian.AppendUint64(fields, uint64(step/time.Second))) //nolint:gosec // not negative
}
