package oauth

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"

	"github.com/lakegate/sts/exchange"
)

// answers are reused for encoding.
var answers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// writeAnswer writes what was granted (RFC 8693 §2.2.1, RFC 9396 §7). It encodes by hand, since this is on the way of
// every request; encoding/json would take four times as long.
func writeAnswer(w http.ResponseWriter, a *exchange.Answer) {
	buffer := answers.Get().(*[]byte)
	defer func() {
		clear(*buffer) // it held a token
		answers.Put(buffer)
	}()
	b := appendAnswer((*buffer)[:0], a)
	*buffer = b

	h, values := w.Header(), [...]string{"application/json", "no-store", "no-cache", strconv.Itoa(len(b))} // one array for all
	h["Content-Type"] = values[0:1:1]
	h["Cache-Control"] = values[1:2:2]
	h["Pragma"] = values[2:3:3]
	h["Content-Length"] = values[3:4:4]
	_, _ = w.Write(b) //nolint:gosec // it is JSON and says so; an error means that nobody is there to tell
}

func appendAnswer(b []byte, a *exchange.Answer) []byte {
	b = append(b, `{"access_token":`...)
	b = appendString(b, a.AccessToken.Reveal())
	b = append(b, `,"issued_token_type":`...)
	b = appendString(b, string(a.IssuedTokenType))
	b = append(b, `,"token_type":"`+tokenType+`","expires_in":`...)
	b = strconv.AppendInt(b, int64(a.ExpiresIn), 10)
	b = append(b, `,"scope":"`...)
	for i, scope := range a.Scopes {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, scope...) // of characters that need no escape (RFC 6749 §3.3)
	}
	b = append(b, '"')
	if details := a.Details.JSON(); details != "" {
		b = append(b, `,"authorization_details":`...)
		b = append(b, details...)
	}
	b = append(b, `,"decision_id":`...)
	b = appendString(b, a.DecisionID)
	if a.Actors > 0 {
		b = append(b, `,"delegation":{"chain":"`+exchange.ChainInRecordOnly+`","decision_id":`...)
		b = appendString(b, a.DecisionID)
		b = append(b, `,"actors":`...)
		b = strconv.AppendInt(b, int64(a.Actors), 10)
		b = append(b, '}')
	}
	return append(b, '}', '\n')
}

// appendString appends a JSON string. What we answer hardly ever needs an escape.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return appendEscaped(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendEscaped(b []byte, s string) []byte {
	var escaped bytes.Buffer
	enc := json.NewEncoder(&escaped)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // strings always encode
	return append(b, bytes.TrimSuffix(escaped.Bytes(), []byte("\n"))...)
}
