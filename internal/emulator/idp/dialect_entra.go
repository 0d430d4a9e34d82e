package idp

import (
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// Entra is a provider that speaks as Entra ID does: each tenant has issuers of two versions, and all have the same keys.
type Entra struct {
	*Server
}

// EntraUser is somebody in a tenant, and how an application got a token for him.
type EntraUser struct {
	Tenant, ID string // ids
	Login      string
	// Groups are ids. Overage says that they are too many: the token has a pointer in their place.
	Groups  []string
	Overage bool
	// Roles are the app roles that he has been given, Client the application's id, Audience the API's.
	Roles            []string
	Client, Audience string
	// Application makes it the token of a service principal, which nobody stands behind.
	Application bool
}

// anyTenant stands in documents that all tenants share.
const anyTenant = "{tenantid}"

// NewEntra makes a provider for any tenants. Its only issuer in the sense of Config is called common: it holds the keys.
func NewEntra(cfg Config) (*Entra, error) {
	cfg.Issuers = []IssuerConfig{{Name: "common", Algorithms: []string{"RS256"}}}
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	e := &Entra{s}
	for _, version := range []string{"", "v2.0/"} {
		e.Handle("GET /{tenant}/"+version+".well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
			tenant := r.PathValue("tenant")
			emulator.WriteJSON(w, http.StatusOK, map[string]any{
				"issuer":                                e.IssuerOf(published(tenant), version != ""),
				"jwks_uri":                              e.Server.URL() + "/" + tenant + "/discovery/" + version + "keys",
				"token_endpoint":                        e.Server.URL() + "/" + tenant + "/oauth2/" + version + "token",
				"authorization_endpoint":                e.Server.URL() + "/" + tenant + "/oauth2/" + version + "authorize",
				"response_types_supported":              []string{"code", "id_token", "code id_token", "id_token token"},
				"subject_types_supported":               []string{"pairwise"},
				"id_token_signing_alg_values_supported": []string{"RS256"},
				"tenant_region_scope":                   nil, "cloud_instance_name": "microsoftonline.com",
			})
		})
		e.Handle("GET /{tenant}/discovery/"+version+"keys", func(w http.ResponseWriter, r *http.Request) {
			emulator.WriteJSON(w, http.StatusOK, map[string]any{"keys": e.keys(published(r.PathValue("tenant")), version != "")})
		})
	}
	return e, nil
}

// published is how documents name the tenant of their path: those of common and organizations are for all.
func published(tenant string) string {
	if tenant == "common" || tenant == "organizations" {
		return anyTenant
	}
	return tenant
}

// IssuerOf is the iss of a tenant's tokens, of version 2 or 1. Entra ID has another host for version 1.
func (e *Entra) IssuerOf(tenant string, v2 bool) string {
	if v2 {
		return e.Server.URL() + "/" + tenant + "/v2.0"
	}
	return e.Server.URL() + "/" + tenant + "/"
}

// keys are written without alg, and in version 2 with the issuer whose tokens they sign.
func (e *Entra) keys(tenant string, v2 bool) []map[string]any {
	keys := []map[string]any{}
	for _, k := range e.Issuer("").JWKS().Keys {
		public, ok := k.Key.(*rsa.PublicKey)
		if !ok {
			continue
		}
		key := map[string]any{
			"kty": "RSA", "use": "sig", "kid": k.KeyID, "x5t": k.KeyID, "cloud_instance_name": "microsoftonline.com",
			"n": base64.RawURLEncoding.EncodeToString(public.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(public.E)).Bytes()),
		}
		if v2 {
			key["issuer"] = e.IssuerOf(tenant, true)
		}
		keys = append(keys, key)
	}
	return keys
}

// AccessToken is the token that an application gets for an API; its version is what the API's registration asks for.
func (e *Entra) AccessToken(u EntraUser, v2 bool) Token {
	claims := e.common(u, v2)
	claims["aud"] = u.Audience
	if u.Application {
		claims["sub"], claims["idtyp"] = u.ID, "app"
	} else {
		claims["scp"] = "access_as_user"
	}
	if v2 {
		maps.Copy(claims, map[string]any{"azp": u.Client, "azpacr": "1"})
	} else {
		maps.Copy(claims, map[string]any{"appid": u.Client, "appidacr": "1", "acr": "1"})
	}
	return e.token(claims)
}

// IDToken is what tells the application itself who has signed in.
func (e *Entra) IDToken(u EntraUser, v2 bool) Token {
	claims := e.common(u, v2)
	maps.Copy(claims, map[string]any{"aud": u.Client, "nonce": "678910"})
	return e.token(claims)
}

func (e *Entra) token(claims map[string]any) Token {
	return Token{Claims: claims, Lifetime: 75 * time.Minute}
}

// common are the claims of all tokens. The sub is another in each application.
func (e *Entra) common(u EntraUser, v2 bool) map[string]any {
	now := e.Now()
	claims := map[string]any{
		"iss": e.IssuerOf(u.Tenant, v2), "iat": now.Unix(), "nbf": now.Unix(), "tid": u.Tenant, "oid": u.ID, "jti": nil,
		"sub": "pairwise-" + u.ID[:8] + "-in-" + u.Client, "aio": "ATQAy/8TAAAA", "rh": "0.AXEA", "uti": randomHex(11), "ver": "1.0",
	}
	switch {
	case u.Application:
	case v2:
		maps.Copy(claims, map[string]any{"name": u.Login, "preferred_username": u.Login})
	default:
		maps.Copy(claims, map[string]any{"name": u.Login, "unique_name": u.Login, "upn": u.Login, "amr": []string{"pwd", "mfa"}, "ipaddr": "203.0.113.7"})
	}
	if v2 {
		claims["ver"] = "2.0"
	}
	if u.Roles != nil {
		claims["roles"] = u.Roles
	}
	switch {
	case u.Overage:
		// Who follows this is led by whoever wrote the token: it is not what we ask.
		endpoint := fmt.Sprintf("%s/%s/users/%s/getMemberObjects", strings.Replace(e.Server.URL(), "http://", "https://", 1), u.Tenant, u.ID)
		claims["_claim_names"] = map[string]any{"groups": "src1"}
		claims["_claim_sources"] = map[string]any{"src1": map[string]any{"endpoint": endpoint}}
	case u.Groups != nil:
		claims["groups"] = u.Groups
	}
	return claims
}
