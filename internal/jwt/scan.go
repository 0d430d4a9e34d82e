package jwt

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner is a place in a text.
type scanner struct {
	text   string
	at     int
	memory int // of what was read, beside text
}

// peek is the next byte, 0 at the end; a NUL in the text fits nowhere either.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) literal(word string) bool {
	if strings.HasPrefix(s.text[s.at:], word) {
		s.at += len(word)
		return true
	}
	return false
}

func (s *scanner) skipSpace() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

var (
	errUTF8   = errors.New("holds invalid UTF-8, or half a surrogate pair")
	errNumber = errors.New("holds a number that is out of range")
)

// string reads a string. One without escapes is a piece of the text itself.
func (s *scanner) string() (string, error) {
	s.at++ // the quote
	start := s.at
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"':
			piece := s.text[start:s.at]
			s.at++
			if !utf8.ValidString(piece) {
				return "", errUTF8
			}
			return piece, nil
		case c == '\\':
			return s.escapedString(start)
		case c < ' ':
			return "", errJSON
		default:
			s.at++
		}
	}
	return "", errJSON
}

// escapedString goes on with a string at its first backslash.
func (s *scanner) escapedString(start int) (string, error) {
	var b strings.Builder
	b.WriteString(s.text[start:s.at])
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			if !utf8.ValidString(b.String()) {
				return "", errUTF8
			}
			return b.String(), nil
		case c == '\\':
			r, err := s.escape()
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
		case c < ' ':
			return "", errJSON
		default:
			b.WriteByte(c)
			s.at++
		}
	}
	return "", errJSON
}

// escape reads what stands behind a backslash (RFC 8259 §7).
func (s *scanner) escape() (rune, error) {
	s.at++ // the backslash
	c := s.peek()
	s.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return s.escapedRune()
	}
	return 0, errJSON
}

func (s *scanner) escapedRune() (rune, error) {
	r, err := s.hex4()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if !s.literal(`\u`) {
		return 0, errUTF8
	}
	low, err := s.hex4()
	if err != nil {
		return 0, err
	}
	// A pair of halves in the wrong order decodes to the replacement character.
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, errUTF8
	}
	return r, nil
}

func (s *scanner) hex4() (rune, error) {
	if s.at+4 > len(s.text) {
		return 0, errJSON
	}
	var r rune
	for _, c := range []byte(s.text[s.at : s.at+4]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, errJSON
		}
		r = r<<4 | rune(c)
	}
	s.at += 4
	return r, nil
}

// number reads a number by the grammar of RFC 8259 §6, which is narrower than what strconv takes.
func (s *scanner) number() (any, error) {
	start := s.at
	s.take('-')
	if !s.take('0') && !s.digits() {
		return nil, errJSON
	}
	integer := true
	if s.take('.') {
		if integer = false; !s.digits() {
			return nil, errJSON
		}
	}
	if s.take('e') || s.take('E') {
		integer = false
		if !s.take('+') {
			s.take('-')
		}
		if !s.digits() {
			return nil, errJSON
		}
	}
	text := s.text[start:s.at]
	if integer {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return i, nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, errNumber
	}
	return f, nil
}

// digits reads at least one digit.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}
