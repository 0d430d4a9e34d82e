package audit

import (
	"encoding/hex"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/lakegate/sts/exchange"
)

// encoder writes JSON into one buffer. encoding/json would cost several times as much, on the way of every request.
type encoder struct {
	buf []byte
}

// key starts a member. A comma is due unless the member is its object's first.
func (e *encoder) key(name string) {
	e.comma()
	e.buf = append(e.buf, '"')
	e.buf = append(e.buf, name...) // our own names need no escape
	e.buf = append(e.buf, '"', ':')
}

func (e *encoder) comma() {
	if n := len(e.buf); n > 0 {
		switch e.buf[n-1] {
		case '{', '[', '\n':
		default:
			e.buf = append(e.buf, ',')
		}
	}
}

func (e *encoder) open(name string) { e.key(name); e.buf = append(e.buf, '{') }
func (e *encoder) close()           { e.buf = append(e.buf, '}') }

// text writes a member that is left out where it is empty.
func (e *encoder) text(name, value string) {
	if value != "" {
		e.key(name)
		e.string(value)
	}
}

// clipped writes text of a caller's choice, which may be no longer than we choose.
func (e *encoder) clipped(name, value string) {
	if len(value) > maxForeignText {
		end := maxForeignText
		for end > 0 && !utf8.RuneStart(value[end]) {
			end--
		}
		value = value[:end]
	}
	e.text(name, value)
}

// maxForeignText bounds, in bytes, what a caller says of itself.
const maxForeignText = 512

func (e *encoder) texts(name string, values []string) {
	e.key(name)
	e.buf = append(e.buf, '[')
	for _, v := range values {
		e.comma()
		e.string(v)
	}
	e.buf = append(e.buf, ']')
}

func (e *encoder) integer(name string, value int64) {
	e.key(name)
	e.buf = strconv.AppendInt(e.buf, value, 10)
}

func (e *encoder) count(name string, value uint64) {
	e.key(name)
	e.buf = strconv.AppendUint(e.buf, value, 10)
}

func (e *encoder) flag(name string, value bool) {
	e.key(name)
	e.buf = strconv.AppendBool(e.buf, value)
}

// instant writes a time to the microsecond, UTC.
func (e *encoder) instant(name string, t time.Time) {
	e.time(name, t, "2006-01-02T15:04:05.000000Z07:00")
}

// second writes a time in whole seconds, UTC; the zero time is left out.
func (e *encoder) second(name string, t time.Time) {
	if !t.IsZero() {
		e.time(name, t, "2006-01-02T15:04:05Z07:00")
	}
}

func (e *encoder) time(name string, t time.Time, layout string) {
	e.key(name)
	e.buf = append(e.buf, '"')
	e.buf = t.UTC().AppendFormat(e.buf, layout)
	e.buf = append(e.buf, '"')
}

// hash writes a SHA-256 in lower-case hex; zero is left out.
func (e *encoder) hash(name string, sum *[32]byte) {
	if *sum == ([32]byte{}) {
		return
	}
	e.key(name)
	e.buf = append(e.buf, '"')
	e.buf = hex.AppendEncode(e.buf, sum[:])
	e.buf = append(e.buf, '"')
}

func (e *encoder) address(name string, a netip.Addr) {
	if !a.IsValid() {
		return
	}
	e.key(name)
	e.buf = append(e.buf, '"')
	e.buf = a.AppendTo(e.buf)
	e.buf = append(e.buf, '"')
}

func (e *encoder) details(name string, details exchange.Details) {
	if len(details) == 0 {
		return
	}
	e.key(name)
	e.buf = append(e.buf, '[')
	for i := range details {
		e.comma()
		e.buf = append(e.buf, '{')
		e.text("type", details[i].Type)
		e.text("object_type", details[i].ObjectType)
		e.text("object_path", details[i].ObjectPath)
		e.texts("actions", details[i].Actions)
		e.close()
	}
	e.buf = append(e.buf, ']')
}

// value writes a claim's value, of the kinds that exchange.Identity.Claims names.
func (e *encoder) value(v any) {
	switch v := v.(type) {
	case bool:
		e.buf = strconv.AppendBool(e.buf, v)
	case string:
		e.string(v)
	case int64:
		e.buf = strconv.AppendInt(e.buf, v, 10)
	case float64:
		e.float(v)
	case []any:
		e.buf = append(e.buf, '[')
		for _, element := range v {
			e.comma()
			e.value(element)
		}
		e.buf = append(e.buf, ']')
	case map[string]any:
		e.buf = append(e.buf, '{')
		for _, name := range slices.Sorted(maps.Keys(v)) {
			e.comma()
			e.string(name)
			e.buf = append(e.buf, ':')
			e.value(v[name])
		}
		e.close()
	default:
		e.buf = append(e.buf, "null"...)
	}
}

func (e *encoder) float(v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) { // no JSON number, and no claim either
		e.buf = append(e.buf, "null"...)
		return
	}
	e.buf = strconv.AppendFloat(e.buf, v, 'g', -1, 64)
}

const hexDigits = "0123456789abcdef"

// string writes a JSON string (RFC 8259 §7). What is not UTF-8 becomes U+FFFD, so that a line is always valid.
func (e *encoder) string(s string) {
	b := append(e.buf, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(b, s[start:i]...)
				b = append(b, "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		if c == '"' || c == '\\' {
			b = append(b, '\\', c)
		} else {
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	e.buf = append(b, '"')
}
