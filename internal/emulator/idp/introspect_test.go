package idp_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/internal/emulator/idp"
)

// TestIntrospectionEndpoint holds who is answered, and what.
func TestIntrospectionEndpoint(t *testing.T) {
	s, err := idp.New(idp.Config{Issuers: []idp.IssuerConfig{
		{Name: "acme", Audience: "lakegate", Algorithms: []string{"ES256"}, Inquirers: map[string]string{"lake gate": "s3cret+"}, Prefix: "acme_"},
		{Name: "other", Algorithms: []string{"ES256"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	ask := func(id, secret, body string) (int, map[string]any) {
		r := httptest.NewRequest(http.MethodPost, "/acme/introspect", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		var answer map[string]any
		_ = json.Unmarshal(w.Body.Bytes(), &answer)
		return w.Code, answer
	}
	opaque := s.MustMint(idp.Token{Opaque: true, Claims: map[string]any{"sub": "ada", "jti": nil}})
	if !strings.HasPrefix(opaque, "acme_") || strings.Contains(opaque, ".") {
		t.Errorf("%q isn't opaque", opaque)
	}
	revoked := s.MustMint(idp.Token{Opaque: true})
	s.Issuer("acme").Revoke(revoked)
	for _, test := range []struct {
		name, id, secret, body string
		status                 int
		sub                    any // nil: not active
	}{
		{"a token of its own", "lake gate", "s3cret+", "token=" + opaque, 200, "ada"},
		{"with a hint", "lake gate", "s3cret+", "token_type_hint=access_token&token=" + opaque, 200, "ada"},
		{"a JWT of its own", "lake gate", "s3cret+", "token=" + s.MustMint(idp.Token{}), 200, "alice"},
		{"forged", "lake gate", "s3cret+", "token=" + s.MustMint(idp.Token{Forged: true}), 200, nil},
		{"another's", "lake gate", "s3cret+", "token=" + s.MustMint(idp.Token{Issuer: "other"}), 200, nil},
		{"expired", "lake gate", "s3cret+", "token=" + s.MustMint(idp.Token{Opaque: true, Lifetime: -time.Second}), 200, nil},
		{"revoked", "lake gate", "s3cret+", "token=" + revoked, 200, nil},
		{"two tokens", "lake gate", "s3cret+", "token=a&token=b", 400, nil},
		{"no token", "lake gate", "s3cret+", "", 400, nil},
		{"a wrong secret", "lake gate", "s3cret", "token=" + opaque, 401, nil},
		{"a stranger", "gate", "s3cret+", "token=" + opaque, 401, nil},
	} {
		status, answer := ask(test.id, test.secret, test.body)
		if status != test.status || answer["sub"] != test.sub || status == 200 && answer["active"] != (test.sub != nil) {
			t.Errorf("%s: %d %v, want %d, %v", test.name, status, answer, test.status, test.sub)
		}
	}
	if total := s.Totals()["POST /acme/introspect"]; total.Calls != 11 || total.OK != 7 {
		t.Errorf("counted %+v", total)
	}
}
