package fault

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/lakegate/sts/exchange"
)

// docs is where each reason is explained; the reason is the anchor.
const docs = "https://github.com/lakegate/sts/blob/main/docs/errors.md#"

// challenge is the only scheme that clients can authenticate by in a header (RFC 7617).
const challenge = `Basic realm="sts", charset="UTF-8"`

// Body is an error answer (RFC 6749 §5.2), as JSON.
type Body struct {
	// Error is left out where a bearer token is missing (RFC 6750 §3.1).
	Error string `json:"error,omitempty"`
	// ErrorDescription says what happened and what to mend, for people.
	ErrorDescription string `json:"error_description"`
	// Reason is from the closed list; programs may switch on it.
	Reason string `json:"reason"`
	// DecisionID names the record of this failure.
	DecisionID string `json:"decision_id,omitempty"`
	ErrorURI   string `json:"error_uri"`
}

// NewBody is what err tells its caller.
func NewBody(err *exchange.Error) Body {
	row, _ := Lookup(err.Code)
	return Body{
		Error:            row.OAuth,
		ErrorDescription: Description(err.Message),
		Reason:           string(err.Reason),
		DecisionID:       err.DecisionID,
		ErrorURI:         docs + string(err.Reason),
	}
}

// Write answers err.
func Write(w http.ResponseWriter, err error) {
	e := exchange.AsError(err)
	status := Status(e)

	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	if e.Code == exchange.CodeInvalidClient {
		h.Set("WWW-Authenticate", challenge)
	}
	if seconds, wait := RetryAfter(e); wait {
		h.Set("Retry-After", strconv.Itoa(int(seconds)))
	}

	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(NewBody(e)) // strings always encode
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the caller has gone: nobody to tell
}

// RetryAfter is after how many seconds it may be asked again, where that can help. It is rounded up, so that whoever
// keeps to it is not refused again for coming early.
func RetryAfter(err *exchange.Error) (seconds int32, wait bool) {
	switch err.Code {
	case exchange.CodeRateLimited, exchange.CodeUnavailable, exchange.CodeDeadline:
		up := (err.RetryAfter + time.Second - 1) / time.Second
		return int32(min(max(1, up), math.MaxInt32)), true
	}
	return 0, false
}

// Description keeps to the characters that RFC 6749 §5.2 allows in an error_description: printable ASCII without the
// quotation mark and the backslash.
func Description(text string) string {
	clean := []byte(text)
	for i, c := range clean {
		switch {
		case c == '"':
			clean[i] = '\''
		case c < 0x20 || c > 0x7e || c == '\\':
			clean[i] = '?'
		}
	}
	return string(clean)
}
