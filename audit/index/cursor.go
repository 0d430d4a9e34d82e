package index

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
)

// querySize is how much of a query's hash is in a cursor, so that it is of use for no other.
const querySize = 8

// cursor asks for what q finds below an id.
func (q *Query) cursor(below id) string {
	sum := q.hash()
	b := append([]byte{pageKind}, sum[:querySize]...)
	return base64.RawURLEncoding.EncodeToString(append(b, below[:]...))
}

// below reads q.Page.
func (q *Query) below() (below id, err error) {
	if q.Page == "" {
		return greatestID, nil
	}
	rest, err := decodeCursor(q.Page, pageKind)
	if err != nil {
		return below, err
	}
	if sum := q.hash(); len(rest) != querySize+len(below) || string(rest[:querySize]) != string(sum[:querySize]) {
		return below, ErrCursor
	}
	return id(rest[querySize:]), nil
}

// tailKind and pageKind are what the two sorts of cursors begin with.
const (
	tailKind = 't'
	pageKind = 'p'
)

// decodeCursor returns what is in a cursor of a kind. There is one way to write it.
func decodeCursor(text string, kind byte) ([]byte, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || base64.RawURLEncoding.EncodeToString(raw) != text { // the package passes over line ends
		return nil, ErrCursor
	}
	if len(raw) == 0 || raw[0] != kind {
		return nil, ErrCursor
	}
	return raw[1:], nil
}

// hash is of what q asks for: neither of the page nor of its size.
func (q *Query) hash() [sha256.Size]byte {
	low, high := q.span()
	b := append(low[:], high[:]...)
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	text(q.ID)
	for _, t := range q.terms() {
		text(string(t.Field))
		text(t.Value)
	}
	return sha256.Sum256(b)
}

// terms are q's, each once, those first of which there are fewer by their nature.
func (q *Query) terms() []Term {
	t := slices.Clone(q.Terms)
	slices.SortFunc(t, func(a, b Term) int {
		if c := slices.Index(fields, a.Field) - slices.Index(fields, b.Field); c != 0 {
			return c
		}
		return strings.Compare(a.Value, b.Value)
	})
	return slices.Compact(t)
}

// fields are all of them, those first whose values are rare.
var fields = []Field{
	FieldToken, FieldMint, FieldObject, FieldSubject, FieldActor, FieldAction, FieldSource, FieldReason, FieldRule, FieldPrincipal,
	FieldClient, FieldIssuer, FieldWorkspace, FieldOutcome, FieldType,
}
