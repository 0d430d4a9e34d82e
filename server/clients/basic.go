package clients

import (
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/lakegate/sts/exchange"
)

const basicScheme = "Basic "

// DecodeBasic reads an Authorization header of the Basic scheme. Id and secret were each form-urlencoded before they
// were joined (RFC 6749 §2.3.1), which is how a colon can stand in an id; most HTTP clients don't do it by themselves.
func DecodeBasic(header exchange.Secret) (id string, secret exchange.Secret, ok bool) {
	text := header.Reveal()
	// The scheme's name has no case (RFC 9110 §11.1).
	if len(text) < len(basicScheme) || !strings.EqualFold(text[:len(basicScheme)], basicScheme) {
		return "", "", false
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimLeft(text[len(basicScheme):], " "))
	if err != nil {
		return "", "", false
	}
	user, password, found := strings.Cut(string(raw), ":")
	if !found {
		return "", "", false
	}
	if id, err = url.QueryUnescape(user); err != nil {
		return "", "", false
	}
	if password, err = url.QueryUnescape(password); err != nil {
		return "", "", false
	}
	return id, exchange.Secret(password), true
}
