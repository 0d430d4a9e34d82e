package fault

import (
	"net/http"

	"github.com/lakegate/sts/exchange"
)

// CodeNotFound and ReasonNotFound answer a request for something that isn't here. The core has no word for it, since no
// exchange ends so.
const (
	CodeNotFound   exchange.Code   = "not_found"
	ReasonNotFound exchange.Reason = "not_found"
)

// Row is what a code is in the words of OAuth and HTTP.
type Row struct {
	// OAuth is the error member of the answer (RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 9396 §5).
	OAuth string
	// Status is the HTTP status.
	Status int
}

// internal is the row of every code that is not in the table.
var internal = Row{"server_error", http.StatusInternalServerError}

// Lookup returns a code's row, and whether the table has one; a code without a row is internal.
func Lookup(code exchange.Code) (Row, bool) {
	switch code {
	case exchange.CodeInvalidRequest, exchange.CodeNotGranted:
		// A token or a wish that policy does not accept is an invalid request, not a denied access (RFC 8693 §2.2.2).
		return Row{"invalid_request", http.StatusBadRequest}, true
	case exchange.CodeTooLarge:
		return Row{"invalid_request", http.StatusRequestEntityTooLarge}, true
	case exchange.CodeUnsupportedMediaType:
		return Row{"invalid_request", http.StatusUnsupportedMediaType}, true
	case exchange.CodeUnsupportedGrantType:
		return Row{"unsupported_grant_type", http.StatusBadRequest}, true
	case exchange.CodeInvalidClient:
		return Row{"invalid_client", http.StatusUnauthorized}, true
	case exchange.CodeUnauthorizedClient:
		return Row{"unauthorized_client", http.StatusBadRequest}, true
	case exchange.CodeInvalidTarget:
		return Row{"invalid_target", http.StatusBadRequest}, true
	case exchange.CodeInvalidScope:
		return Row{"invalid_scope", http.StatusBadRequest}, true
	case exchange.CodeInvalidAuthorizationDetails:
		return Row{"invalid_authorization_details", http.StatusBadRequest}, true
	case exchange.CodeRateLimited:
		return Row{"temporarily_unavailable", http.StatusTooManyRequests}, true
	case exchange.CodeUnavailable, exchange.CodeDeadline:
		return Row{"temporarily_unavailable", http.StatusServiceUnavailable}, true
	case exchange.CodeUpstream:
		return Row{"server_error", http.StatusBadGateway}, true
	case CodeNotFound:
		return Row{"not_found", http.StatusNotFound}, true
	case exchange.CodeInternal:
		return internal, true
	default:
		return internal, false
	}
}

// Status is the HTTP status that err answers.
func Status(err *exchange.Error) int {
	if err.Reason == exchange.ReasonMethodNotAllowed {
		// OAuth has no word for it, HTTP has (RFC 9110 §15.5.6).
		return http.StatusMethodNotAllowed
	}
	row, _ := Lookup(err.Code)
	return row.Status
}
