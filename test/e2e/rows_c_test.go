package e2e_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/databricks"
	"github.com/lakegate/sts/internal/emulator/idp"
)

const (
	typeJWT         = string(exchange.TypeJWT)
	typeAccessToken = string(exchange.TypeAccessToken)
	typeIDToken     = string(exchange.TypeIDToken)
)

func TestRowsC(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	minted := func(typ string, recipe idp.Token) func(*world) request {
		return func(w *world) request {
			r := b0(w)
			r.Params.Set("subject_token_type", typ)
			r.Params.Set("subject_token", w.MintToken(recipe))
			return r
		}
	}
	accessHeader := map[string]any{"typ": "at+jwt"}
	nonce := map[string]any{"nonce": "n-0S6_WzA2Mj", "at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}
	unsupported := func(id, typ string) row {
		return row{id: id, ask: change(with("subject_token_type", typ)), status: 400, code: "invalid_request", reason: exchange.ReasonTokenTypeUnsupported, says: "subject_token_type"}
	}
	invalid := func(id string, ask func(*world) request) row {
		return row{id: id, ask: ask, status: 400, code: "invalid_request", reason: exchange.ReasonSubjectTokenInvalid}
	}
	runRows(t, w, []row{
		{id: "C01", ask: change(with("subject_token", "")), status: 400, code: "invalid_request", reason: malformed, says: "subject_token is missing"},
		{id: "C02", ask: change(func(r *request) { r.Params.Set("subject_token", "") }), status: 400, code: "invalid_request", reason: malformed, says: "subject_token is missing"},
		{id: "C03", ask: change(with("subject_token_type", "")), status: 400, code: "invalid_request", reason: malformed, says: "subject_token_type is missing"},
		{id: "C05", ask: change(with("actor_token_type", typeJWT)), status: 400, code: "invalid_request", reason: malformed, says: "actor_token"},
		{id: "C05 twin", ask: change(with("actor_token", "x")), status: 400, code: "invalid_request", reason: malformed, says: "actor_token_type"},
		unsupported("C06", "jwt"),
		unsupported("C08", "urn:ietf:params:oauth:token-type:refresh_token"),
		unsupported("C09", strings.ToUpper(typeJWT)),
		unsupported("C09 one letter", strings.Replace(typeJWT, "jwt", "JWT", 1)),
		invalid("C10", change(with("subject_token", "opaque-0123456789abcdef"))),
		invalid("C11", minted(typeIDToken, idp.Token{Header: accessHeader})),
		{id: "C11 twin", ask: minted(typeIDToken, idp.Token{})},
		invalid("C12", minted(typeAccessToken, idp.Token{Issuer: "strict", Claims: nonce})),
		{id: "C12 twin", ask: minted(typeAccessToken, idp.Token{Issuer: "strict", Header: accessHeader})},
		{id: "C18 jwt", ask: minted(typeJWT, idp.Token{})},
		{id: "C18 access_token", ask: minted(typeAccessToken, idp.Token{})},
		invalid("jwt with the marks of an ID token", minted(typeJWT, idp.Token{Claims: nonce})),
		invalid("jwt with the marks of an access token", minted(typeJWT, idp.Token{Header: accessHeader})),
		{id: "G18 by act", ask: subject(map[string]any{"act": object{"sub": "agent-1"}}), status: 400, code: "invalid_request", reason: exchange.ReasonDelegationNotAllowed, says: "switched off"},
		{id: "G18", ask: change(with("actor_token", "x", "actor_token_type", typeJWT)), status: 400, code: "invalid_request", reason: exchange.ReasonDelegationNotAllowed},
	})
}

// TestRowC18 holds that one token under two types is judged, and recorded, as each.
func TestRowC18(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "C18", func(t *testing.T, w *world) {
		token := w.Token(nil)
		for _, typ := range []string{typeJWT, typeAccessToken} {
			a := w.Ask(with("subject_token", token, "subject_token_type", typ))
			mustGrant(t, a, tenMinutes)
			if got := w.Exchange(a.DecisionID).SubjectToken.Type; !strings.HasSuffix(typ, ":"+got) {
				t.Errorf("recorded as %q, want %q", got, typ)
			}
		}
	})
}

func TestRowsD(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	requested := func(id, typ string) row {
		return row{id: id, ask: change(with("requested_token_type", typ)), status: 400, code: "invalid_request", reason: exchange.ReasonTokenTypeUnsupported, says: "requested_token_type"}
	}
	runRows(t, w, []row{
		{id: "D02", ask: change(with("requested_token_type", typeAccessToken))},
		requested("D03", typeJWT),
		requested("D05", "https://example.com/token-types/unknown"),
		{id: "D08", ask: change(with("scope", "offline_access")), status: 400, code: "invalid_scope", reason: exchange.ReasonScopeExceedsPolicy},
		{id: "D09"}, // non-empty on every 2xx: holdAlways
	})
}

// TestRowsD10 and the next are our outbound call: whatever is doubtful about Databricks' answer, nothing of it is
// served and nothing kept.
func TestRowsD10(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := func(name string, value any) emulator.Fault {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return emulator.Fault{Set: map[string]json.RawMessage{name: text}}
	}
	for _, tc := range []struct {
		id     string
		group  string // the group that leads to the principal
		fault  emulator.Fault
		reason exchange.Reason
	}{
		{"D10 empty access_token", "data-eng", set("access_token", ""), exchange.ReasonUpstreamInvalid},
		{"D10 no access_token", "data-eng", emulator.Fault{Drop: []string{"access_token"}}, exchange.ReasonUpstreamInvalid},
		{"D10 no token_type", "data-eng", emulator.Fault{Drop: []string{"token_type"}}, exchange.ReasonUpstreamInvalid},
		{"D10 token_type", "data-eng", set("token_type", "MAC"), exchange.ReasonUpstreamInvalid},
		{"D10 issued_token_type", "data-eng", set("issued_token_type", typeIDToken), exchange.ReasonUpstreamInvalid},
		{"D10 wider scope", "data-eng", set("scope", "all-apis model-serving"), exchange.ReasonUpstreamInvalid},
		{"D10 no details", "details", emulator.Fault{Drop: []string{"authorization_details"}}, exchange.ReasonUpstreamInvalid},
		{"D11 missing", "data-eng", emulator.Fault{Drop: []string{"expires_in"}}, exchange.ReasonUpstreamInvalid},
		{"D11 0", "data-eng", set("expires_in", 0), exchange.ReasonUpstreamInvalid},
		{"D11 negative", "data-eng", set("expires_in", -600), exchange.ReasonUpstreamInvalid},
		{"D11 string", "data-eng", set("expires_in", "600"), exchange.ReasonUpstreamInvalid},
		{"D11 10^12", "data-eng", set("expires_in", 1_000_000_000_000), exchange.ReasonUpstreamInvalid},
		{"D10 outlives its assertion", "data-eng", emulator.Fault{OutliveBy: tenMinutes}, exchange.ReasonUpstreamInvalid},
		{"D10 outlives its assertion and says nothing", "data-eng", emulator.Fault{OutliveBy: tenMinutes, Conceal: true}, exchange.ReasonUpstreamInvalid},
		{"D10 cut off", "data-eng", emulator.Fault{Cut: true}, exchange.ReasonUpstreamUnavailable},
		{"D10 not JSON", "data-eng", emulator.Fault{Body: "<html>"}, exchange.ReasonUpstreamInvalid},
		{"D10 too long", "data-eng", emulator.Fault{Pad: 2 << 20}, exchange.ReasonUpstreamInvalid},
	} {
		t.Run(tc.id, func(t *testing.T) {
			w.Later()
			eachOf(t, singles, w, tc.id, func(t *testing.T, w *world) {
				tc.fault.Route = databricks.TokenRoute
				remove := w.dbx.AddFault(tc.fault)
				ask := with("subject_token", w.Token(map[string]any{"groups": []string{tc.group}}))
				a := w.Ask(ask)
				if tc.reason == exchange.ReasonUpstreamInvalid {
					mustRefuse(t, a, http.StatusBadGateway, "server_error", tc.reason)
				} else {
					mustRefuse(t, a, http.StatusServiceUnavailable, "temporarily_unavailable", tc.reason)
				}
				remove()
				before := w.dbx.Mints("")
				w.Move(2 * time.Second) // beyond the pause after a failure
				mustGrant(t, w.Ask(ask), tenMinutes)
				if w.dbx.Mints("") == before {
					t.Error("something of the doubtful answer was kept: no mint followed")
				}
			})
		})
	}
}
