package fault

import (
	"net/http"

	"google.golang.org/grpc/codes"

	"github.com/lakegate/sts/exchange"
)

// CodeUnknownMethod answers a call of a gRPC method that isn't here. The core has no word for it: it knows no transport.
const CodeUnknownMethod exchange.Code = "unknown_method"

// Row is what a code is in the words of OAuth, HTTP and gRPC.
type Row struct {
	// OAuth is the error member of the answer (RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 9396 §5, RFC 6750 §3.1); "" where there
	// may be none.
	OAuth string
	// Status is the HTTP status.
	Status int
	// GRPC is the gRPC status.
	GRPC codes.Code
}

// internal is the row of every code that is not in the table.
var internal = Row{"server_error", http.StatusInternalServerError, codes.Internal}

// Lookup returns a code's row, and whether the table has one; a code without a row is internal.
func Lookup(code exchange.Code) (Row, bool) {
	switch code {
	case exchange.CodeInvalidRequest:
		return Row{"invalid_request", http.StatusBadRequest, codes.InvalidArgument}, true
	case exchange.CodeNotGranted:
		// To OAuth, a wish that policy does not accept is an invalid request, not a denied access (RFC 8693 §2.2.2).
		return Row{"invalid_request", http.StatusBadRequest, codes.PermissionDenied}, true
	case exchange.CodeTooLarge:
		return Row{"invalid_request", http.StatusRequestEntityTooLarge, codes.InvalidArgument}, true
	case exchange.CodeUnsupportedMediaType:
		return Row{"invalid_request", http.StatusUnsupportedMediaType, codes.InvalidArgument}, true
	case exchange.CodeUnsupportedGrantType:
		return Row{"unsupported_grant_type", http.StatusBadRequest, codes.InvalidArgument}, true
	case exchange.CodeInvalidClient:
		return Row{"invalid_client", http.StatusUnauthorized, codes.Unauthenticated}, true
	case exchange.CodeUnauthorizedClient:
		return Row{"unauthorized_client", http.StatusBadRequest, codes.PermissionDenied}, true
	case exchange.CodeInvalidTarget:
		return Row{"invalid_target", http.StatusBadRequest, codes.PermissionDenied}, true
	case exchange.CodeInvalidScope:
		return Row{"invalid_scope", http.StatusBadRequest, codes.InvalidArgument}, true
	case exchange.CodeInvalidAuthorizationDetails:
		return Row{"invalid_authorization_details", http.StatusBadRequest, codes.InvalidArgument}, true
	case exchange.CodeRateLimited:
		return Row{"temporarily_unavailable", http.StatusTooManyRequests, codes.ResourceExhausted}, true
	case exchange.CodeUnavailable:
		return Row{"temporarily_unavailable", http.StatusServiceUnavailable, codes.Unavailable}, true
	case exchange.CodeDeadline:
		return Row{"temporarily_unavailable", http.StatusServiceUnavailable, codes.DeadlineExceeded}, true
	case exchange.CodeUpstream:
		return Row{"server_error", http.StatusBadGateway, codes.FailedPrecondition}, true
	case exchange.CodeTokenMissing:
		return Row{"", http.StatusUnauthorized, codes.Unauthenticated}, true
	case exchange.CodeInvalidToken:
		return Row{"invalid_token", http.StatusUnauthorized, codes.Unauthenticated}, true
	case exchange.CodeInsufficientScope:
		return Row{"insufficient_scope", http.StatusForbidden, codes.PermissionDenied}, true
	case exchange.CodeNotFound:
		return Row{"not_found", http.StatusNotFound, codes.NotFound}, true
	case CodeUnknownMethod:
		return Row{"not_found", http.StatusNotFound, codes.Unimplemented}, true
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
