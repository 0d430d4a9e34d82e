package oauth

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/lakegate/sts/exchange"
)

// maxBody bounds a token request. Its largest part are two tokens of 16 KiB each.
const maxBody = 256 << 10

func malformed(format string, args ...any) *exchange.Error {
	return exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed, format, args...)
}

// checkFraming finds what is wrong with a request before its body is looked at.
func checkFraming(w http.ResponseWriter, r *http.Request) *exchange.Error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonMethodNotAllowed, "the token endpoint takes POST only (RFC 6749 Section 3.2)")
	}
	if !isForm(r.Header) {
		return exchange.Refuse(exchange.CodeUnsupportedMediaType, exchange.ReasonRequestMalformed,
			"send the parameters as %s in UTF-8, without content encoding", formType)
	}
	if r.URL.RawQuery != "" {
		if err := checkQuery(r.URL.RawQuery); err != nil {
			return err
		}
	}
	if len(r.Header["Authorization"]) > 1 {
		return malformed("there is more than one Authorization header; send one")
	}
	return nil
}

const formType = "application/x-www-form-urlencoded"

func isForm(h http.Header) bool {
	types := h["Content-Type"]
	if len(types) != 1 || len(h["Content-Encoding"]) > 0 {
		return false
	}
	if types[0] == formType {
		return true
	}
	media, params, err := mime.ParseMediaType(types[0])
	if err != nil || media != formType {
		return false
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}

// checkQuery refuses a query string that names a credential or a token: such a URL is in the logs of everything that it
// passed (RFC 6749 §2.3.1). Other parameters are ignored, since ours come in the body. No value is looked at.
func checkQuery(query string) *exchange.Error {
	for _, pair := range strings.FieldsFunc(query, func(c rune) bool { return c == '&' || c == ';' }) {
		name, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return malformed("the query string is not well formed; send parameters in the body")
		}
		switch strings.ToLower(name) {
		case "subject_token", "actor_token", "client_secret", "client_assertion",
			"access_token", "id_token", "refresh_token", "token", "assertion", "password":
			return malformed("the query string names a credential or a token; send it in the body, and consider the one that was sent as disclosed")
		}
	}
	return nil
}

// buffers are reused for reading bodies.
var buffers = sync.Pool{New: func() any { return new([4 << 10]byte) }}

// readBody reads the whole body, or refuses it without reading it to its end.
func readBody(w http.ResponseWriter, r *http.Request) (string, *exchange.Error) {
	if r.ContentLength > maxBody {
		return "", tooLarge(w)
	}
	buffer := buffers.Get().(*[4 << 10]byte)
	defer func() {
		clear(buffer[:]) // it held a token
		buffers.Put(buffer)
	}()
	if n := r.ContentLength; n >= 0 && n <= int64(len(buffer)) {
		if _, err := io.ReadFull(r.Body, buffer[:n]); err != nil {
			return "", errBody().Because(err)
		}
		return string(buffer[:n]), nil
	}
	return readLong(w, r)
}

func readLong(w http.ResponseWriter, r *http.Request) (string, *exchange.Error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return "", tooLarge(w)
	case err != nil:
		return "", errBody().Because(err)
	}
	return string(body), nil
}

func errBody() *exchange.Error {
	return malformed("the body ended early; send all of it, and in time")
}

func tooLarge(w http.ResponseWriter) *exchange.Error {
	// Otherwise the server would read on for the sake of the connection.
	w.Header().Set("Connection", "close")
	return exchange.Refuse(exchange.CodeTooLarge, exchange.ReasonRequestMalformed, "the body is larger than %d bytes", maxBody)
}
