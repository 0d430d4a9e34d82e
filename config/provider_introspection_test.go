package config_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestIntrospection holds what is read of it, and that its secret isn't shown.
func TestIntrospection(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "there"), "hush-hush\n")
	cfg, err := parse(t, folder, strings.Replace(small, provider,
		"{issuer: https://idp.example, audiences: [lakegate], token_types: [access_token], introspection: {endpoint: http://127.0.0.1:1/i, client_id: lake gate, client_secret_file: there, prefix: ory_at_}}", 1))
	if err != nil {
		t.Fatal(err)
	}
	got := cfg.IdentityProviders["okta"].Introspection
	if got.Endpoint != "http://127.0.0.1:1/i" || got.ClientID != "lake gate" || got.Prefix != "ory_at_" || got.ClientSecret.Reveal() != "hush-hush" {
		t.Errorf("got %+v", got)
	}
	checkShow(t, cfg)
	for _, text := range append(spellings(cfg), string(cfg.Show())) {
		if strings.Contains(text, "hush") {
			t.Errorf("the secret is in %s", text)
		}
	}
}
