package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/idp"
)

func TestRowsF(t *testing.T) {
	t.Parallel()
	w := prepareWorld(t)
	if _, err := w.idp.Issuer("okta").Rotate("RS256"); err != nil {
		t.Fatal(err)
	}
	w.Start()
	token := func(recipe func(w *world) idp.Token) func(*world) request {
		return func(w *world) request {
			r := b0(w)
			r.Params.Set("subject_token", w.MintToken(recipe(w)))
			return r
		}
	}
	refused := func(id string, reason exchange.Reason, recipe func(w *world) idp.Token) row {
		return row{id: id, ask: token(recipe), status: 400, code: "invalid_request", reason: reason}
	}
	bad := func(id string, recipe idp.Token) row {
		return refused(id, exchange.ReasonSubjectTokenInvalid, func(*world) idp.Token { return recipe })
	}
	good := func(id string, recipe func(w *world) idp.Token) row { return row{id: id, ask: token(recipe)} }
	claims := func(pairs ...any) idp.Token {
		c := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			c[pairs[i].(string)] = pairs[i+1]
		}
		return idp.Token{Claims: c}
	}
	at := func(name string, offset time.Duration) func(*world) idp.Token {
		return func(w *world) idp.Token { return claims(name, w.Now().Add(offset).Unix()) }
	}
	header := func(pairs ...any) idp.Token {
		h := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i].(string)] = pairs[i+1]
		}
		return idp.Token{Header: h}
	}
	payload := func(format string) func(*world) idp.Token {
		return func(w *world) idp.Token {
			now := w.Now().Unix()
			text := strings.NewReplacer("ISS", w.idp.Issuer("okta").URL(), "IAT", fmt.Sprint(now), "EXP", fmt.Sprint(now+1800)).Replace(format)
			return idp.Token{RawPayload: text}
		}
	}
	edited := func(id string, edit func(string) string) row {
		return row{id: id, ask: func(w *world) request {
			r := b0(w)
			r.Params.Set("subject_token", edit(w.Token(nil)))
			return r
		}, status: 400, code: "invalid_request", reason: exchange.ReasonSubjectTokenInvalid}
	}
	runRows(t, w, []row{
		bad("F01 none", idp.Token{Algorithm: "none"}),
		bad("F01 None", idp.Token{Algorithm: "None"}),
		bad("F01 nOnE", idp.Token{Algorithm: "nOnE"}),
		good("F03 ES256", func(*world) idp.Token { return idp.Token{Algorithm: "ES256"} }),
		good("F03 RS256", func(*world) idp.Token { return idp.Token{Algorithm: "RS256"} }),
		bad("F03 PS256", idp.Token{Algorithm: "PS256"}),
		bad("F03 EdDSA", idp.Token{Algorithm: "EdDSA"}),
		bad("F03 HS256 by the public key", idp.Token{Algorithm: "HS256"}),
		bad("F04 unknown kid", header("kid", "nobody-has-this-one")),
		bad("F05 kid is a path", header("kid", "../../../../etc/passwd")),
		bad("F05 kid is SQL", header("kid", "' OR 1=1 --")),
		bad("F07 b64", header("b64", false, "crit", []string{"b64"})),
		bad("F07 crit", header("crit", []string{"exp"})),
		edited("F08 five parts", func(s string) string { return s + ".a.b" }),
		refused("F09 trailing slash", exchange.ReasonIssuerUnknown, func(w *world) idp.Token { return claims("iss", w.idp.Issuer("okta").URL()+"/") }),
		refused("F09 letter case", exchange.ReasonIssuerUnknown, func(w *world) idp.Token { return claims("iss", strings.ToUpper(w.idp.Issuer("okta").URL())) }),
		refused("F09 unconfigured", exchange.ReasonIssuerUnknown, func(*world) idp.Token { return idp.Token{Issuer: "unconfigured"} }),
		bad("F09 another's key", func() idp.Token { return claims("iss", w.idp.Issuer("other").URL()) }()),
		bad("F11 no aud", claims("aud", nil)),
		bad("F12 the client's", claims("aud", "kong")),
		bad("F12 another API", claims("aud", []string{"api://other", "api://lakegate/"})),
		good("F13", func(*world) idp.Token { return claims("aud", []string{"api://other", "api://lakegate"}) }),
		bad("F14 no exp", claims("exp", nil)),
		refused("F16", exchange.ReasonSubjectTokenExpired, at("exp", -2*time.Second)),
		good("F17 iat", at("iat", 4*time.Second)),
		good("F17 nbf", at("nbf", 4*time.Second)),
		{id: "F17 beyond the leeway", ask: token(at("nbf", 94*time.Second)), status: 400, code: "invalid_request", reason: exchange.ReasonSubjectTokenNotYetValid, says: "ahead"},
		refused("F18", exchange.ReasonSubjectTokenNotYetValid, at("iat", time.Hour)),
		bad("F18 no iat", claims("iat", nil)),
		good("F19 float", payload(`{"iss":"ISS","sub":"alice","aud":"api://lakegate","iat":IAT.5,"exp":EXP.25,"groups":["data-eng"]}`)),
		good("F19 exponent", payload(`{"iss":"ISS","sub":"alice","aud":"api://lakegate","iat":IAT,"exp":EXP.0e0,"groups":["data-eng"]}`)),
		refused("F19 string", exchange.ReasonSubjectTokenInvalid, payload(`{"iss":"ISS","sub":"alice","aud":"api://lakegate","iat":IAT,"exp":"EXP","groups":["data-eng"]}`)),
		refused("F19 negative", exchange.ReasonSubjectTokenInvalid, payload(`{"iss":"ISS","sub":"alice","aud":"api://lakegate","iat":IAT,"exp":-EXP,"groups":["data-eng"]}`)),
		refused("F19 1e400", exchange.ReasonSubjectTokenInvalid, payload(`{"iss":"ISS","sub":"alice","aud":"api://lakegate","iat":IAT,"exp":1e400,"groups":["data-eng"]}`)),
		refused("F19 array", exchange.ReasonSubjectTokenInvalid, payload(`{"iss":"ISS","sub":"alice","aud":"api://lakegate","iat":IAT,"exp":[EXP],"groups":["data-eng"]}`)),
		refused("F20 claim", exchange.ReasonSubjectTokenInvalid, payload(`{"iss":"ISS","sub":"alice","sub":"bob","aud":"api://lakegate","iat":IAT,"exp":EXP,"groups":["data-eng"]}`)),
		refused("F20 nested", exchange.ReasonSubjectTokenInvalid, payload(`{"iss":"ISS","sub":"alice","aud":"api://lakegate","iat":IAT,"exp":EXP,"groups":["data-eng"],"x":{"a":1,"a":2}}`)),
		bad("F20 header", func() idp.Token {
			kid := w.idp.Issuer("okta").KeyID("ES256")
			return idp.Token{Algorithm: "ES256", RawHeader: fmt.Sprintf(`{"alg":"ES256","alg":"ES256","kid":%q}`, kid)}
		}()),
		bad("F21 missing", claims("sub", nil)),
		bad("F21 empty", claims("sub", "")),
		bad("F21 number", claims("sub", 7)),
		bad("F21 256 bytes", claims("sub", strings.Repeat("a", 256))),
		good("F21 255 bytes", func(*world) idp.Token { return claims("sub", strings.Repeat("a", 255)) }),
		bad("F21 control", claims("sub", "alice\n")),
		refused("F22 string", exchange.ReasonGroupsMalformed, func(*world) idp.Token { return claims("groups", "data-eng") }),
		refused("F22 object", exchange.ReasonGroupsMalformed, func(*world) idp.Token { return claims("groups", map[string]any{"data-eng": true}) }),
		refused("F22 a number among them", exchange.ReasonGroupsMalformed, func(*world) idp.Token { return claims("groups", []any{"data-eng", 7}) }),
		refused("F23 _claim_names", exchange.ReasonGroupsOverage, func(*world) idp.Token {
			return claims("groups", nil, "_claim_names", map[string]any{"groups": "src1"}, "_claim_sources", map[string]any{"src1": map[string]any{"endpoint": "https://graph.example"}})
		}),
		refused("F23 hasgroups", exchange.ReasonGroupsOverage, func(*world) idp.Token { return claims("groups", nil, "hasgroups", true) }),
		edited("F24 leading space", func(s string) string { return " " + s }),
		edited("F24 trailing newline", func(s string) string { return s + "\n" }),
		edited("F24 padding", func(s string) string { return s + "=" }),
		edited("F24 extra dot", func(s string) string { return s + "." }),
		edited("F24 no signature", func(s string) string { return s[:strings.LastIndexByte(s, '.')+1] }),
		edited("F24 two parts", func(s string) string { return s[:strings.LastIndexByte(s, '.')] }),
		bad("F25 17 KiB", claims("x", strings.Repeat("a", 17<<10))),
		refused("F25 deep", exchange.ReasonSubjectTokenInvalid, payload(`{"iss":"ISS","sub":"alice","aud":"api://lakegate","iat":IAT,"exp":EXP,"groups":["data-eng"],"x":`+
			strings.Repeat("[", 3000)+strings.Repeat("]", 3000)+`}`)),
		refused("F27 jkt", exchange.ReasonSenderConstrained, func(*world) idp.Token {
			return claims("cnf", map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})
		}),
		refused("F27 x5t", exchange.ReasonSenderConstrained, func(*world) idp.Token {
			return claims("cnf", map[string]any{"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})
		}),
		{id: "F30 ours", ask: token(func(*world) idp.Token { return claims("iss", stsIssuer) }), status: 400, code: "invalid_request", reason: exchange.ReasonIssuerUnknown},
		{id: "F30 Databricks'", ask: func(w *world) request {
			return change(with("subject_token", w.Ask().AccessToken))(w)
		}, status: 400, code: "invalid_request", reason: exchange.ReasonIssuerUnknown},
		bad("forged", idp.Token{Forged: true}),
		{id: "P02", ask: token(func(*world) idp.Token { return idp.Token{Issuer: "other"} }), status: 400, code: "invalid_request", reason: exchange.ReasonIssuerNotAllowed, says: "other"},
	})
}

// TestRowF05 holds that a token's own key or key address is neither used nor fetched: a canary sees no connection.
func TestRowF05(t *testing.T) {
	t.Parallel()
	canary, err := idp.New(idp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	url, err := canary.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer canary.Close()
	eachEntrance(t, newWorld(t), "F05", func(t *testing.T, w *world) {
		for _, header := range []map[string]any{
			{"jku": url + "/default/jwks"}, {"x5u": url + "/cert"}, {"jwk": canary.Issuer("").JWKS().Keys[0]},
			{"jku": url + "/default/jwks", "kid": canary.Issuer("").KeyID("ES256")},
		} {
			a := w.Ask(token(w.MintToken(idp.Token{Header: header, Forged: true})))
			mustRefuse(t, a, http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenInvalid)
		}
		if calls := canary.Calls(); len(calls) != 0 {
			t.Errorf("the canary was called: %+v", calls)
		}
	})
}

// TestRowF04 holds that a flood of unknown key ids leads to one fetch in ten seconds, and a rotated key is found.
func TestRowF04(t *testing.T) {
	t.Parallel()
	eachOf(t, singles, newWorld(t), "F04", func(t *testing.T, w *world) {
		issuer := w.idp.Issuer("okta")
		w.Eventually("the keys are fetched anew", func() bool { // which is due after all that time
			return w.Probe().Status == http.StatusOK && w.idp.Totals()[issuer.JWKSRoute()].Calls > 0
		})
		before := w.idp.Totals()[issuer.JWKSRoute()].Calls

		unknown := token(w.MintToken(idp.Token{Header: map[string]any{"kid": "unknown"}}))
		var flood sync.WaitGroup
		for range 30 {
			flood.Go(func() {
				if a := w.Probe(unknown); a.Status != http.StatusBadRequest {
					t.Errorf("status %d", a.Status)
				}
			})
		}
		flood.Wait()
		if fetches := w.idp.Totals()[issuer.JWKSRoute()].Calls - before; fetches > 1 {
			t.Errorf("%d fetches for one flood", fetches)
		}

		if _, err := issuer.Rotate("ES256"); err != nil {
			t.Fatal(err)
		}
		w.Move(11 * time.Second)
		mustGrant(t, w.Ask(), tenMinutes)
		mustRefuse(t, w.Ask(unknown), http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenInvalid)
	})
}

// TestRowF28 holds that known keys outlive an outage of their provider, up to the stated age.
func TestRowF28(t *testing.T) {
	t.Parallel()
	stale := newWorld(t, func(_ *world, s *setup) {
		s.config["identity_providers"].(object)["okta"].(object)["jwks_max_stale"] = "3h"
	})
	eachOf(t, singles, stale, "F28", func(t *testing.T, w *world) {
		w.Eventually("the provider's keys are known", func() bool { return w.Probe().Status == http.StatusOK })
		issuer := w.idp.Issuer("okta")
		for _, route := range []string{issuer.JWKSRoute(), issuer.DiscoveryRoute()} {
			w.idp.AddFault(emulator.Fault{Route: route, Status: http.StatusInternalServerError})
		}
		w.Move(30 * time.Minute)
		mustGrant(t, w.Ask(), tenMinutes)
		w.Move(4 * time.Hour)
		a := w.Ask()
		mustRefuse(t, a, http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonProviderUnavailable)
		wantRetryAfter(t, a)
		w.idp.ClearFaults()
		w.Move(5 * time.Hour)
		w.Eventually("the provider is back", func() bool { return w.Probe().Status == http.StatusOK })
	})
}

// TestRowF25 holds that a provider's endless key set is bounded, and that other providers don't notice.
func TestRowF25(t *testing.T) {
	t.Parallel()
	padded := prepareWorld(t)
	endless := emulator.Fault{Route: padded.idp.Issuer("strict").JWKSRoute(), Pad: 8 << 20}
	padded.idp.AddFault(endless)
	padded.Start()
	eachOf(t, singles, padded, "F25", func(t *testing.T, w *world) {
		w.idp.AddFault(endless)
		if _, err := w.idp.Issuer("strict").Rotate("ES256"); err != nil { // no key that is known already helps
			t.Fatal(err)
		}
		a := w.Ask(with("subject_token", w.MintToken(idp.Token{Issuer: "strict", Header: map[string]any{"typ": "at+jwt"}}), "subject_token_type", typeAccessToken))
		mustRefuse(t, a, http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenInvalid)
		mustGrant(t, w.Ask(), tenMinutes)
	})
}
