package e2e_test

import (
	"net/http"
	"testing"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// TestOktaPreset holds that a person is one identity in both of Okta's token types, although sub differs (row P11), and
// that cid says whom an access token was issued to.
func TestOktaPreset(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world, s *setup) {
		s.config["identity_providers"].(object)["okta"] = object{
			"preset": "okta", "issuer": w.idp.Issuer("okta").URL(), "audiences": list{"api://lakegate"},
		}
	})
	access := map[string]any{"sub": "ada@acme.example", "uid": "00u1ada", "cid": "gateway-web", "azp": nil, "groups": []string{"data-eng"}}
	id := map[string]any{"sub": "00u1ada", "nonce": "n", "aud": "api://lakegate", "groups": []string{"data-eng"}}
	for typ, claims := range map[string]map[string]any{typeAccessToken: access, typeIDToken: id} {
		a := w.Ask(as("web-only"), with("subject_token_type", typ, "subject_token", w.MintToken(idp.Token{Claims: claims})))
		mustGrant(t, a, tenMinutes)
		if got := w.Exchange(a.DecisionID).Subject.Sub; got != "00u1ada" {
			t.Errorf("%s: the subject is %q", typ, got)
		}
	}
	access["cid"] = "another-app"
	a := w.Ask(as("web-only"), with("subject_token_type", typeAccessToken, "subject_token", w.MintToken(idp.Token{Claims: access})))
	mustRefuse(t, a, http.StatusBadRequest, "invalid_request", exchange.ReasonPartyNotAuthorized)
}
