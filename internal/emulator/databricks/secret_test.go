package databricks_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/internal/emulator/databricks"
	"github.com/lakegate/sts/internal/emulator/idp"
)

func TestSecret(t *testing.T) {
	p := newPlace(t, databricks.Switches{})
	got := p.bySecret()
	if got.status != 200 || got.body["expires_in"] != 3600.0 || got.body["token_type"] != "Bearer" || got.body["issued_token_type"] != nil {
		t.Fatalf("%s: %+v", p.cause(), got)
	}
	p.move(time.Hour - time.Second)
	if got := p.invoke("churn", got.token()); got.status != 200 {
		t.Errorf("a second before: %s", p.cause())
	}
	p.move(time.Second)
	if got := p.invoke("churn", got.token()); got.status != 401 || p.cause() != "token has expired" {
		t.Errorf("after an hour: %d %s", got.status, p.cause())
	}
}

// A wrong secret, an unknown principal and the others answer the same bytes but for error_id.
func TestBadClients(t *testing.T) {
	odd := "a:b%c+d ü"
	p := newPlace(t, databricks.Switches{})
	for _, principal := range []databricks.Principal{
		{ApplicationID: "off", Secrets: []string{secret}, Inactive: true},
		{ApplicationID: "away", Secrets: []string{secret}, Unassigned: true},
		{ApplicationID: odd, Secrets: []string{odd}},
	} {
		if err := p.PutPrincipal(principal); err != nil {
			t.Fatal(err)
		}
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	tests := []struct {
		name  string
		edit  func(*http.Request)
		cause string
	}{
		{"good", basic(appID, secret), ""},
		{"good, older secret", basic(appID, "older"), ""},
		{"good, odd characters", basic(odd, odd), ""},
		{"wrong secret", basic(appID, "nope"), "wrong secret"},
		{"empty secret", basic(appID, ""), "wrong secret"},
		{"unknown", basic("nobody", secret), "unknown principal"},
		{"no secret set", basic("bare", ""), "unknown principal"},
		{"inactive", basic("off", secret), "principal is inactive"},
		{"unassigned", basic("away", secret), "principal has no access to the workspace"},
		{"none", nil, "no HTTP Basic"},
		{"not encoded", func(r *http.Request) { r.SetBasicAuth(odd, odd) }, "no HTTP Basic"},
		{"bearer", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, "no HTTP Basic"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := p.call(form, tt.edit)
			if p.cause() != tt.cause || (got.status == 200) != (tt.cause == "") {
				t.Fatalf("%q, want %q: %+v", p.cause(), tt.cause, got)
			}
			if tt.cause == "" {
				return
			}
			if got.status != 401 || got.body["error"] != "invalid_client" || got.body["error_description"] != "Client authentication failed" ||
				got.body["error_id"] == "" || len(got.body) != 3 {
				t.Errorf("%+v", got)
			}
		})
	}
	if got := p.bySecret("client_id", otherID); got.status != 401 || p.cause() != "another client_id in the form" {
		t.Errorf("%d %s", got.status, p.cause())
	}
}

func TestSecretSwitches(t *testing.T) {
	off := databricks.Principal{ApplicationID: appID, Secrets: []string{secret}, Inactive: true}
	away := databricks.Principal{ApplicationID: appID, Secrets: []string{secret}, Unassigned: true}
	tests := []struct {
		name      string
		switches  databricks.Switches
		principal databricks.Principal
		want      int
	}{
		{"inactive", databricks.Switches{}, off, 401},
		{"inactive mints", databricks.Switches{InactiveMints: true}, off, 200},
		{"unassigned", databricks.Switches{}, away, 401},
		{"unassigned mints", databricks.Switches{UnassignedSecret: true}, away, 200},
		{"status", databricks.Switches{BadClientStatus: 400}, off, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, tt.switches)
			if err := p.PutPrincipal(tt.principal); err != nil {
				t.Fatal(err)
			}
			if got := p.bySecret(); got.status != tt.want {
				t.Errorf("%s: %+v", p.cause(), got)
			}
		})
	}
	if _, err := databricks.New(databricks.Config{Key: key(), Switches: databricks.Switches{FederationLifetime: "forever"}}); err == nil {
		t.Error("an unknown lifetime was taken")
	}
	if _, err := databricks.New(databricks.Config{Key: key(), Switches: databricks.Switches{FederationDetails: "maybe"}}); err == nil {
		t.Error("an unknown mode of details was taken")
	}
	if _, err := databricks.New(databricks.Config{Key: key(), Switches: databricks.Switches{BadClientStatus: 200}}); err == nil {
		t.Error("a refusal by 200 was taken")
	}
}

func TestDetails(t *testing.T) {
	p := newPlace(t, databricks.Switches{})
	detail := func(old, new string) string { return strings.Replace(churn, old, new, 1) }
	tests := []struct {
		name, details, cause string
	}{
		{"good", churn, ""},
		{"by name", detail("churn-id", "churn"), ""},
		{"not JSON", "[", "malformed authorization_details"},
		{"an object", "{}", "malformed authorization_details"},
		{"empty", "[]", "malformed authorization_details"},
		{"unknown member", detail(`{"type"`, `{"x":1,"type"`), "malformed authorization_details"},
		{"unknown type", detail("workspace_permission", "x"), "unknown type of authorization_details"},
		{"unknown object type", detail(`"serving-endpoints"`, `"jobs"`), "unknown type of authorization_details"},
		{"unknown action", detail("query_inference_endpoint", "manage"), "unknown action in authorization_details"},
		{"no action", detail(`"query_inference_endpoint"`, ""), "unknown action in authorization_details"},
		{"unknown endpoint", detail("churn-id", "nope"), "principal may not query the endpoint in authorization_details"},
		{"endpoint of others", detail("churn-id", "fraud"), "principal may not query the endpoint in authorization_details"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := p.bySecret("authorization_details", tt.details)
			if p.cause() != tt.cause || (got.status == 200) != (tt.cause == "") {
				t.Fatalf("%q, want %q: %+v", p.cause(), tt.cause, got)
			}
			if tt.cause == "" && got.body["authorization_details"] == nil {
				t.Errorf("no echo: %+v", got)
			}
			if tt.cause != "" && got.body["error"] != "invalid_authorization_details" {
				t.Errorf("%+v", got)
			}
		})
	}
	if err := p.SetSwitches(databricks.Switches{GrantUncoveredDetails: true}); err != nil {
		t.Fatal(err)
	}
	got := p.bySecret("authorization_details", detail("churn-id", "fraud"))
	if got.status != 200 {
		t.Fatalf("uncovered details: %s", p.cause())
	}
	if got := p.invoke("fraud", got.token()); got.status != 403 || p.cause() != "principal may not query the endpoint" {
		t.Errorf("uncovered details reach the endpoint: %d %s", got.status, p.cause())
	}
}

func TestDataPlane(t *testing.T) {
	p := newPlace(t, databricks.Switches{})
	wide := p.exchange(p.assertion(idp.Token{})).token()
	call := func(assertion, bearer, details string) answer {
		form := with(url.Values{"grant_type": {dataPlane}}, []string{"assertion", assertion, "authorization_details", details})
		return p.call(form, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+bearer) })
	}
	p.move(time.Minute)
	narrow := call(wide, wide, churn)
	if narrow.status != 200 || narrow.body["expires_in"] != 540.0 || narrow.body["authorization_details"] == nil {
		t.Fatalf("%s: %+v", p.cause(), narrow)
	}
	if got := p.invoke("churn", narrow.token()); got.status != 200 {
		t.Errorf("narrow token: %s", p.cause())
	}
	tests := []struct {
		name, assertion, bearer, details, cause string
	}{
		{"no details", wide, wide, "", "authorization_details are missing"},
		{"another bearer", wide, narrow.token(), churn, "bearer is not the assertion"},
		{"no token", "", "", churn, "bearer is not the assertion"},
		{"foreign token", "x", "x", churn, "not a token of this workspace"},
		{"not the principal's", wide, wide, strings.Replace(churn, "churn-id", "fraud", 1), "principal may not query the endpoint in authorization_details"},
	}
	for _, tt := range tests {
		if got := call(tt.assertion, tt.bearer, tt.details); got.status/100 != 4 || p.cause() != tt.cause {
			t.Errorf("%s: %d %q", tt.name, got.status, p.cause())
		}
	}
	p.move(9 * time.Minute)
	if got := call(wide, wide, churn); got.status != 400 || p.cause() != "token has expired" {
		t.Errorf("expired: %d %s", got.status, p.cause())
	}
}
