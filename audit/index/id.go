package index

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	"github.com/google/uuid"
)

// id is that of a record, a UUIDv7 (RFC 9562 §5.7): its first six bytes are the milliseconds since 1970, so that the order
// of ids is that of time.
type id [16]byte

// parseID reads an id as records write it; ok is false for every other text.
func parseID(s string) (i id, ok bool) {
	u, err := uuid.Parse(s)
	return id(u), err == nil && u.String() == s
}

func (i id) String() string { return uuid.UUID(i).String() }

func (i id) compare(j id) int { return bytes.Compare(i[:], j[:]) }

// milliseconds is when the record was made, since 1970.
func (i id) milliseconds() int64 {
	return int64(binary.BigEndian.Uint64(i[:8]) >> 16)
}

// next is the id behind i; the greatest has none and stays.
func (i id) next() id {
	for at := len(i) - 1; at >= 0; at-- {
		if i[at]++; i[at] != 0 {
			return i
		}
	}
	return greatestID
}

// greatestID is above that of every record.
var greatestID = id(bytes.Repeat([]byte{math.MaxUint8}, 16))

// idAt is the least id of a moment, which is taken in whole milliseconds.
func idAt(at time.Time) (i id) {
	ms := min(max(at.UnixMilli(), 0), 1<<48-1)
	binary.BigEndian.PutUint64(i[:8], uint64(ms)<<16)
	return i
}

func lesser(a, b id) id {
	if a.compare(b) < 0 {
		return a
	}
	return b
}

func greater(a, b id) id {
	if a.compare(b) > 0 {
		return a
	}
	return b
}
