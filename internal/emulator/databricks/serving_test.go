package databricks_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/databricks"
	"github.com/lakegate/sts/internal/emulator/idp"
)

func TestInvocations(t *testing.T) {
	p := newPlace(t, databricks.Switches{})
	foreign := newPlace(t, databricks.Switches{})
	issue := func(s *place, id, scope string) string {
		token, err := s.Issue(id, scope, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := issue(p, appID, "")
	narrow := p.bySecret("authorization_details", churn).token()
	if err := p.PutPrincipal(databricks.Principal{ApplicationID: "away", Query: []string{"churn"}, Unassigned: true}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, endpoint, token string
		status                int
		cause                 string
	}{
		{"good", "churn", good, 200, ""},
		{"model-serving is enough", "churn", issue(p, appID, "model-serving"), 200, ""},
		{"covered by details", "churn", narrow, 200, ""},
		{"no token", "churn", "", 401, "no bearer token"},
		{"another workspace's", "churn", issue(foreign, appID, ""), 401, "not a token of this workspace"},
		{"cut", "churn", good[:len(good)-1], 401, "not a token of this workspace"},
		{"an assertion", "churn", p.assertion(idp.Token{}), 401, "not a token of this workspace"},
		{"unknown endpoint", "nope", good, 404, "unknown endpoint"},
		{"by id", "churn-id", good, 404, "unknown endpoint"},
		{"too little scope", "churn", issue(p, appID, "sql"), 403, "scope does not reach serving"},
		{"not permitted", "fraud", good, 403, "principal may not query the endpoint"},
		{"another principal", "churn", issue(p, otherID, ""), 403, "principal may not query the endpoint"},
		{"unassigned", "churn", issue(p, "away", ""), 403, "principal has no access to the workspace"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := p.invoke(tt.endpoint, tt.token)
			if got.status != tt.status || p.cause() != tt.cause {
				t.Errorf("%d %q, want %q", got.status, p.cause(), tt.cause)
			}
			if tt.status != 200 && (got.body["error_code"] == "" || got.body["message"] == "" || len(got.body) != 2) {
				t.Errorf("%+v", got)
			}
		})
	}
	// Both endpoints permitted, details for one.
	if err := p.PutPrincipal(databricks.Principal{ApplicationID: appID, Query: []string{"churn", "fraud"}}); err != nil {
		t.Fatal(err)
	}
	if got := p.invoke("fraud", narrow); got.status != 403 || p.cause() != "details do not cover the endpoint" {
		t.Errorf("beyond the details: %d %s", got.status, p.cause())
	}
	if got := p.invoke("fraud", good); got.status != 200 {
		t.Errorf("without details: %s", p.cause())
	}
	req, _ := http.NewRequest(http.MethodPost, p.URL()+"/serving-endpoints/churn/invocations", strings.NewReader("no json"))
	req.Header.Set("Authorization", "Bearer "+good)
	if got := p.do(req); got.status != 400 {
		t.Errorf("a body that is no JSON: %+v", got)
	}
	p.RemovePrincipal(appID)
	if got := p.invoke("churn", good); got.status != 401 || p.cause() != "unknown principal" {
		t.Errorf("deleted principal: %d %s", got.status, p.cause())
	}
}

func TestInactivePrincipalsTokens(t *testing.T) {
	for die, want := range map[bool]int{false: 200, true: 401} {
		p := newPlace(t, databricks.Switches{InactiveTokensDie: die})
		token := p.bySecret().token()
		principal, _ := p.Principal(appID)
		principal.Inactive = true
		if err := p.PutPrincipal(principal); err != nil {
			t.Fatal(err)
		}
		if got := p.invoke("churn", token); got.status != want {
			t.Errorf("die %t: %d %s", die, got.status, p.cause())
		}
		if got := p.exchange(p.assertion(idp.Token{})); got.status != 400 || p.cause() != "principal is inactive" {
			t.Errorf("exchange: %d %s", got.status, p.cause())
		}
	}
}

func TestUnassignedFederation(t *testing.T) {
	for refuse, want := range map[bool]int{false: 200, true: 400} {
		p := newPlace(t, databricks.Switches{RefuseUnassignedFederation: refuse})
		principal, _ := p.Principal(appID)
		principal.Unassigned = true
		if err := p.PutPrincipal(principal); err != nil {
			t.Fatal(err)
		}
		got := p.exchange(p.assertion(idp.Token{}))
		if got.status != want {
			t.Errorf("refuse %t: %d %s", refuse, got.status, p.cause())
		}
		if got.status == 200 && p.invoke("churn", got.token()).status != 403 {
			t.Errorf("its token reaches the endpoint")
		}
	}
}

// trueExpiry verifies an access token by the workspace's published keys and returns its exp.
func trueExpiry(t *testing.T, p *place, token string) time.Time {
	t.Helper()
	var keys jose.JSONWebKeySet
	req, _ := http.NewRequest(http.MethodGet, p.URL()+"/oidc/jwks.json", nil)
	if err := json.Unmarshal([]byte(p.do(req).text), &keys); err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	var claims jwt.Claims
	if err := parsed.Claims(&keys, &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Subject != appID || claims.Issuer != p.URL()+"/oidc" {
		t.Errorf("claims %+v", claims)
	}
	return claims.Expiry.Time()
}

func TestTokenFaults(t *testing.T) {
	p := newPlace(t, databricks.Switches{})
	p.AddFault(emulator.Fault{Route: databricks.TokenRoute, OutliveBy: time.Hour, Times: 1})
	p.AddFault(emulator.Fault{Route: databricks.TokenRoute, OutliveBy: time.Hour, Conceal: true, Times: 1})
	open, concealed := p.exchange(p.assertion(idp.Token{})), p.exchange(p.assertion(idp.Token{}))
	if open.body["expires_in"] != 4200.0 || concealed.body["expires_in"] != 600.0 {
		t.Errorf("expires_in %v, %v", open.body["expires_in"], concealed.body["expires_in"])
	}
	for _, a := range []answer{open, concealed} {
		if got := trueExpiry(t, p, a.token()).Sub(p.Now()); got != 70*time.Minute {
			t.Errorf("the token lives %s", got)
		}
	}
	p.AddFault(emulator.Fault{Route: databricks.TokenRoute, Match: map[string]string{"client_id": appID}, Status: 503, Headers: map[string]string{"Retry-After": "3"}})
	if got := p.bySecret(); got.status != 503 || got.body["error_code"] != "TEMPORARILY_UNAVAILABLE" || got.header.Get("Retry-After") != "3" {
		t.Errorf("by secret: %+v", got)
	}
	if got := p.exchange(p.assertion(claim("sub", otherID)), "client_id", otherID); got.status != 200 {
		t.Errorf("another principal is struck, too: %+v", got)
	}
	p.ClearFaults()
	p.AddFault(emulator.Fault{Status: 429, Format: databricks.FormatOAuth})
	if got := p.bySecret(); got.status != 429 || got.body["error"] != "temporarily_unavailable" {
		t.Errorf("OAuth's format: %+v", got)
	}
	if p.Mints("") != 3 {
		t.Errorf("%d mints", p.Mints(""))
	}
}

func TestDiscovery(t *testing.T) {
	p := newPlace(t, databricks.Switches{})
	get := func(path string) map[string]any {
		req, _ := http.NewRequest(http.MethodGet, p.URL()+path, nil)
		return p.do(req).body
	}
	if got := get("/.well-known/databricks-config"); got["oidc_endpoint"] != p.URL()+"/oidc" || got["account_id"] != databricks.DefaultAccountID {
		t.Errorf("metadata %v", got)
	}
	if got := get("/oidc/.well-known/oauth-authorization-server"); got["token_endpoint"] != p.URL()+"/oidc/v1/token" {
		t.Errorf("discovery %v", got)
	}
	if got := get("/api/2.0/preview/scim/v2/Me"); got["error_code"] != "NOT_IMPLEMENTED" {
		t.Errorf("unknown route: %v", got)
	}
}

func TestMalformedRequests(t *testing.T) {
	p := newPlace(t, databricks.Switches{})
	tests := []struct {
		name, media, query, body, cause string
	}{
		{"JSON", "application/json", "", `{"grant_type":"client_credentials"}`, "the body is not a form"},
		{"query", "application/x-www-form-urlencoded", "?scope=sql", "grant_type=client_credentials", "there are parameters in the query"},
		{"repeated", "application/x-www-form-urlencoded", "", "grant_type=client_credentials&scope=sql&scope=sql", "the parameter scope is repeated"},
		{"bad escape", "application/x-www-form-urlencoded", "", "grant_type=client_credentials&scope=%zz", "the form is malformed"},
	}
	for _, tt := range tests {
		req, _ := http.NewRequest(http.MethodPost, p.URL()+"/oidc/v1/token"+tt.query, strings.NewReader(tt.body))
		req.Header.Set("Content-Type", tt.media)
		req.SetBasicAuth(appID, secret)
		if got := p.do(req); got.status != 400 || got.body["error"] != "invalid_request" || p.cause() != tt.cause {
			t.Errorf("%s: %q %+v", tt.name, p.cause(), got)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	six := []string{"1", "2", "3", "4", "5", "6"}
	for name, principal := range map[string]databricks.Principal{
		"no id":             {},
		"six secrets":       {ApplicationID: appID, Secrets: six},
		"empty secret":      {ApplicationID: appID, Secrets: []string{""}},
		"21 policies":       {ApplicationID: appID, Policies: make([]databricks.FederationPolicy, 21)},
		"no issuer":         {ApplicationID: appID, Policies: make([]databricks.FederationPolicy, 1)},
		"keys are not JSON": {ApplicationID: appID, Policies: []databricks.FederationPolicy{{Issuer: "x", JWKSJSON: "x"}}},
		"secret key": {ApplicationID: appID, Policies: []databricks.FederationPolicy{
			{Issuer: "x", JWKSJSON: `{"keys":[{"kty":"oct","k":"AAAA"}]}`}}},
	} {
		if _, err := databricks.New(databricks.Config{Key: key(), Principals: []databricks.Principal{principal}}); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	if _, err := databricks.New(databricks.Config{Key: key(), Endpoints: []databricks.Endpoint{{}}}); err == nil {
		t.Error("an endpoint without a name was taken")
	}
}

func TestControl(t *testing.T) {
	p := newPlace(t, databricks.Switches{})
	post := func(path, body string) answer {
		req, _ := http.NewRequest(http.MethodPost, p.URL()+"/_emulator/"+path, strings.NewReader(body))
		return p.do(req)
	}
	setup := `{"principals":[{"application_id":"new","query":["ranker"]}],"endpoints":[{"name":"ranker","answer":{"predictions":[1]}}],
		"switches":{"federation_details":"honoured","key_cache":"1m"}}`
	if got := post("setup", setup); got.status != 204 {
		t.Fatalf("%+v", got)
	}
	token, _ := post("tokens", `{"principal":"new","lifetime":"5m","scope":"model-serving"}`).body["token"].(string)
	if got := p.invoke("ranker", token); got.status != 200 || got.text != `{"predictions":[1]}`+"\n" {
		t.Errorf("%s: %+v", p.cause(), got)
	}
	if got := p.exchange(p.assertion(idp.Token{}), "authorization_details", churn); got.body["authorization_details"] == nil {
		t.Errorf("switch: %s: %+v", p.cause(), got)
	}
	for path, body := range map[string]string{
		"tokens": `{"principal":"nobody"}`,
		"setup":  `{"switches":{"federation_details":"nope"}}`,
		"faults": `{"route":"POST /oidc/v2/token"}`,
	} {
		if got := post(path, body); got.status != 400 {
			t.Errorf("%s %s: %+v", path, body, got)
		}
	}
	p.move(5 * time.Minute)
	if got := p.invoke("ranker", token); got.status != 401 {
		t.Errorf("expired: %+v", got)
	}
	post("reset", "")
	if p.Mints("") != 0 || len(p.Calls()) != 0 {
		t.Error("reset left something")
	}
}
