package oauth

import (
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/lakegate/sts/exchange"
)

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
