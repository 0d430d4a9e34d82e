package identity

import (
	"strings"

	"github.com/lakegate/sts/exchange"
)

// kind is what a token shows itself to be.
type kind int

const (
	plain       kind = iota // carries no mark
	accessToken             // RFC 9068, or the provider's own mark
	idToken                 // OpenID Connect Core 1.0 §2, or the provider's own mark
	foreign                 // something else by its own word (RFC 8725 §3.11)
)

// typeIndex numbers the token types that are JWTs, from 1; 0 is any other.
func typeIndex(t exchange.TokenType) uint8 {
	switch t {
	case exchange.TypeAccessToken:
		return 1
	case exchange.TypeIDToken:
		return 2
	case exchange.TypeJWT:
		return 3
	}
	return 0
}

// checkProfile holds a token to the type that it was presented as, so that one kind can't pass for another (RFC 8725
// §3.12): an ID token is for its client's eyes, and access tokens are shown to whoever serves an API.
func (t *trial) checkProfile() error {
	if cnf, there := t.claims["cnf"]; there && cnf != nil {
		return t.Refuse(exchange.ReasonSenderConstrained,
			"is bound to a key of its sender (cnf), whose proof can't be checked here; get one that is not bound (no DPoP, no mutual TLS)")
	}
	typ := ""
	if t.token != nil {
		typ = mediaType(t.token.Header.Type)
	}
	if want := t.provider.RequireTyp; want != "" && t.token != nil && typ != mediaType(want) {
		return t.Invalid("does not have the typ in its header that require_typ of the identity provider %s asks for", t.provider.Name)
	}
	found := t.kind(typ)
	switch {
	case found == foreign:
		return t.Invalid("says, by typ or events, that it is neither an access token nor an ID token")
	case found == idToken && t.declared != exchange.TypeIDToken:
		return t.Invalid("is an ID token, by the marks it carries; present it as %s if the identity provider's token_types allow that", exchange.TypeIDToken)
	case found == accessToken && t.declared != exchange.TypeAccessToken:
		return t.Invalid("is an access token, by the marks it carries; present it as %s if the identity provider's token_types allow that", exchange.TypeAccessToken)
	}
	return t.checkOtherSubject()
}

// kind reads the marks, the standard's own before those that providers add.
func (t *trial) kind(typ string) kind {
	claims := t.claims
	switch {
	case typ == "at+jwt":
		return accessToken
	case typ != "" && typ != "jwt" && typ != "jose" && typ != mediaType(t.provider.RequireTyp):
		return foreign
	case claims["events"] != nil: // a security event (RFC 8417), such as a logout token, whose typ may be left out
		return foreign
	case claims["typ"] == "Refresh", claims["typ"] == "Offline", claims["typ"] == "Logout": // Keycloak
		return foreign
	case claims["token_use"] == "access", claims["typ"] == "Bearer": // Cognito, Keycloak
		return accessToken
	case claims["azpacr"] != nil, claims["appidacr"] != nil: // Entra ID, in each access token of version 2 and 1
		return accessToken
	case claims["token_use"] == "id", claims["typ"] == "ID":
		return idToken
	}
	for _, mark := range []string{"nonce", "at_hash", "c_hash"} {
		if claims[mark] != nil {
			return idToken
		}
	}
	if len(t.provider.Tenants) > 0 {
		return idToken // Entra ID's have no mark where nobody asked for a nonce
	}
	return plain
}

// checkOtherSubject keeps a person one identity where the provider's types of token name him by different claims: a
// token with the claim of another type is of that type, whatever it was presented as. All tokens have a sub, so it tells
// nothing.
func (t *trial) checkOtherSubject() error {
	own := t.subjectClaim()
	for other, claim := range t.provider.SubjectClaims {
		if other != t.declared && claim != own && claim != "sub" && t.claims[claim] != nil {
			return t.Invalid("carries the claim that subject_claim of the identity provider %s names for %s; present it as that", t.provider.Name, other)
		}
	}
	return nil
}

// mediaType brings a typ into the form that is compared (RFC 7515 §4.1.9).
func mediaType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}
