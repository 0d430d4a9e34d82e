package idp

import (
	"net/http"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// SPIRE is the server of a SPIFFE trust domain: a bundle, and JWT-SVIDs without an iss.
type SPIRE struct {
	*Server
	TrustDomain string
}

// NewSPIRE makes a trust domain with a key of its own.
func NewSPIRE(cfg Config, trustDomain string) (*SPIRE, error) {
	cfg.Issuers = []IssuerConfig{{Name: "spire", Algorithms: []string{"ES256"}}}
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	spire := &SPIRE{Server: s, TrustDomain: trustDomain}
	s.Handle("GET /bundle", spire.serveBundle)
	return spire, nil
}

// BundleURI is where the trust bundle is.
func (s *SPIRE) BundleURI() string { return s.URL() + "/bundle" }

// serveBundle writes the keys as SPIFFE Trust Domain and Bundle §4 has them: each says which kind of SVID it is for.
func (s *SPIRE) serveBundle(w http.ResponseWriter, _ *http.Request) {
	set := s.Issuer("").JWKS()
	keys := []any{map[string]any{ // a CA of X.509-SVIDs, which the service has no use for
		"use": "x509-svid", "kty": "EC", "crv": "P-256", "x5c": []string{"MIIB"},
		"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
	}}
	for _, key := range set.Keys {
		key.Use, key.Algorithm = "jwt-svid", ""
		keys = append(keys, key)
	}
	emulator.WriteJSON(w, http.StatusOK, map[string]any{"keys": keys, "spiffe_sequence": 1, "spiffe_refresh_hint": 300})
}

// SVID is a workload's, for five minutes as SPIRE has it.
func (s *SPIRE) SVID(path, audience string) Token {
	return Token{Lifetime: 5 * time.Minute, Claims: map[string]any{
		"iss": nil, "jti": nil, "sub": "spiffe://" + s.TrustDomain + path, "aud": []string{audience},
	}}
}
