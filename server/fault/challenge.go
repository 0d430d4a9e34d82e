package fault

import "github.com/lakegate/sts/exchange"

// Challenge is the WWW-Authenticate of a refusal to serve a bearer (RFC 6750 §3), "" for every other error. It leads to
// the resource's metadata, which say where tokens come from (RFC 9728 §5.1). Where there was no token it has no error
// (RFC 6750 §3.1).
func Challenge(err *exchange.Error, metadata string) string {
	switch err.Code {
	case exchange.CodeTokenMissing, exchange.CodeInvalidToken, exchange.CodeInsufficientScope:
	default:
		return ""
	}
	// A description has neither a quotation mark nor a backslash.
	challenge := `Bearer realm="sts"`
	if body := NewBody(err); body.Error != "" {
		challenge += `, error="` + body.Error + `", error_description="` + body.ErrorDescription + `"`
	}
	return challenge + `, resource_metadata="` + metadata + `"`
}
