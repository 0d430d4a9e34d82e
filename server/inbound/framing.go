package inbound

import (
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/lakegate/sts/exchange"
)

// Malformed is the error of a request that is not as its entrance has it.
func Malformed(format string, args ...any) *exchange.Error {
	return exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed, format, args...)
}

// CheckMediaType refuses a body that is of another type, in another charset than UTF-8, or encoded.
func CheckMediaType(h http.Header, want string) *exchange.Error {
	if isMediaType(h, want) {
		return nil
	}
	return exchange.Refuse(exchange.CodeUnsupportedMediaType, exchange.ReasonRequestMalformed,
		"send the parameters as %s in UTF-8, without content encoding", want)
}

func isMediaType(h http.Header, want string) bool {
	types := h["Content-Type"]
	if len(types) != 1 || len(h["Content-Encoding"]) > 0 {
		return false
	}
	if types[0] == want {
		return true
	}
	media, params, err := mime.ParseMediaType(types[0])
	if err != nil || media != want {
		return false
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}

// CheckAuthorization refuses two credentials where one is meant: somebody in between may have looked at the other.
func CheckAuthorization(h http.Header) *exchange.Error {
	if len(h["Authorization"]) > 1 {
		return Malformed("there is more than one Authorization header; send one")
	}
	return nil
}

// CheckQuery refuses a query string that names a credential or a token: such a URL is in the logs of everything that it
// passed (RFC 6749 §2.3.1). Other parameters are ignored, since ours come in the body. No value is looked at.
func CheckQuery(query string) *exchange.Error {
	for _, pair := range strings.FieldsFunc(query, func(c rune) bool { return c == '&' || c == ';' }) {
		name, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return Malformed("the query string is not well formed; send parameters in the body")
		}
		switch strings.ToLower(name) {
		case "subject_token", "actor_token", "client_secret", "client_assertion",
			"access_token", "id_token", "refresh_token", "token", "assertion", "password":
			return Malformed("the query string names a credential or a token; send it in the body, and consider the one that was sent as disclosed")
		}
	}
	return nil
}
