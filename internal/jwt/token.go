package jwt

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// MaxBytes bounds a token's text.
const MaxBytes = 16 << 10

// The failures that callers tell apart. All others are malformed in a way that the error's text says.
var (
	// ErrTooLarge is a token of more than MaxBytes.
	ErrTooLarge = fmt.Errorf("is larger than %d bytes", MaxBytes)
	// ErrNotCompact is text that is no JWT at all, such as an opaque token.
	ErrNotCompact = errors.New("is not a JWT: it must have exactly three parts with dots between them")
	// ErrEncrypted is a JWE (RFC 7516): five parts.
	ErrEncrypted = errors.New("is encrypted (a JWE of five parts), and there is no key here to open it; have it signed only")
)

// Token is a well-formed JWT whose signature nobody has checked yet.
type Token struct {
	Header Header
	// Claims is the payload: nil, bool, string, int64, float64, []any, map[string]any.
	Claims map[string]any

	text      string
	payload   string // decoded
	memory    int    // of the claims
	signature []byte
}

// Header is what is looked at of a JOSE header. Whatever else it holds, such as a jku, x5u, x5c or jwk that offers a
// key (RFC 8725 §3.10), is neither used nor fetched.
type Header struct {
	// Algorithm is alg, never empty.
	Algorithm string
	// KeyID is kid, "" where there is none.
	KeyID string
	// Type is typ, "" where there is none.
	Type string
}

// Parse reads a compact JWS whose payload is a JSON object (RFC 7515 §7.1, RFC 7519 §7.2).
func Parse(text string) (*Token, error) {
	t, err := parseJWS(text)
	if err != nil {
		return nil, err
	}
	if t.Claims, t.memory, err = MeasureObject(t.payload); err != nil {
		return nil, fmt.Errorf("has a payload that %w", err)
	}
	return t, nil
}

// parseJWS reads a compact JWS of any payload.
func parseJWS(text string) (*Token, error) {
	if len(text) > MaxBytes {
		return nil, ErrTooLarge
	}
	switch strings.Count(text, ".") {
	case 2:
	case 4:
		return nil, ErrEncrypted
	default:
		return nil, ErrNotCompact
	}
	first, last := strings.IndexByte(text, '.'), strings.LastIndexByte(text, '.')
	header, err := decodeSegment(text[:first])
	if err != nil {
		return nil, fmt.Errorf("has a header that %w", err)
	}
	payload, err := decodeBase64(text[first+1 : last])
	if err != nil {
		return nil, fmt.Errorf("has a payload that %w", err)
	}
	signature, err := decodeSegment(text[last+1:])
	if err != nil {
		return nil, fmt.Errorf("has a signature that %w", err)
	}

	t := &Token{text: text, payload: string(payload), signature: signature}
	if t.Header, err = parseHeader(string(header)); err != nil {
		return nil, err
	}
	return t, nil
}

// Memory is how many bytes the claims take; see [MeasureObject].
func (t *Token) Memory() int { return t.memory }

// decodeSegment reads a segment that can't be empty.
func decodeSegment(segment string) ([]byte, error) {
	if segment == "" {
		return nil, errors.New("is empty")
	}
	return decodeBase64(segment)
}

// decodeBase64 reads base64url as RFC 7515 §2 has it: no padding, no white space, and zeros for the bits that the
// last character has too many, so that one token has one text. Strict alone would skip line breaks.
func decodeBase64(segment string) ([]byte, error) {
	if strings.ContainsAny(segment, "\r\n") {
		return nil, errBase64
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return nil, errBase64 // the decoder's own error quotes the text's place
	}
	return decoded, nil
}

var errBase64 = errors.New("is not canonical base64url without padding")

func parseHeader(text string) (h Header, err error) {
	object, err := ParseObject(text)
	if err != nil {
		return h, fmt.Errorf("has a header that %w", err)
	}
	// What these would change about reading the token is not done here: crit says "refuse if you don't know these"
	// (RFC 7515 §4.1.11), b64 that the payload isn't base64 (RFC 7797), zip that it is compressed.
	for _, name := range []string{"crit", "b64", "zip"} {
		if _, there := object[name]; there {
			return h, fmt.Errorf("has a header with %s, which is not supported", name)
		}
	}
	for _, field := range []struct {
		name string
		into *string
	}{{"alg", &h.Algorithm}, {"kid", &h.KeyID}, {"typ", &h.Type}} {
		value, there := object[field.name]
		if !there {
			continue
		}
		var isString bool
		if *field.into, isString = value.(string); !isString {
			return h, fmt.Errorf("has a header whose %s is not a string", field.name)
		}
	}
	if h.Algorithm == "" {
		return h, errors.New("has a header without alg")
	}
	return h, nil
}
