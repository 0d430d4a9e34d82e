package identity

import (
	"context"
	"encoding/base64"
	"maps"
	"strings"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/jwt"
)

// opaque reports whether an access token is anything but a JWT, so that its provider isn't told by its iss. What has
// parts with dots between them, the first of which opens a JSON object, is a JWT or JWE, if a bad one: it is never shown to
// a provider whose it isn't.
func opaque(token string) bool {
	first, _, parts := strings.Cut(token, ".")
	if !parts {
		return true
	}
	header, isObject := strings.CutPrefix(trimSpace(decodeLoosely(first)), "{")
	return !isObject || !strings.HasPrefix(trimSpace(header), `"`)
}

func trimSpace(text string) string { return strings.TrimLeft(text, " \t\r\n") }

// decodeLoosely reads base64 of either alphabet, padded or not, up to where it breaks.
func decodeLoosely(text string) string {
	text = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "="))
	decoded, _ := base64.RawURLEncoding.DecodeString(text)
	return string(decoded)
}

// chooseByPrefix finds the provider of an opaque token. It has no iss: how it begins chooses among those that are
// configured, the longest prefix first, and it is shown to no other.
func (t *trial) chooseByPrefix(s *snapshot, token string) error {
	switch {
	case len(token) > jwt.MaxBytes:
		return t.Invalid("%s", jwt.ErrTooLarge)
	case !isBearer(token):
		return t.Invalid("is neither a JWT nor a bearer token: it has characters that none has (RFC 6750)")
	}
	for _, p := range s.providers {
		if p.introspector == nil || !strings.HasPrefix(token, p.Introspection.Prefix) {
			continue
		}
		if t.provider == nil || len(p.Introspection.Prefix) > len(t.provider.Introspection.Prefix) {
			t.provider = p
		}
	}
	if t.provider == nil {
		return t.Refuse(exchange.ReasonIssuerUnknown,
			"is no JWT, and doesn't begin like the tokens of any identity provider that is asked about them; add introspection to the provider, or mend its introspection.prefix")
	}
	return nil
}

// isBearer reports whether a text can be sent as a bearer token: b64token of RFC 6750 §2.1.
func isBearer(token string) bool {
	body := strings.TrimRight(token, "=")
	return body != "" && !strings.ContainsFunc(body, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/", r)
	})
}

// inquire has the provider itself say what the token is. What it says is judged like the claims of a JWT.
func (t *trial) inquire(ctx context.Context, token string) error {
	q, err := t.provider.introspector.ask(ctx, t.sum, token)
	if err != nil {
		return t.unavailable(err, "can't be asked about tokens")
	}
	t.now = t.provider.introspector.now() // it took a while, and exp has no leeway
	if !q.active {
		return t.Invalid("is not active, as the identity provider %s says: it has expired, was revoked, or is not one of its own; get a fresh one", t.provider.Name)
	}
	t.inquiry, t.claims = q, q.claims
	return t.checkAnswer()
}

// checkAnswer looks at what only an introspection's answer has, or may leave out.
func (t *trial) checkAnswer() error {
	// The endpoint is the issuer's own, so that an answer without iss is of that issuer (RFC 7662 §2.2 has it optional).
	switch issuer := t.claims["iss"].(type) {
	case nil:
		t.claims = maps.Clone(t.claims)
		t.claims["iss"] = t.provider.Issuer
	case string:
		if issuer != t.provider.Issuer {
			return t.otherIssuer()
		}
	default:
		return t.otherIssuer()
	}
	if use := t.claims["token_use"]; use != nil && use != "access" && use != "access_token" {
		return t.Invalid("is no access token, as the identity provider %s says (token_use)", t.provider.Name)
	}
	kind, err := t.optional("token_type")
	if err != nil {
		return err
	}
	switch strings.ToLower(kind) { // RFC 6749 §5.1: its case does not matter
	case "", "bearer", "access_token", string(exchange.TypeAccessToken):
		return nil
	case "dpop", "pop":
		return t.Refuse(exchange.ReasonSenderConstrained,
			"is bound to a key of its sender (token_type), whose proof can't be checked here; get one that is not bound (no DPoP, no mutual TLS)")
	}
	return t.Invalid("is no bearer token, as the identity provider %s says (token_type)", t.provider.Name)
}

func (t *trial) otherIssuer() error {
	return t.Invalid("is of another issuer than the identity provider %s, whose own introspection endpoint says so; make the provider's issuer what its answers have, byte for byte", t.provider.Name)
}
