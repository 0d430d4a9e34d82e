package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// inquirer is who we are at the provider of opaque tokens; its id has a character that is form-encoded.
const inquirer = "lake gate"

// asking adds a provider of opaque tokens, whom kong and web-only may present tokens of.
func asking(w *world, s *setup) {
	provider := w.idp.Issuer("opaque")
	w.WriteFile("opaque.secret", w.secrets["opaque"]+"\n")
	s.config["identity_providers"].(object)["opaque"] = object{
		"issuer": provider.URL(), "audiences": list{"api://lakegate"}, "token_types": list{"access_token"},
		"introspection": object{"endpoint": provider.IntrospectionEndpoint(), "client_id": inquirer, "client_secret_file": "opaque.secret"},
	}
	for _, client := range []string{"kong", "web-only"} {
		s.config["clients"].(object)[client].(object)["identity_providers"] = list{"okta", "strict", "opaque"}
	}
	s.policy["rules"] = append(s.policy["rules"].(list), object{
		"id": "opaque-engineers", "owner": "tests", "match": object{"issuer": list{"opaque"}, "groups": object{"any": list{"data-eng"}}},
		"grant": object{"principal": "ml-inference", "lifetime": "10m"},
	})
}

// opaque presents an opaque token, or whatever else is said to be an access token.
func opaque(token string) func(*request) {
	return with("subject_token", token, "subject_token_type", typeAccessToken)
}

// saying is a baseline request with an opaque token of which its provider says that.
func saying(claims map[string]any, f ...func(*request)) func(*world) request {
	return func(w *world) request {
		return change(append([]func(*request){opaque(w.MintToken(idp.Token{Issuer: "opaque", Opaque: true, Claims: claims}))}, f...)...)(w)
	}
}

func TestRowsC13C15(t *testing.T) {
	t.Parallel()
	w := newWorld(t, asking)
	refused := func(id string, ask func(*world) request, reason exchange.Reason, says string) row {
		return row{id: id, ask: ask, status: 400, code: "invalid_request", reason: reason, says: says}
	}
	runRows(t, w, []row{
		{id: "C13 twin", ask: saying(nil), check: func(t *testing.T, w *world, a answer) {
			r := w.Exchange(a.DecisionID)
			if r.Subject.Sub != "alice" || r.Subject.Issuer != w.idp.Issuer("opaque").URL() || r.SubjectToken.Type != "access_token" {
				t.Errorf("recorded as %+v of %+v", r.SubjectToken, r.Subject)
			}
		}},
		refused("C13 revoked", func(w *world) request {
			token := w.MintToken(idp.Token{Issuer: "opaque", Opaque: true})
			w.idp.Issuer("opaque").Revoke(token)
			return change(opaque(token))(w)
		}, exchange.ReasonSubjectTokenInvalid, "not active"),
		refused("C13 nobody's", change(opaque("0123456789abcdef")), exchange.ReasonSubjectTokenInvalid, "not active"),
		refused("C10 opaque, and presented as a JWT", func(w *world) request {
			return change(with("subject_token", w.MintToken(idp.Token{Issuer: "opaque", Opaque: true})))(w)
		}, exchange.ReasonSubjectTokenInvalid, "not a JWT"),
		refused("C15 iss", saying(map[string]any{"iss": "https://evil.example"}), exchange.ReasonSubjectTokenInvalid, "another issuer"),
		refused("C15 aud", saying(map[string]any{"aud": "api://other"}), exchange.ReasonSubjectTokenInvalid, "another audience"),
		refused("C15 no aud", saying(map[string]any{"aud": nil}), exchange.ReasonSubjectTokenInvalid, "aud"),
		refused("C15 no exp", saying(map[string]any{"exp": nil}), exchange.ReasonSubjectTokenInvalid, "exp"),
		refused("C15 no iat", saying(map[string]any{"iat": nil}), exchange.ReasonSubjectTokenInvalid, "iat"),
		refused("C15 no sub", saying(map[string]any{"sub": nil}), exchange.ReasonSubjectTokenInvalid, "sub"),
		refused("C15 client_id", saying(map[string]any{"azp": nil, "client_id": "gateway-cli"}, as("web-only")), exchange.ReasonPartyNotAuthorized, "authorized_parties"),
		{id: "C15 twin client_id", ask: saying(map[string]any{"azp": nil, "client_id": "gateway-web"}, as("web-only"))},
		refused("F27 cnf", saying(map[string]any{"cnf": map[string]any{"jkt": "x"}}), exchange.ReasonSenderConstrained, "cnf"),
		{id: "a JWT of a provider that is asked", ask: func(w *world) request {
			return change(opaque(w.MintToken(idp.Token{Issuer: "opaque"})))(w)
		}},
		refused("a forged JWT of a provider that is asked", func(w *world) request {
			return change(opaque(w.MintToken(idp.Token{Issuer: "opaque", Forged: true})))(w)
		}, exchange.ReasonSubjectTokenInvalid, "not active"),
	})
}

// TestRowC14 holds that a provider that doesn't answer is nobody's fault but its own: 503, when to come back, and nothing
// that lasts longer than the trouble.
func TestRowC14(t *testing.T) {
	t.Parallel()
	shared := newWorld(t, asking)
	route := shared.idp.Issuer("opaque").IntrospectionRoute()
	unavailable := func(t *testing.T, a answer) {
		t.Helper()
		mustRefuse(t, a, http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonProviderUnavailable)
		if a.RetryAfter <= 0 {
			t.Error("no Retry-After")
		}
	}
	eachEntrance(t, shared, "C14", func(t *testing.T, w *world) {
		for _, fault := range []emulator.Fault{
			{Hangup: true},
			{Status: http.StatusInternalServerError},
			{Status: http.StatusUnauthorized},
			{Body: `{"active": "true"}`},
			{Cut: true},
			{Pad: 2 << 20},
		} {
			fault.Route = route
			remove := w.idp.AddFault(fault)
			token := w.MintToken(idp.Token{Issuer: "opaque", Opaque: true}) // one for each: who asks again joins a question under way
			unavailable(t, w.Ask(opaque(token)))
			remove()
			mustGrant(t, w.Ask(opaque(token)), tenMinutes)
		}
	})
	defer shared.idp.AddFault(emulator.Fault{Route: route, Hold: true})() // waited for once, since it takes its seconds
	unavailable(t, shared.Ask(opaque(shared.MintToken(idp.Token{Issuer: "opaque", Opaque: true}))))
}

// TestOpaqueTokens holds how long an answer is believed, that a token is shown to no provider whose it isn't, and that a
// secret that is replaced is taken over.
func TestOpaqueTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, asking, func(w *world, _ *setup) { w.WriteFile("opaque.secret", "of yesterday\n") })
	issuer := w.idp.Issuer("opaque")
	calls := func() int { return w.idp.Totals()[issuer.IntrospectionRoute()].OK }
	w.Eventually("the wrong secret is told before a user comes", func() bool {
		part := w.Ready().Parts["identity_providers"]
		return part.Status == "degraded" && strings.Contains(part.Reason, "opaque") && strings.Contains(part.Reason, "credential")
	})
	mustRefuse(t, w.Ask(opaque(w.MintToken(idp.Token{Issuer: "opaque", Opaque: true}))), http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonProviderUnavailable)
	w.WriteFile("opaque.secret", w.secrets["opaque"]+"\n")
	w.Eventually("the new one is taken over", func() bool { return w.Ready().Parts["identity_providers"].Status == "ok" })

	token := w.MintToken(idp.Token{Issuer: "opaque", Opaque: true})
	mustGrant(t, w.Ask(opaque(token)), tenMinutes)
	before := calls()
	issuer.Revoke(token)
	mustGrant(t, w.Ask(opaque(token)), tenMinutes)
	if calls() != before {
		t.Error("asked again at once")
	}
	w.Move(30 * time.Second)
	mustRefuse(t, w.Ask(opaque(token)), http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenInvalid)

	before = calls()
	w.Ask(opaque(w.Token(nil)))
	w.Ask(opaque(w.Token(nil) + ".x"))
	w.Ask(opaque("not a token"))
	if calls() != before {
		t.Error("a token was shown to a provider whose it isn't")
	}
	if text := w.Metrics(); !strings.Contains(text, `sts_identity_introspections_total{provider="opaque",result="inactive"}`) {
		t.Error("introspections aren't counted")
	}
}
