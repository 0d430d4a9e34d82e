package exchange

// TokenType is a token type identifier (RFC 8693 §3), compared byte for byte.
type TokenType string

// The token types that we know, as URNs.
const (
	TypeAccessToken TokenType = "urn:ietf:params:oauth:token-type:access_token"
	TypeIDToken     TokenType = "urn:ietf:params:oauth:token-type:id_token"
	TypeJWT         TokenType = "urn:ietf:params:oauth:token-type:jwt"
)

// GrantTypeTokenExchange is the grant type of RFC 8693 §2.1.
const GrantTypeTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
