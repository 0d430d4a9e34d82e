package idp

import "time"

// GoogleIssuer is Google's, of whose accounts and service accounts all have the one issuer.
func GoogleIssuer() IssuerConfig {
	return IssuerConfig{Name: "google", Algorithms: []string{"RS256"}, KeysPath: "/oauth2/v3/certs"}
}

// GoogleIDToken is a person's. The domain is that of his organization; an account of nobody's has none.
func (i *Issuer) GoogleIDToken(id, email, domain, client string) Token {
	claims := map[string]any{
		"sub": id, "azp": client, "aud": client, "email": email, "email_verified": true, "at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng", "nonce": "n-0S6_WzA2Mj",
		"name": email, "picture": "https://lh3.example/a", "jti": nil,
	}
	if domain != "" {
		claims["hd"] = domain
	}
	return Token{Issuer: i.cfg.Name, Claims: claims, Lifetime: time.Hour}
}

// GoogleServiceToken is a service account's, for any audience that it asks for.
func (i *Issuer) GoogleServiceToken(id, email, audience string) Token {
	return Token{Issuer: i.cfg.Name, Lifetime: time.Hour, Claims: map[string]any{
		"sub": id, "azp": id, "aud": audience, "email": email, "email_verified": true, "jti": nil,
	}}
}
