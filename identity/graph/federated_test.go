package graph_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/identity/graph"
	emulated "github.com/lakegate/sts/internal/emulator/graph"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// A token that the platform gives proves the client in place of a secret. It is read anew for each call, and what isn't
// taken is an outage whose number the log tells, and no more.
func TestAssertionFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	w := newWorld(t)
	cluster, err := idp.New(idp.Config{Now: w.clock.Now, URL: "https://cluster.example", Issuers: []idp.IssuerConfig{{Name: "k", Algorithms: []string{"RS256", "ES256"}}}})
	if err != nil {
		t.Fatal(err)
	}
	issuer := cluster.Issuer("k")
	const subject = "system:serviceaccount:lakegate:sts"
	entra := emulated.New(emulated.Config{
		Now: w.clock.Now, ClientID: "us", Tenants: []string{acme},
		Federated: &emulated.Federated{Issuer: issuer.URL(), Subject: subject, Keys: issuer.JWKS},
	})
	if _, err := entra.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(entra.Close)
	entra.Put(acme, ada, group1)
	commit, err := w.Prepare([]graph.Settings{{Provider: "entra", ClientID: "us", AssertionFile: file, Endpoint: entra.URL(), Authority: entra.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	commit()

	token := func(change ...func(*idp.Token)) string {
		recipe := idp.Token{Issuer: "k", Algorithm: "RS256", Lifetime: time.Hour, Claims: map[string]any{"sub": subject, "aud": []string{emulated.AssertionAudience}}}
		for _, f := range change {
			f(&recipe)
		}
		return cluster.MustMint(recipe)
	}
	claim := func(name, value string) func(*idp.Token) { return func(r *idp.Token) { r.Claims[name] = value } }
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantLog := func(name, want string) {
		t.Helper()
		w.logMu.Lock()
		defer w.logMu.Unlock()
		log := w.log.String()
		if !strings.Contains(log, want) || strings.Contains(log, "eyJ") || strings.Contains(log, "two lines") {
			t.Errorf("%s: the log says %q", name, log)
		}
		w.log.Reset()
	}
	works := func() { // and ends the row of failures, of which not all are logged
		t.Helper()
		write(token() + "\n")
		if names, err := w.ask(member); err != nil || len(names) != 1 {
			t.Errorf("with its token: %v, %v", names, err)
		}
		w.clock.move(time.Hour)
	}

	_, err = w.ask(member)
	wantUnavailable(t, "no file", err)
	wantLog("no file", "reading client_assertion_file")
	for _, test := range []struct{ name, text, want string }{
		{"two lines", "two lines\nof text", "reading client_assertion_file: it holds no token"},
		{"nothing", "\n", "reading client_assertion_file: it holds no token"},
		{"large", strings.Repeat("a", 1<<20), "reading client_assertion_file: it is larger"},
		{"another subject", token(claim("sub", "system:serviceaccount:lakegate:other")), "invalid_client (AADSTS700213)"},
		{"another audience", token(claim("aud", "sts.amazonaws.com")), "invalid_client (AADSTS700212)"},
		{"an elliptic curve", token(func(r *idp.Token) { r.Algorithm = "ES256" }), "invalid_client (AADSTS5002738)"},
		{"forged", token(func(r *idp.Token) { r.Forged = true }), "invalid_client (AADSTS700027)"},
		{"expired", token(func(r *idp.Token) { r.Lifetime = -time.Hour }), "invalid_client (AADSTS700024)"},
	} {
		works()
		write(test.text)
		_, err := w.ask(member)
		wantUnavailable(t, test.name, err)
		wantLog(test.name, test.want)
	}
	works()
}
