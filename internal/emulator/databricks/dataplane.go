package databricks

import (
	"net/http"
	"net/url"
	"strings"
)

// byToken is the jwt-bearer grant of the SDK's data-plane step: a live token, in the form and as the bearer, for one
// that is narrowed to authorization_details. The narrow one doesn't outlive it.
func (s *Server) byToken(r *http.Request, form url.Values) (*grant, *refusal) {
	s.Remember(form.Get("assertion"))
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if bearer == "" || bearer != form.Get("assertion") {
		text := "The bearer token and the assertion must be the same token."
		return nil, &refusal{http.StatusUnauthorized, "invalid_client", text, "bearer is not the assertion"}
	}
	token, cause := s.find(bearer)
	if cause != "" {
		return nil, &refusal{http.StatusBadRequest, "invalid_grant", "The assertion is invalid.", cause}
	}
	p, known := s.Principal(token.principal)
	if !known {
		return nil, &refusal{http.StatusBadRequest, "invalid_grant", "The assertion is invalid.", "unknown principal"}
	}
	granted, refused := s.detailsOf(form, p)
	if refused != nil {
		return nil, refused
	}
	if granted == nil {
		text := "authorization_details are missing"
		return nil, &refusal{http.StatusBadRequest, "invalid_request", text, text}
	}
	return &grant{principal: token.principal, scope: token.scope, details: granted, expires: token.expires}, nil
}
