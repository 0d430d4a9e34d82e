package databricks_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lakegate/sts/internal/emulator/databricks"
)

// FuzzTokenEndpoint: no body without a credential gets a token, and every refusal is JSON in one of the two formats.
func FuzzTokenEndpoint(f *testing.F) {
	s, err := databricks.New(databricks.Config{
		Key: key(),
		URL: "http://127.0.0.1:1",
		Principals: []databricks.Principal{{ApplicationID: appID, Secrets: []string{secret}, Policies: []databricks.FederationPolicy{
			{Issuer: "https://keys.example", JWKSJSON: `{"keys":[]}`}}}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("grant_type=client_credentials&scope=all-apis")
	f.Add("grant_type=urn:ietf:params:oauth:grant-type:token-exchange&client_id=" + appID + "&subject_token_type=" + typeJWT +
		"&subject_token=eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwczovL2tleXMuZXhhbXBsZSJ9.AAAA")
	f.Add("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=x&authorization_details=" + churn)
	f.Add("grant_type=%zz&grant_type")
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/oidc/v1/token", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotImplemented:
		default:
			t.Fatalf("%q: %d %s", body, w.Code, w.Body)
		}
		var answer map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || (answer["error"] == "") == (answer["error_code"] == "") {
			t.Errorf("%q: %s", body, w.Body)
		}
	})
}
