package databricks

import (
	"net/http"

	"github.com/lakegate/sts/internal/emulator"
)

func (s *Server) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	emulator.WriteJSON(w, http.StatusOK, map[string]any{
		"oidc_endpoint": s.URL() + "/oidc",
		"account_id":    s.cfg.AccountID,
		"workspace_id":  s.cfg.WorkspaceID,
		"cloud":         "aws",
		"host_type":     "workspace",
		"token_federation_default_oidc_audiences": []string{s.cfg.AccountID},
	})
}

func (s *Server) serveDiscovery(w http.ResponseWriter, _ *http.Request) {
	emulator.WriteJSON(w, http.StatusOK, map[string]any{
		"issuer":                                s.issuer(),
		"authorization_endpoint":                s.issuer() + "/v1/authorize",
		"token_endpoint":                        s.issuer() + "/v1/token",
		"jwks_uri":                              s.issuer() + "/jwks.json",
		"grant_types_supported":                 []string{grantSecret, grantFederation, grantDataPlane},
		"scopes_supported":                      scopes,
		"response_types_supported":              []string{"code"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "none"},
	})
}

func (s *Server) serveKeys(w http.ResponseWriter, _ *http.Request) {
	emulator.WriteJSON(w, http.StatusOK, s.signingKey().public())
}

// issuer is what tokens of the workspace name as theirs.
func (s *Server) issuer() string { return s.URL() + "/oidc" }
