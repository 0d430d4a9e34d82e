package index

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
)

// positions are the next places of logs.
type positions map[originName]uint64

// originName stands for the name of a log. It is the same after the index was made anew.
type originName [8]byte

func nameOf(origin string) originName {
	sum := sha256.Sum256([]byte(origin))
	return originName(sum[:8])
}

// String is p as a cursor.
func (p positions) String() string {
	b := []byte{tailKind}
	for _, name := range slices.SortedFunc(maps.Keys(p), originName.compare) {
		b = binary.AppendUvarint(append(b, name[:]...), p[name])
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func (n originName) compare(o originName) int { return bytes.Compare(n[:], o[:]) }

// parsePositions reads a cursor of a tail.
func parsePositions(text string) (positions, error) {
	rest, err := decodeCursor(text, tailKind)
	if err != nil {
		return nil, err
	}
	p := positions{}
	for len(rest) > 0 {
		if len(rest) < len(originName{}) {
			return nil, ErrCursor
		}
		name := originName(rest[:len(originName{})])
		place, n := binary.Uvarint(rest[len(name):])
		if n <= 0 {
			return nil, ErrCursor
		}
		p[name], rest = place, rest[len(name)+n:]
	}
	if p.String() != text { // logs in another order or twice, numbers that are longer than they need be
		return nil, ErrCursor
	}
	return p, nil
}
