package idp

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/lakegate/sts/internal/emulator"
)

// issued is a token that the issuer remembers, with what it says of it.
type issued struct {
	claims  map[string]any
	revoked bool
}

// IntrospectionRoute is the route of the issuer's introspection endpoint (RFC 7662). There is one where the configuration
// names who may ask.
func (i *Issuer) IntrospectionRoute() string { return "POST /" + i.cfg.Name + "/introspect" }

// IntrospectionEndpoint is its URL.
func (i *Issuer) IntrospectionEndpoint() string { return i.base() + "/introspect" }

// Revoke makes a token inactive from now on.
func (i *Issuer) Revoke(token string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if known := i.issued[token]; known != nil {
		known.revoked = true
	}
}

// mintOpaque makes a token that says nothing by itself.
func (i *Issuer) mintOpaque(t Token) (string, error) {
	claims := i.claims(t)
	maps.Copy(claims, t.Claims)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	token := i.cfg.Prefix + randomHex(20)
	i.remember(token, claims)
	return token, nil
}

func (i *Issuer) remember(token string, claims map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.issued == nil {
		i.issued = map[string]*issued{}
	}
	i.issued[token] = &issued{claims: claims}
}

// rememberJWT remembers a token that was signed as it should be, by its payload.
func (i *Issuer) rememberJWT(token string) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || parts[2] == "" {
		return
	}
	var claims map[string]any
	if payload, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && json.Unmarshal(payload, &claims) == nil {
		i.remember(token, claims)
	}
}

// serveIntrospection checks what a careful endpoint does: who asks, in which form, and only then the token.
func (i *Issuer) serveIntrospection(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code, why string) {
		emulator.Note(r, "refused", why)
		emulator.WriteJSON(w, status, map[string]string{"error": code, "error_description": why})
	}
	id, secret, ok := emulator.BasicCredentials(r)
	if want, known := i.cfg.Inquirers[id]; !ok || !known || want != secret {
		w.Header().Set("WWW-Authenticate", `Basic realm="introspection"`)
		refuse(http.StatusUnauthorized, "invalid_client", "the client is unknown, or its secret wrong")
		return
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err := r.ParseForm(); err != nil || media != "application/x-www-form-urlencoded" || r.URL.RawQuery != "" || len(r.PostForm["token"]) != 1 {
		refuse(http.StatusBadRequest, "invalid_request", "one token is wanted, in a form")
		return
	}
	if hint := r.PostForm["token_type_hint"]; len(hint) > 1 || len(hint) == 1 && !slices.Contains([]string{"access_token", "refresh_token"}, hint[0]) {
		refuse(http.StatusBadRequest, "unsupported_token_type", "the hint is unknown")
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	emulator.WriteJSON(w, http.StatusOK, i.introspect(r.PostForm.Get("token")))
}

// introspect is what the issuer says of a token. One that is over, or that it doesn't know, is inactive, and nothing more
// is said.
func (i *Issuer) introspect(token string) map[string]any {
	i.mu.Lock()
	defer i.mu.Unlock()
	known := i.issued[token]
	if known == nil || known.revoked || i.over(known.claims["exp"]) {
		return map[string]any{"active": false}
	}
	answer := map[string]any{"active": true, "token_type": "Bearer", "client_id": "gateway-web"}
	maps.Copy(answer, known.claims)
	return answer
}

// over reports whether a time has passed, in whatever type of number a recipe has it.
func (i *Issuer) over(exp any) bool {
	text, _ := json.Marshal(exp)
	var seconds float64
	return json.Unmarshal(text, &seconds) == nil && exp != nil && seconds <= float64(i.srv.Now().Unix())
}
