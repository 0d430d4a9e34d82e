package oauth_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/oauth"
)

func metadata(t *testing.T, issuer, federation string) (map[string]http.Handler, *service) {
	t.Helper()
	s := &service{}
	routes, err := oauth.Metadata(oauth.MetadataConfig{
		Issuer: issuer, FederationIssuer: federation,
		JWKS: func() []byte { return []byte(`{"keys":[]}`) }, Refuse: s.RefuseUnknown,
	})
	if err != nil {
		t.Fatal(err)
	}
	return routes, s
}

func get(h http.Handler, method string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, "/", nil))
	return w
}

// K01.
func TestServerMetadata(t *testing.T) {
	for _, issuer := range []string{"https://sts.example", "https://sts.example/", "https://sts.example:8443/a/b"} {
		t.Run(issuer, func(t *testing.T) {
			routes, _ := metadata(t, issuer, issuer)
			w := get(routes["/.well-known/oauth-authorization-server"], http.MethodGet)
			var got map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			base := issuer
			if base[len(base)-1] == '/' {
				base = base[:len(base)-1]
			}
			want := map[string]any{
				"issuer": issuer, "token_endpoint": base + "/oauth2/token", "jwks_uri": base + "/.well-known/jwks.json",
				"response_types_supported":                                 []any{},
				"grant_types_supported":                                    []any{exchange.GrantTypeTokenExchange},
				"token_endpoint_auth_methods_supported":                    []any{"client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth"},
				"token_endpoint_auth_signing_alg_values_supported":         []any{"ES256", "RS256", "PS256", "EdDSA"},
				"introspection_endpoint":                                   base + "/oauth2/introspect",
				"introspection_endpoint_auth_methods_supported":            []any{"client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth"},
				"introspection_endpoint_auth_signing_alg_values_supported": []any{"ES256", "RS256", "PS256", "EdDSA"},
				"revocation_endpoint":                                      base + "/oauth2/revoke",
				"revocation_endpoint_auth_methods_supported":               []any{"client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth"},
				"revocation_endpoint_auth_signing_alg_values_supported":    []any{"ES256", "RS256", "PS256", "EdDSA"},
				"authorization_details_types_supported":                    []any{"workspace_permission"},
				"service_documentation":                                    "https://github.com/lakegate/sts",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if h := w.Header(); h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "public, max-age=3600" {
				t.Errorf("headers %v", h)
			}
		})
	}
}

func TestDiscovery(t *testing.T) {
	routes, _ := metadata(t, "https://sts.example", "https://keys.example/sts")
	for _, path := range []string{"/.well-known/openid-configuration", "/sts/.well-known/openid-configuration"} {
		want := `{"issuer":"https://keys.example/sts","jwks_uri":"https://keys.example/sts/.well-known/jwks.json",` +
			`"response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]}` + "\n"
		if got := get(routes[path], http.MethodGet).Body.String(); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
	w := get(routes["/sts/.well-known/jwks.json"], http.MethodGet)
	if w.Body.String() != `{"keys":[]}` || w.Header().Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("%s %v", w.Body, w.Header())
	}
}

// RFC 8414 §3.1 puts the well-known part in front of the issuer's path, OpenID Connect Discovery §4 behind it.
func TestPathsOfAnIssuerWithAPath(t *testing.T) {
	routes, _ := metadata(t, "https://sts.example/a/b", "https://sts.example/a/b")
	got := slices.Sorted(maps.Keys(routes))
	want := []string{
		"/.well-known/jwks.json",
		"/.well-known/oauth-authorization-server",
		"/.well-known/oauth-authorization-server/a/b",
		"/.well-known/openid-configuration",
		"/a/b/.well-known/jwks.json",
		"/a/b/.well-known/openid-configuration",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	endpoints, err := newBench(t).endpoint.Routes("https://sts.example/a/b")
	want = []string{
		"/a/b/oauth2/introspect", "/a/b/oauth2/revoke", "/a/b/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/token",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(endpoints))); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestMetadataIsReadByGet(t *testing.T) {
	routes, s := metadata(t, "https://sts.example", "https://sts.example")
	h := routes["/.well-known/jwks.json"]
	if w := get(h, http.MethodHead); w.Code != http.StatusOK {
		t.Errorf("HEAD: %d", w.Code)
	}
	w := get(h, http.MethodPost)
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" || len(s.failures) != 1 {
		t.Errorf("POST: %d %v, %d failures", w.Code, w.Header(), len(s.failures))
	}
}

func TestMetadataRefusesBadIssuers(t *testing.T) {
	for _, issuer := range []string{"", "sts.example", "https://sts.example?x", "https://sts.example#x", "https://%zz"} {
		if _, err := oauth.Metadata(oauth.MetadataConfig{Issuer: issuer, FederationIssuer: "https://sts.example"}); err == nil {
			t.Errorf("%q was taken", issuer)
		}
		if _, err := oauth.Metadata(oauth.MetadataConfig{Issuer: "https://sts.example", FederationIssuer: issuer}); err == nil {
			t.Errorf("%q was taken as federation issuer", issuer)
		}
	}
}
