package oauth

import (
	"net/http"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/inbound"
)

// checkFraming finds what is wrong with a request before its body is looked at.
func checkFraming(w http.ResponseWriter, r *http.Request) *exchange.Error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonMethodNotAllowed, "this endpoint takes POST only (RFC 6749 Section 3.2)")
	}
	if err := inbound.CheckMediaType(r.Header, formType); err != nil {
		return err
	}
	if err := inbound.CheckQuery(r.URL.RawQuery); err != nil {
		return err
	}
	return inbound.CheckAuthorization(r.Header)
}

const formType = "application/x-www-form-urlencoded"
