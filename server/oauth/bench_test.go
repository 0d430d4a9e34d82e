package oauth_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/oauth"
)

// The endpoint against a bare handler that parses the same form and answers the same bytes, both without a network:
// what is between them is what the endpoint adds. make bench measures both as servers.

func BenchmarkBare(b *testing.B) {
	answer := granted()
	run(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			b.Fatal(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Pragma", "no-cache")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": answer.AccessToken.Reveal(), "issued_token_type": answer.IssuedTokenType, "token_type": "Bearer",
			"expires_in": answer.ExpiresIn, "scope": "all-apis", "decision_id": answer.DecisionID,
		})
	}))
}

func BenchmarkBareBytes(b *testing.B) {
	body := []byte(`{"access_token":"` + granted().AccessToken.Reveal() + `"}`)
	run(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			b.Fatal(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}))
}

func BenchmarkEndpoint(b *testing.B) {
	registry, err := clients.New(clients.Config{})
	if err != nil {
		b.Fatal(err)
	}
	snapshot, err := clients.Prepare([]clients.Registration{{
		Client: exchange.Client{ID: "kong"}, Method: clients.MethodBasic, SecretSHA256: [][32]byte{sha256.Sum256([]byte(secret))},
	}})
	if err != nil {
		b.Fatal(err)
	}
	registry.Commit(snapshot)
	endpoint, err := oauth.New(oauth.Config{
		Exchanger: stub{granted()}, Inquirer: &service{}, Clients: registry, Observer: &observer{},
		Introspections: &observer{}, Revocations: &observer{}, Now: time.Now,
	})
	if err != nil {
		b.Fatal(err)
	}
	run(b, endpoint)
}

func granted() exchange.Answer {
	return exchange.Answer{
		AccessToken: exchange.Secret(strings.Repeat("x", 1000)), IssuedTokenType: exchange.TypeAccessToken,
		ExpiresIn: 600, Scopes: []string{"all-apis"}, DecisionID: decisionID,
	}
}

type stub struct{ answer exchange.Answer }

func (s stub) Exchange(context.Context, *exchange.Call) (exchange.Answer, error) {
	return s.answer, nil
}
func (stub) RefuseUnknown(f exchange.Failure) *exchange.Error { panic(f.Err) }

// run sends the baseline, with a token of 1 kB, again and again.
func run(b *testing.B, h http.Handler) {
	r := baseline()
	r.form.Set("subject_token", strings.Repeat("y", 1000))
	body := r.form.Encode()
	original := r.build()
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		request := *original
		request.Body = io.NopCloser(strings.NewReader(body))
		h.ServeHTTP(w, &request)
	}
	if w.status != 0 && w.status != http.StatusOK {
		b.Fatalf("status %d", w.status)
	}
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

var _ http.ResponseWriter = (*discard)(nil)
