package idp

import "time"

// OktaIssuer is a custom authorization server of Okta's, such as default. Its tokens are for the audience that it is
// given; those of the org's own server are for Okta alone.
func OktaIssuer(id, audience string) IssuerConfig {
	return IssuerConfig{Name: "oauth2/" + id, Audience: audience, Algorithms: []string{"RS256"}, KeysPath: "/v1/keys"}
}

// OktaUser is somebody in an Okta org. His login may change and go to another; his id stays.
type OktaUser struct {
	ID, Login string
	Groups    []string
}

// OktaAccessToken names the user by his login in sub, and by his id in uid.
func (i *Issuer) OktaAccessToken(u OktaUser, client string) Token {
	return i.okta(map[string]any{
		"jti": "AT." + randomHex(16), "sub": u.Login, "uid": u.ID, "cid": client, "scp": []string{"openid", "models"},
		"auth_time": i.srv.Now().Unix(), "groups": u.Groups,
	})
}

// OktaIDToken names the user by his id in sub. It is for the client.
func (i *Issuer) OktaIDToken(u OktaUser, client string) Token {
	return i.okta(map[string]any{
		"jti": "ID." + randomHex(16), "sub": u.ID, "aud": client, "name": u.Login, "preferred_username": u.Login, "amr": []string{"mfa", "pwd"},
		"idp": "00o1acme", "nonce": "n-0S6_WzA2Mj", "auth_time": i.srv.Now().Unix(), "at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng", "groups": u.Groups,
	})
}

// OktaServiceToken is a service app's own: it has no uid, and its client id is its sub.
func (i *Issuer) OktaServiceToken(client string) Token {
	return i.okta(map[string]any{"jti": "AT." + randomHex(16), "sub": client, "cid": client, "scp": []string{"models"}})
}

func (i *Issuer) okta(claims map[string]any) Token {
	claims["ver"] = 1
	return Token{Issuer: i.cfg.Name, Claims: claims, Lifetime: time.Hour, Header: map[string]any{"typ": nil}}
}
