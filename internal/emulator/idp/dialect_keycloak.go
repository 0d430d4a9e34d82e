package idp

import (
	"maps"
	"time"
)

// KeycloakIssuer is a realm of Keycloak's. Audience is what an audience mapper adds.
func KeycloakIssuer(realm, audience string) IssuerConfig {
	return IssuerConfig{Name: "realms/" + realm, Audience: audience, Algorithms: []string{"RS256"}, KeysPath: "/protocol/openid-connect/certs"}
}

// KeycloakUser is somebody in a realm.
type KeycloakUser struct {
	ID, Login string
	// Groups are paths, as the mapper writes them with "full group path".
	Groups []string
	// Roles are the realm's, ClientRoles those of clients, by client id.
	Roles       []string
	ClientRoles map[string][]string
}

// KeycloakToken is a token of a kind, by the claim typ: Bearer, ID, Refresh, Offline.
func (i *Issuer) KeycloakToken(kind string, u KeycloakUser, client string) Token {
	claims := map[string]any{
		"typ": kind, "sub": u.ID, "azp": client, "sid": randomHex(16), "acr": "1", "auth_time": i.srv.Now().Unix(),
		"preferred_username": u.Login, "email": u.Login + "@acme.example", "email_verified": true, "groups": u.Groups,
	}
	switch kind {
	case "Bearer":
		access := map[string]any{}
		for of, roles := range u.ClientRoles {
			access[of] = map[string]any{"roles": roles}
		}
		maps.Copy(claims, map[string]any{
			"aud": []string{i.cfg.Audience, "account"}, "allowed-origins": []string{"https://app.acme.example"}, "scope": "openid profile email",
			"realm_access": map[string]any{"roles": u.Roles}, "resource_access": access,
		})
	case "ID":
		maps.Copy(claims, map[string]any{"aud": client, "nonce": "n-0S6_WzA2Mj", "at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng"})
	default:
		claims["aud"] = i.URL()
	}
	return Token{Issuer: i.cfg.Name, Claims: claims, Lifetime: 5 * time.Minute}
}
