package databricks_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/lakegate/sts/databricks"
	"github.com/lakegate/sts/exchange"
)

// Whatever is accepted is what was asked for, judged by another reader of the same bytes.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		good, withDetails(details().JSON()), with("900", "1e2"), with("900", "0900"), with(`{`, `{"access_token":"first",`),
		with("Bearer", "bearer"), with("sql", "all-apis"), `{}`, `[]`, ``, "null", `{"access_token":"a","token_type":"Bearer","expires_in":1}`,
	} {
		f.Add([]byte(body), false)
		f.Add([]byte(body), true)
	}
	asked := []string{"model-serving", "sql"}
	f.Fuzz(func(t *testing.T, body []byte, withDetails bool) {
		var want exchange.Details
		if withDetails {
			want = details()
		}
		token, expiresIn, err := databricks.DecodeAnswer(body, asked, want)
		if err != nil {
			if token != "" || expiresIn != 0 {
				t.Fatal("an error, and a token")
			}
			return
		}
		var m map[string]any
		dec := json.NewDecoder(strings.NewReader(string(body)))
		dec.UseNumber()
		if err := dec.Decode(&m); err != nil {
			t.Fatalf("accepted what is not a JSON object: %v", err)
		}
		if m["access_token"] != token.Reveal() || token == "" || strings.ContainsAny(token.Reveal(), " \r\n\x00\x7f") {
			t.Errorf("token %q", token.Reveal())
		}
		if kind, _ := m["token_type"].(string); !strings.EqualFold(kind, "bearer") {
			t.Errorf("token_type %v", m["token_type"])
		}
		number, _ := m["expires_in"].(json.Number)
		if n, err := number.Int64(); err != nil || n < 1 || n > 7*24*3600 || float64(n) != expiresIn.Seconds() {
			t.Errorf("expires_in %v, read as %s", m["expires_in"], expiresIn)
		}
		if scope, there := m["scope"].(string); there {
			got := strings.Fields(scope)
			slices.Sort(got)
			if !slices.Equal(slices.Compact(got), asked) {
				t.Errorf("scope %q", scope)
			}
		}
		if kind, there := m["issued_token_type"]; there && kind != string(exchange.TypeAccessToken) {
			t.Errorf("issued_token_type %v", kind)
		}
		list, _ := m["authorization_details"].([]any)
		if (len(list) > 0) != withDetails {
			t.Errorf("authorization_details %v", list)
		}
	})
}

// Whatever an error's body is, what we keep of it is short, and of a few characters.
func FuzzRefusal(f *testing.F) {
	for _, body := range []string{`{"error":"invalid_grant","error_description":"TOKEN_INVALID"}`, `{"error_code":"X_Y","error_id":"6ba7b810-9dad-11d1-80b4-00c04fd430c8"}`, ``, `{"error":"A1"}`, `[]`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		said := databricks.DecodeRefusal(400, body)
		if len(said) > 200 || strings.Trim(said, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789-= ") != "" {
			t.Errorf("kept %q", said)
		}
		for word := range strings.FieldsSeq(said) {
			if word != "400" && !strings.HasPrefix(word, "error_id=") && strings.ContainsAny(word, "0123456789") {
				t.Errorf("kept %q", word)
			}
		}
	})
}
