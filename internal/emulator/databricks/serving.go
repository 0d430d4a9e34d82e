package databricks

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/lakegate/sts/internal/emulator"
)

// PrincipalHeader is the emulator's own: an invocation's answer says in it whom it took the caller for.
const PrincipalHeader = "X-Emulator-Principal"

// serveInvocation answers for a model, to a live token whose principal, scope and details reach it.
func (s *Server) serveInvocation(w http.ResponseWriter, r *http.Request) {
	endpoint, principal, refused := s.authorize(r)
	if refused == nil {
		if body, err := io.ReadAll(r.Body); err != nil || !json.Valid(body) {
			refused = &refusal{http.StatusBadRequest, "BAD_REQUEST", "The body is not JSON.", "body is not JSON"}
		}
	}
	if refused != nil {
		refused.writeAPI(w, r)
		return
	}
	w.Header().Set(PrincipalHeader, principal)
	emulator.WriteJSON(w, http.StatusOK, endpoint.Answer)
}

func (s *Server) authorize(r *http.Request) (Endpoint, string, *refusal) {
	token, p, refused := s.bearer(r)
	if refused != nil {
		return Endpoint{}, "", refused
	}
	refuse := func(status int, code, text, cause string) (Endpoint, string, *refusal) {
		return Endpoint{}, "", &refusal{status, code, text, cause}
	}
	name := r.PathValue("name")
	s.mu.Lock()
	endpoint, exists := s.endpoints[name]
	s.mu.Unlock()
	granted := strings.Fields(token.scope)
	switch {
	case !exists:
		return refuse(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "The endpoint does not exist.", "unknown endpoint")
	case !slices.Contains(granted, "all-apis") && !slices.Contains(granted, "model-serving"):
		return refuse(http.StatusForbidden, "PERMISSION_DENIED",
			"Provided OAuth token does not have required scopes: model-serving", "scope does not reach serving")
	case !slices.Contains(p.Query, name):
		return refuse(http.StatusForbidden, "PERMISSION_DENIED", "User does not have permission to query the endpoint.",
			"principal may not query the endpoint")
	case token.details != nil && !token.details.cover(endpoint):
		return refuse(http.StatusForbidden, "PERMISSION_DENIED", "The token does not permit querying the endpoint.",
			"details do not cover the endpoint")
	}
	return endpoint, token.principal, nil
}

// bearer finds the live token of a call of the APIs, and its principal, which may use the workspace.
func (s *Server) bearer(r *http.Request) (issued, Principal, *refusal) {
	refuse := func(status int, code, text, cause string) (issued, Principal, *refusal) {
		return issued{}, Principal{}, &refusal{status, code, text, cause}
	}
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || bearer == "" {
		return refuse(http.StatusUnauthorized, "UNAUTHENTICATED",
			"Credential was not sent or was of an unsupported type for this API.", "no bearer token")
	}
	token, cause := s.find(bearer)
	if cause != "" {
		return refuse(http.StatusUnauthorized, "UNAUTHENTICATED", "Invalid access token.", cause)
	}
	p, known := s.Principal(token.principal)
	switch {
	case !known:
		return refuse(http.StatusUnauthorized, "UNAUTHENTICATED", "Invalid access token.", "unknown principal")
	case p.Inactive && s.currentSwitches().InactiveTokensDie:
		return refuse(http.StatusUnauthorized, "UNAUTHENTICATED", "Invalid access token.", "principal is inactive")
	case p.Unassigned:
		return refuse(http.StatusForbidden, "PERMISSION_DENIED", "User does not have access to the workspace.",
			"principal has no access to the workspace")
	}
	return token, p, nil
}
