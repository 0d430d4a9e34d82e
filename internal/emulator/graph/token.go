package graph

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// tokenLife is how long Entra ID's tokens for applications live.
const tokenLife = 3599 * time.Second

// serveToken is the client credentials grant with a secret or an assertion, in the form alone.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code string, number int, cause string) {
		emulator.Note(r, "cause", cause)
		emulator.WriteJSON(w, status, map[string]any{
			"error": code, "error_description": "AADSTS" + http.StatusText(status) + ": refused. Trace ID: 0", "error_codes": []int{number},
			"timestamp": s.Now().UTC().Format("2006-01-02 15:04:05Z"), "trace_id": "0", "correlation_id": "0",
		})
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" || r.ParseForm() != nil {
		refuse(http.StatusBadRequest, "invalid_request", 900144, "no form")
		return
	}
	for name, values := range r.PostForm {
		if len(values) != 1 {
			refuse(http.StatusBadRequest, "invalid_request", 900143, "repeated "+name)
			return
		}
	}
	secret, number, cause := r.PostForm.Get("client_secret"), 0, ""
	s.Remember(secret, r.PostForm.Get("client_assertion"))
	if s.cfg.Federated != nil && r.PostForm.Has("client_assertion") {
		number, cause = s.proves(r.PostForm)
	} else if s.cfg.ClientSecret == "" || subtle.ConstantTimeCompare([]byte(secret), []byte(s.cfg.ClientSecret)) != 1 {
		number, cause = 7000215, "a wrong secret"
	}
	switch tenant := r.PathValue("tenant"); {
	case !slices.Contains(s.cfg.Tenants, tenant):
		refuse(http.StatusBadRequest, "invalid_request", 90002, "no such tenant")
	case r.PostForm.Get("grant_type") != "client_credentials":
		refuse(http.StatusBadRequest, "unsupported_grant_type", 70003, "another grant type")
	case r.PostForm.Get("scope") != s.URL()+"/.default":
		refuse(http.StatusBadRequest, "invalid_scope", 70011, "the scope is not Graph's /.default")
	case r.PostForm.Get("client_id") != s.cfg.ClientID:
		refuse(http.StatusBadRequest, "unauthorized_client", 700016, "no such application in the tenant")
	case number != 0:
		refuse(http.StatusUnauthorized, "invalid_client", number, cause)
	default:
		emulator.WriteJSON(w, http.StatusOK, map[string]any{
			"token_type": "Bearer", "expires_in": int(tokenLife / time.Second), "ext_expires_in": int(tokenLife / time.Second),
			"access_token": s.issue(tenant),
		})
	}
}

func (s *Server) issue(tenant string) string {
	b := make([]byte, 48)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	token := "eyJ0eXAiOiJKV1Qi." + hex.EncodeToString(b)
	s.Remember(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = issued{tenant: tenant, expires: s.Now().Add(tokenLife)}
	return token
}
