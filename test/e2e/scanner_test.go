package e2e_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/url"
	"strings"
)

// window is how much of a secret must be seen to call it found. It is shorter than any segment that matters.
const window = 16

// scanner looks for many secrets at once, each in every form in which it may have leaked.
type scanner struct {
	forms map[string]string // the first window bytes of a form: what it is a form of
	// likely tells by a hash of four bytes whether a form may begin with them: most of a text begins none.
	likely [1 << 20]bool
}

func newScanner(secrets []string) *scanner {
	s := &scanner{forms: map[string]string{}}
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if len(form) >= window {
				s.forms[form[:window]] = secret
				s.likely[place(binary.LittleEndian.Uint32([]byte(form[:4])))] = true
			}
		}
	}
	return s
}

func place(four uint32) uint32 { return four * 2654435761 >> 12 }

// forms are the secret whole, by segment, percent-encoded, in base64 and in hex, and so are the bytes that it encodes.
func forms(secret string) []string {
	all := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	core := secret // what tells it from others of its kind
	if parts := strings.Split(secret, "."); len(parts) == 3 {
		all = append(all, parts[1], parts[2]) // the header of a token is no secret, and alike in all
		if middle := len(parts[2]) / 2; middle >= window {
			all = append(all, parts[2][middle:])
		}
		core = parts[2]
	}
	all = append(all, base64.StdEncoding.EncodeToString([]byte(secret)), base64.URLEncoding.EncodeToString([]byte(secret)))
	// Behind "id:", as in HTTP Basic, the encoding is shifted by one or two bytes.
	for shift := 1; shift <= 2; shift++ {
		all = append(all, base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))[4:])
	}
	all = append(all, hex.EncodeToString([]byte(core)))
	if raw, err := base64.RawURLEncoding.DecodeString(core); err == nil && len(raw) >= window {
		all = append(all, string(raw), hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw))
	}
	return all
}

// hit is where a secret was seen.
type hit struct {
	at     int
	secret string
}

// all returns every place of text where a secret begins. The race detector would take ten times as long over it.
//
//go:norace
func (s *scanner) all(text string) (hits []hit) {
	var four uint32 // the bytes that end at next
	for next := range len(text) {
		four = four>>8 | uint32(text[next])<<24
		at := next - 3
		if !s.likely[place(four)] || at < 0 || at+window > len(text) {
			continue
		}
		if secret, found := s.forms[text[at:at+window]]; found {
			hits = append(hits, hit{at: at, secret: secret})
		}
	}
	return hits
}

// find returns the first secret in text, "" if there is none.
func (s *scanner) find(text string) string {
	for _, h := range s.all(text) {
		return h.secret
	}
	return ""
}
