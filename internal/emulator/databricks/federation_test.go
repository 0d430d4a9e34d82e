package databricks_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/databricks"
	"github.com/lakegate/sts/internal/emulator/idp"
)

func claim(name string, value any) idp.Token { return idp.Token{Claims: map[string]any{name: value}} }

func TestFederation(t *testing.T) {
	p := newPlace(t, databricks.Switches{})
	got := p.exchange(p.assertion(idp.Token{}))
	if got.status != http.StatusOK {
		t.Fatalf("%s: %+v", p.cause(), got)
	}
	want := map[string]any{
		"access_token": got.token(), "token_type": "Bearer", "expires_in": 600.0, "scope": "all-apis", "issued_token_type": typeAccess,
	}
	if !maps.Equal(want, got.body) {
		t.Errorf("answer %v", got.body)
	}
	if n := len(got.token()); n < 800 || n > 1200 {
		t.Errorf("a token of %d bytes is unlike the real ones", n)
	}
	if got := p.invoke("churn", got.token()); got.status != http.StatusOK || got.header.Get(databricks.PrincipalHeader) != appID {
		t.Errorf("%s: %+v", p.cause(), got)
	}
	if p.Mints("") != 1 || p.Mints(appID) != 1 || p.Mints(otherID) != 0 {
		t.Errorf("mints: %d, %d", p.Mints(appID), p.Mints(otherID))
	}
	call := p.Calls()[0]
	assertion, _ := call.Notes["assertion"].(map[string]any)
	claims, _ := assertion["claims"].(map[string]any)
	if assertion["alg"] != "ES256" || claims["sub"] != appID || call.Fields["client_id"] != appID {
		t.Errorf("call: %+v", call)
	}
}

// Each assertion is a good one's twin but for one thing, and is refused for that.
func TestBadAssertions(t *testing.T) {
	p := newPlace(t, databricks.Switches{})
	tests := []struct {
		name  string
		token idp.Token
		cause string
	}{
		{"other issuer", idp.Token{Issuer: "stranger"}, "no federation policy for the issuer"},
		{"claimed issuer", claim("iss", "https://evil.example"), "no federation policy for the issuer"},
		{"issuer with a slash", claim("iss", p.issuer.Issuer("sts").URL()+"/"), "no federation policy for the issuer"},
		{"other issuer's key", idp.Token{Issuer: "stranger", Claims: map[string]any{"iss": p.issuer.Issuer("sts").URL()}}, "unknown kid"},
		{"other subject", claim("sub", otherID), "subject does not match"},
		{"no subject", claim("sub", nil), "subject does not match"},
		{"other audience", claim("aud", "https://evil.example"), "audience does not match"},
		{"no audience", claim("aud", nil), "audience does not match"},
		{"expired", idp.Token{Lifetime: -time.Second}, "expired"},
		{"expires now", claim("exp", time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).Unix()), "expired"},
		{"no exp", claim("exp", nil), "no exp"},
		{"no iat", claim("iat", nil), "no iat"},
		{"iat ahead", claim("iat", time.Date(2026, 11, 24, 12, 0, 1, 0, time.UTC).Unix()), "issued in the future"},
		{"nbf ahead", claim("nbf", time.Date(2026, 11, 24, 12, 0, 1, 0, time.UTC).Unix()), "not yet valid"},
		{"forged", idp.Token{Forged: true}, "bad signature"},
		{"tampered payload", idp.Token{Tamper: idp.TamperPayload}, "bad signature"},
		{"tampered signature", idp.Token{Tamper: idp.TamperSignature}, "bad signature"},
		{"no kid", idp.Token{Header: map[string]any{"kid": nil}}, "no kid"},
		{"unknown kid", idp.Token{Header: map[string]any{"kid": "nope"}}, "unknown kid"},
		{"key of another algorithm", idp.Token{Header: map[string]any{"alg": "RS256"}}, "the key is for another algorithm"},
		{"none", idp.Token{Algorithm: "none"}, "no JWT signed by RS256 or ES256"},
		{"HS256", idp.Token{Algorithm: "HS256"}, "no JWT signed by RS256 or ES256"},
		{"EdDSA", idp.Token{Algorithm: "EdDSA"}, "no JWT signed by RS256 or ES256"},
		{"PS256", idp.Token{Algorithm: "PS256"}, "no JWT signed by RS256 or ES256"},
		{"claims of odd types", claim("exp", "soon"), "malformed claims"},
	}
	if got := p.exchange(p.assertion(idp.Token{})); got.status != http.StatusOK {
		t.Fatalf("the good twin: %s: %+v", p.cause(), got)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := p.exchange(p.assertion(tt.token))
			if got.status != http.StatusBadRequest || got.body["error"] != "invalid_grant" || !strings.HasPrefix(p.cause(), tt.cause) {
				t.Errorf("cause %q, want %q: %+v", p.cause(), tt.cause, got)
			}
			text, _ := got.body["error_description"].(string)
			if audience := tt.cause == "audience does not match"; audience != strings.Contains(text, "TOKEN_AUDIENCE_INVALID") {
				t.Errorf("description %q", text)
			}
		})
	}
	if p.Mints("") != 1 {
		t.Errorf("%d mints", p.Mints(""))
	}
}

func TestBadFederationForms(t *testing.T) {
	p := newPlace(t, databricks.Switches{})
	good := p.assertion(idp.Token{})
	tests := []struct {
		name   string
		pairs  []string
		status int
		code   string
		cause  string
	}{
		{"no client_id", []string{"client_id", ""}, 400, "invalid_grant", "no client_id"},
		{"unknown client_id", []string{"client_id", "nobody"}, 400, "invalid_grant", "unknown principal"},
		{"another principal's id", []string{"client_id", otherID}, 400, "invalid_grant", "subject does not match"},
		{"no token", []string{"subject_token", ""}, 400, "invalid_request", "subject_token is missing"},
		{"no token type", []string{"subject_token_type", ""}, 400, "invalid_request", "subject_token_type is not " + typeJWT},
		{"other token type", []string{"subject_token_type", typeAccess}, 400, "invalid_request", "subject_token_type is not " + typeJWT},
		{"other requested type", []string{"requested_token_type", typeJWT}, 400, "invalid_request", "requested_token_type is not " + typeAccess},
		{"unknown scope", []string{"scope", "all-apis nope"}, 400, "invalid_scope", "unknown scope"},
		{"unknown parameter", []string{"lifetime", "60"}, 501, "", "unknown parameter lifetime"},
		{"secret beside it", []string{"client_secret", secret}, 501, "", "unknown parameter client_secret"},
		{"unknown grant", []string{"grant_type", "password"}, 501, "", "unknown grant type"},
		{"no grant", []string{"grant_type", ""}, 501, "", "unknown grant type"},
		{"requested type that is issued", []string{"requested_token_type", typeAccess}, 200, "", ""},
		{"several scopes", []string{"scope", "sql model-serving sql"}, 200, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := p.exchange(good, tt.pairs...)
			code, _ := got.body["error"].(string)
			if got.status != tt.status || code != tt.code || p.cause() != tt.cause {
				t.Errorf("cause %q, want %q: %+v", p.cause(), tt.cause, got)
			}
		})
	}
	if got := p.exchange(good, "scope", "sql model-serving sql"); got.body["scope"] != "model-serving sql" {
		t.Errorf("scope %v", got.body["scope"])
	}
}

func TestTokenEndsWithItsAssertion(t *testing.T) {
	p := newPlace(t, databricks.Switches{})
	token := p.exchange(p.assertion(idp.Token{Lifetime: 4 * time.Minute})).token()
	p.move(4*time.Minute - time.Second)
	if got := p.invoke("churn", token); got.status != http.StatusOK {
		t.Errorf("a second before: %s", p.cause())
	}
	p.move(time.Second)
	if got := p.invoke("churn", token); got.status != http.StatusUnauthorized || p.cause() != "token has expired" {
		t.Errorf("at its end: %d %s", got.status, p.cause())
	}
}

func TestKeysAreKeptForAQuarterOfAnHour(t *testing.T) {
	p := newPlace(t, databricks.Switches{})
	issuer := p.issuer.Issuer("sts")
	fetches := func() int { return p.issuer.Totals()[issuer.JWKSRoute()].Calls }
	first := issuer.KeyID("ES256")
	for range 3 {
		if got := p.exchange(p.assertion(idp.Token{})); got.status != http.StatusOK {
			t.Fatal(p.cause())
		}
	}
	if fetches() != 1 {
		t.Errorf("%d fetches", fetches())
	}
	if _, err := issuer.Rotate("ES256"); err != nil {
		t.Fatal(err)
	}
	if err := issuer.Withdraw(first); err != nil {
		t.Fatal(err)
	}
	p.move(15*time.Minute - time.Second)
	if got := p.exchange(p.assertion(idp.Token{})); got.status != 400 || p.cause() != "unknown kid" || fetches() != 1 {
		t.Errorf("new key within the quarter: %d %s, %d fetches", got.status, p.cause(), fetches())
	}
	if got := p.exchange(p.assertion(idp.Token{Key: first})); got.status != 200 {
		t.Errorf("withdrawn key within the quarter: %s", p.cause())
	}
	p.move(time.Second)
	if got := p.exchange(p.assertion(idp.Token{})); got.status != 200 || fetches() != 2 {
		t.Errorf("new key after the quarter: %s, %d fetches", p.cause(), fetches())
	}
	if got := p.exchange(p.assertion(idp.Token{Key: first})); got.status != 400 || p.cause() != "unknown kid" {
		t.Errorf("withdrawn key after the quarter: %d %s", got.status, p.cause())
	}
	p.ForgetKeys()
	p.issuer.AddFault(emulator.Fault{Route: issuer.DiscoveryRoute(), Set: map[string]json.RawMessage{"issuer": json.RawMessage(`"x"`)}, Times: 1})
	if p.exchange(p.assertion(idp.Token{})); !strings.Contains(p.cause(), "another issuer's") {
		t.Errorf("another issuer's discovery document: %s", p.cause())
	}
	p.issuer.AddFault(emulator.Fault{Status: 500, Times: 1})
	if p.exchange(p.assertion(idp.Token{})); !strings.Contains(p.cause(), "answered 500") {
		t.Errorf("broken issuer: %s", p.cause())
	}
	if got := p.exchange(p.assertion(idp.Token{})); got.status != 200 {
		t.Errorf("a failed fetch was kept: %s", p.cause())
	}
}

func TestPolicies(t *testing.T) {
	p := newPlace(t, databricks.Switches{})
	issuer := p.issuer.Issuer("sts")
	keys, err := json.Marshal(issuer.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	// An issuer of which the name leads nowhere, found at reach by two documents that name it.
	static := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/x/.well-known/openid-configuration":
			_, _ = w.Write([]byte(`{"issuer":"https://keys.example/sts","jwks_uri":"https://keys.example/sts/keys"}`))
		case "/x/keys":
			_, _ = w.Write(keys)
		default:
			http.NotFound(w, r)
		}
	}))
	defer static.Close()
	named := claim("iss", "https://keys.example/sts")
	tests := []struct {
		name     string
		policies []databricks.FederationPolicy
		token    idp.Token
		cause    string
	}{
		{"inline keys", []databricks.FederationPolicy{{Issuer: issuer.URL(), JWKSJSON: string(keys)}}, idp.Token{}, ""},
		{"inline keys of another", []databricks.FederationPolicy{{Issuer: issuer.URL(), JWKSJSON: `{"keys":[]}`}}, idp.Token{}, "unknown kid"},
		{"keys by URI", []databricks.FederationPolicy{{Issuer: "https://keys.example/sts", JWKSURI: issuer.JWKSURI()}}, named, ""},
		{"reach", []databricks.FederationPolicy{{Issuer: "https://keys.example/sts", Reach: static.URL + "/x"}}, named, ""},
		{"audience", []databricks.FederationPolicy{{Issuer: issuer.URL(), Audiences: []string{"a", "b"}}}, claim("aud", []string{"z", "b"}), ""},
		{"default audience is gone", []databricks.FederationPolicy{{Issuer: issuer.URL(), Audiences: []string{"a"}}}, idp.Token{}, "audience does not match"},
		{"subject", []databricks.FederationPolicy{{Issuer: issuer.URL(), Subject: "me"}}, claim("sub", "me"), ""},
		{"subject claim", []databricks.FederationPolicy{{Issuer: issuer.URL(), SubjectClaim: "uid"}}, claim("uid", appID), ""},
		{"subject claim missing", []databricks.FederationPolicy{{Issuer: issuer.URL(), SubjectClaim: "uid"}}, idp.Token{}, "subject does not match"},
		{"second fits", []databricks.FederationPolicy{{Issuer: issuer.URL(), Subject: "me"}, {Issuer: issuer.URL()}}, idp.Token{}, ""},
		{"none", nil, idp.Token{}, "no federation policy for the issuer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := p.PutPrincipal(databricks.Principal{ApplicationID: appID, Policies: tt.policies}); err != nil {
				t.Fatal(err)
			}
			if got := p.exchange(p.assertion(tt.token)); p.cause() != tt.cause || (got.status == 200) != (tt.cause == "") {
				t.Errorf("%d %q, want %q", got.status, p.cause(), tt.cause)
			}
		})
	}
}

func TestFederationSwitches(t *testing.T) {
	iatAhead := claim("iat", time.Date(2026, 11, 24, 12, 0, 30, 0, time.UTC).Unix())
	details := []string{"authorization_details", churn}
	tests := []struct {
		name     string
		switches databricks.Switches
		token    idp.Token
		pairs    []string
		check    func(answer) bool
	}{
		{"two hours", databricks.Switches{}, idp.Token{Lifetime: 2 * time.Hour}, nil, func(a answer) bool { return a.body["expires_in"] == 7200.0 }},
		{"capped", databricks.Switches{FederationLifetime: databricks.LifetimeCapped}, idp.Token{Lifetime: 2 * time.Hour}, nil, func(a answer) bool { return a.body["expires_in"] == 3600.0 }},
		{"not capped", databricks.Switches{FederationLifetime: databricks.LifetimeCapped}, idp.Token{}, nil, func(a answer) bool { return a.body["expires_in"] == 600.0 }},
		{"always an hour", databricks.Switches{FederationLifetime: databricks.LifetimeHour}, idp.Token{}, nil, func(a answer) bool { return a.body["expires_in"] == 3600.0 }},
		{"no issued type", databricks.Switches{OmitIssuedTokenType: true}, idp.Token{}, nil, func(a answer) bool { return a.status == 200 && a.body["issued_token_type"] == nil }},
		{"details ignored", databricks.Switches{}, idp.Token{}, details, func(a answer) bool { return a.status == 200 && a.body["authorization_details"] == nil }},
		{"details honoured", databricks.Switches{FederationDetails: databricks.DetailsHonoured}, idp.Token{}, details, func(a answer) bool { return a.body["authorization_details"] != nil }},
		{"details not echoed", databricks.Switches{FederationDetails: databricks.DetailsHonoured, OmitDetails: true}, idp.Token{}, details, func(a answer) bool { return a.status == 200 && a.body["authorization_details"] == nil }},
		{"details refused", databricks.Switches{FederationDetails: databricks.DetailsRefused}, idp.Token{}, details, func(a answer) bool { return a.body["error"] == "invalid_request" }},
		{"leeway", databricks.Switches{Leeway: emulator.Duration(time.Minute)}, iatAhead, nil, func(a answer) bool { return a.status == 200 }},
		{"status", databricks.Switches{BadAssertionStatus: 401}, idp.Token{Forged: true}, nil, func(a answer) bool { return a.status == 401 && a.body["error"] == "invalid_grant" }},
		{"once", databricks.Switches{AssertionOnce: true}, idp.Token{}, nil, func(a answer) bool { return a.status == 200 }},
		{"once without jti", databricks.Switches{AssertionOnce: true}, claim("jti", nil), nil, func(a answer) bool { return a.status == 400 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, tt.switches)
			if got := p.exchange(p.assertion(tt.token), tt.pairs...); !tt.check(got) {
				t.Errorf("%s: %+v", p.cause(), got)
			}
		})
	}
}

func TestAssertionOnce(t *testing.T) {
	for once, want := range map[bool]int{false: 200, true: 400} {
		p := newPlace(t, databricks.Switches{AssertionOnce: once})
		token := p.assertion(idp.Token{})
		p.exchange(token)
		if got := p.exchange(token); got.status != want {
			t.Errorf("once %t, second time: %d %s", once, got.status, p.cause())
		}
	}
}

func TestRefetchOfUnknownKeys(t *testing.T) {
	p := newPlace(t, databricks.Switches{RefetchUnknownKey: true})
	p.exchange(p.assertion(idp.Token{}))
	if _, err := p.issuer.Issuer("sts").Rotate("ES256"); err != nil {
		t.Fatal(err)
	}
	if got := p.exchange(p.assertion(idp.Token{})); got.status != 200 {
		t.Errorf("%d %s", got.status, p.cause())
	}
}
