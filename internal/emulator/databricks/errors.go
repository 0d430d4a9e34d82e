package databricks

import (
	"encoding/json"
	"net/http"

	"github.com/google/uuid"

	"github.com/lakegate/sts/internal/emulator"
)

// refusal is why a request isn't granted: what the wire says, and the cause, which only the call's record says, since
// the real one answers many causes alike.
type refusal struct {
	status int
	code   string
	text   string
	cause  string
}

// writeOAuth answers in the token endpoint's format.
func (f *refusal) writeOAuth(w http.ResponseWriter, r *http.Request) {
	emulator.Note(r, "cause", f.cause)
	w.Header().Set("Cache-Control", "no-store")
	if f.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Basic")
	}
	emulator.WriteJSON(w, f.status, oauthError(f.code, f.text))
}

// writeAPI answers in the format of the other APIs.
func (f *refusal) writeAPI(w http.ResponseWriter, r *http.Request) {
	emulator.Note(r, "cause", f.cause)
	emulator.WriteJSON(w, f.status, apiError(f.code, f.text))
}

func oauthError(code, text string) map[string]string {
	return map[string]string{"error": code, "error_id": uuid.NewString(), "error_description": text}
}

func apiError(code, text string) map[string]string {
	return map[string]string{"error_code": code, "message": text}
}

// The formats of faults that name a status and no body: the APIs' unless they ask for OAuth's.
const (
	FormatAPI   = "api"
	FormatOAuth = "oauth"
)

func errorBody(status int, format string) []byte {
	code, text, oauthCode := "INTERNAL_ERROR", "An internal error occurred.", "server_error"
	switch status {
	case http.StatusUnauthorized:
		code, text, oauthCode = "UNAUTHENTICATED", "Client authentication failed", "invalid_client"
	case http.StatusTooManyRequests:
		code, text, oauthCode = "REQUEST_LIMIT_EXCEEDED", "Too many requests. Please try again later.", "temporarily_unavailable"
	case http.StatusServiceUnavailable:
		code, oauthCode = "TEMPORARILY_UNAVAILABLE", "temporarily_unavailable"
		text = "The service at /oidc/v1/token is temporarily unavailable. Please try again later. [TraceId: -]"
	default:
		if status < 500 {
			code, text, oauthCode = "INVALID_PARAMETER_VALUE", "The request is invalid.", "invalid_request"
		}
	}
	value := apiError(code, text)
	if format == FormatOAuth {
		value = oauthError(oauthCode, text)
	}
	body, _ := json.Marshal(value)
	return body
}
