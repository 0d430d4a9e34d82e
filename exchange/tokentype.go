package exchange

// TokenType is a token type identifier (RFC 8693 §3), compared byte for byte.
type TokenType string

// The token types that we know, as URNs.
const (
	TypeAccessToken TokenType = "urn:ietf:params:oauth:token-type:access_token"
	TypeIDToken     TokenType = "urn:ietf:params:oauth:token-type:id_token"
	TypeJWT         TokenType = "urn:ietf:params:oauth:token-type:jwt"
	// TypeSAML2 is a base64url-encoded SAML 2.0 assertion (RFC 8693 §3).
	TypeSAML2 TokenType = "urn:ietf:params:oauth:token-type:saml2"
	// TypeAWS4Request is a presigned request to AWS STS GetCallerIdentity, as Google's workload identity federation writes it.
	TypeAWS4Request TokenType = "urn:ietf:params:aws:token-type:aws4_request"
)

// TokenTypes are those that a subject or actor token may be presented as. Whether one is accepted, its identity provider says.
func TokenTypes() []TokenType {
	return []TokenType{TypeAccessToken, TypeIDToken, TypeJWT, TypeSAML2, TypeAWS4Request}
}

// GrantTypeTokenExchange is the grant type of RFC 8693 §2.1.
const GrantTypeTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
