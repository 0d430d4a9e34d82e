package graph

import (
	"mime"
	"net/http"
	"strings"

	"github.com/lakegate/sts/internal/emulator"
)

// serveMembers lists the ids of all groups that somebody is in.
func (s *Server) serveMembers(application bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, code, cause string) {
			emulator.Note(r, "cause", cause)
			emulator.WriteJSON(w, status, map[string]any{"error": map[string]any{
				"code": code, "message": "refused",
				"innerError": map[string]string{"date": s.Now().UTC().Format("2006-01-02T15:04:05"), "request-id": "0", "client-request-id": "0"},
			}})
		}
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		s.mu.Lock()
		grant, known := s.tokens[token]
		s.mu.Unlock()
		if !bearer || !known || !s.Now().Before(grant.expires) {
			refuse(http.StatusUnauthorized, "InvalidAuthenticationToken", "no token of ours, or one that has expired")
			return
		}
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			refuse(http.StatusUnsupportedMediaType, "RequestBodyRead", "no JSON")
			return
		}
		var in struct {
			SecurityEnabledOnly *bool `json:"securityEnabledOnly"`
		}
		if err := emulator.DecodeStrict(r.Body, &in); err != nil || in.SecurityEnabledOnly == nil {
			refuse(http.StatusBadRequest, "Request_BadRequest", "the body is not {securityEnabledOnly}")
			return
		}
		s.mu.Lock()
		groups, there := s.members[object{grant.tenant, r.PathValue("id"), application}]
		s.mu.Unlock()
		switch {
		case !there:
			refuse(http.StatusNotFound, "Request_ResourceNotFound", "nobody of that id in the token's tenant")
		case len(groups) > MaxMembers:
			refuse(http.StatusBadRequest, "Directory_ResultSizeLimitExceeded", "too many groups")
		default:
			emulator.WriteJSON(w, http.StatusOK, map[string]any{
				"@odata.context": s.URL() + "/v1.0/$metadata#Collection(Edm.String)", "value": append([]string{}, groups...),
			})
		}
	}
}
