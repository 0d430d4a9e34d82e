package rpc_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/fault"
	"github.com/lakegate/sts/server/rpc"
)

func bodyOf(text string) io.Reader { return strings.NewReader(text) }

func do(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

const good = `{"subject_token":"s","subject_token_type":"t"}`

// Every route reaches its own rpc, and nothing else reaches any.
func TestRoutes(t *testing.T) {
	b := newBench(t)
	for _, row := range []struct {
		method, path, body string
		status             int
		has                string // in the answer
	}{
		{"POST", "/v1/exchange", good, 200, `"access_token":"s"`},
		{"POST", "/v1/exchange:batch", `{"requests":[` + good + `]}`, 200, `"results":[{`},
		{"POST", "/v1/exchange:other", good, 404, `"not_found"`},
		{"POST", "/v1/exchange/", good, 404, `"not_found"`},
		{"POST", "/v1/exchange/x", good, 404, `"not_found"`},
		{"POST", "/v1/Exchange", good, 404, `"not_found"`},
		{"POST", "/v1/", good, 404, `"not_found"`},
		{"POST", "/v1/sts.v1.TokenService/Exchange", good, 404, `"not_found"`},
		{"GET", "/v1/exchange", "", 405, `"method_not_allowed"`},
		{"PUT", "/v1/exchange:batch", good, 405, `"method_not_allowed"`},
	} {
		r := b.post(t, row.path, row.body)
		r.Method = row.method
		answer, body := do(t, r)
		if answer.StatusCode != row.status || !strings.Contains(strings.ReplaceAll(body, `": `, `":`), row.has) {
			t.Errorf("%s %s: %d %s", row.method, row.path, answer.StatusCode, body)
		}
		if got := answer.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s %s: Cache-Control is %q", row.method, row.path, got)
		}
		if row.status == 405 && answer.Header.Get("Allow") != "POST" {
			t.Errorf("%s %s: Allow is %q", row.method, row.path, answer.Header.Get("Allow"))
		}
	}
	if got := b.exchanger.last(t); got.Entrance != "json" || got.Client.ID != "kong" {
		t.Errorf("called as %+v", got)
	}
}

// A path that is asked by another method says which it takes.
func TestAllow(t *testing.T) {
	_, _, b := newHouse(t)
	paths := map[string]string{
		"/v1/exchange": "POST", "/v1/exchange:batch": "POST", "/v1/mappings": "GET", "/v1/mappings/x": "GET", "/v1/mappings:explain": "POST",
		"/v1/principals": "GET", "/v1/principals/x": "GET", "/v1/policy/versions": "GET", "/v1/policy/versions/x": "GET",
	}
	for path, want := range paths {
		r := b.post(t, path, "")
		r.Method = http.MethodPut
		if answer, body := do(t, r); answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != want || strings.Count(body, "decision_id") != 1 {
			t.Errorf("%s: %d, Allow %q, want %q: %s", path, answer.StatusCode, answer.Header.Get("Allow"), want, body)
		}
	}
	if len(b.exchanger.failures) != len(paths) {
		t.Errorf("%d failures", len(b.exchanger.failures))
	}
}

// What is not exactly a request is refused in the body of all entrances, and never quoted.
func TestStrictJSON(t *testing.T) {
	const secret = "top-secret-token"
	set := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	query := func(q string) func(*http.Request) { return func(r *http.Request) { r.URL.RawQuery = q } }
	for _, row := range []struct {
		name   string
		body   string
		change func(*http.Request)
		status int
	}{
		{"as it should be", good, nil, 200},
		{"with charset", good, set("Content-Type", "application/json; charset=utf-8"), 200},
		{"unset is null", `{"subject_token":"s","scope":null}`, nil, 200},
		{"unknown member", `{"subject_token":"s","` + secret + `":1}`, nil, 400},
		{"unknown null member", `{"subject_token":"s","x":null}`, nil, 400},
		{"camelCase", `{"subjectToken":"` + secret + `"}`, nil, 400},
		{"letter case", `{"Subject_Token":"` + secret + `"}`, nil, 400},
		{"repeated", `{"subject_token":"a","subject_token":"` + secret + `"}`, nil, 400},
		{"repeated under both names", `{"subject_token":"a","subjectToken":"` + secret + `"}`, nil, 400},
		{"wrong type", `{"subject_token":["` + secret + `"]}`, nil, 400},
		{"a number for a text", `{"subject_token":1}`, nil, 400},
		{"a text for a list", `{"audience":"` + secret + `"}`, nil, 400},
		{"a number in quotes", `{"requested_lifetime_seconds":"60"}`, nil, 400},
		{"no integer", `{"requested_lifetime_seconds":1.5}`, nil, 400},
		{"too large an integer", `{"requested_lifetime_seconds":2147483648}`, nil, 400},
		{"trailing bytes", good + `x`, nil, 400},
		{"another object", good + good, nil, 400},
		{"trailing space", good + "\n", nil, 200},
		{"empty", ``, nil, 400},
		{"null", `null`, nil, 400},
		{"an array", `[` + good + `]`, nil, 400},
		{"cut off", `{"subject_token":"` + secret, nil, 400},
		{"not UTF-8", "{\"subject_token\":\"\xff\"}", nil, 400},
		{"deep", `{"authorization_details":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, nil, 400},
		{"a form", "subject_token=" + secret, set("Content-Type", "application/x-www-form-urlencoded"), 415},
		{"no type", good, set("Content-Type"), 415},
		{"gzip", good, set("Content-Encoding", "gzip"), 415},
		{"a query string", good, query("scope=x"), 400},
		{"an empty query string", good, func(r *http.Request) { r.URL.ForceQuery = true }, 400},
		{"a token in the query string", good, query("subject_token=" + secret), 400},
		{"two authorizations", good, set("Authorization", kong, kong), 400},
		{"no authorization", good, set("Authorization"), 401},
		{"another's method", good, set("X-Http-Method-Override", "GET"), 200},
		{"a deadline of the gateway's", good, set("Grpc-Timeout", "nonsense"), 200},
		{"too large", `{"scope":"` + strings.Repeat("x", 256<<10) + `"}`, nil, 413},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			r := b.post(t, "/v1/exchange", row.body)
			if row.change != nil {
				row.change(r)
			}
			answer, body := do(t, r)
			if answer.StatusCode != row.status || strings.Contains(body, secret) {
				t.Fatalf("%d, want %d: %s", answer.StatusCode, row.status, body)
			}
			if answer.Header.Get("Content-Type") != "application/json" || answer.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("header %v", answer.Header)
			}
			if row.status == 200 {
				return
			}
			var got fault.Body
			if err := json.Unmarshal([]byte(body), &got); err != nil || got.Reason == "" || got.DecisionID != "summed up" || got.ErrorDescription == "" {
				t.Errorf("%v: %s", err, body)
			}
			if len(b.exchanger.calls) > 0 || len(b.exchanger.failures) != 1 || b.exchanger.failures[0].Entrance != "json" {
				t.Errorf("%d calls, failures %+v", len(b.exchanger.calls), b.exchanger.failures)
			}
			if b.json.of(exchange.Reason(got.Reason)) != 1 || b.grpc.of(exchange.Reason(got.Reason)) != 0 {
				t.Errorf("counted %v and %v", b.json.count, b.grpc.count)
			}
		})
	}
}

func TestJSONAnswer(t *testing.T) {
	b := newBench(t)
	_, body := do(t, b.post(t, "/v1/exchange", good))
	want := `{"access_token":"s","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":600,"scope":"a b",` +
		`"authorization_details":[{"actions":["x"],"object_path":"/p","object_type":"t","type":"workspace_permission"}],"decision_id":"granted"}`
	var compact strings.Builder
	for i, c := range body { // protojson puts spaces where it likes
		if c == ' ' && (body[i-1] == ',' || body[i-1] == ':') {
			continue
		}
		compact.WriteRune(c)
	}
	if compact.String() != want {
		t.Errorf("%s", compact.String())
	}
	answer, body := do(t, b.post(t, "/v1/exchange", `{"subject_token":"limited"}`))
	if answer.StatusCode != 429 || answer.Header.Get("Retry-After") != "1" || !strings.Contains(body, `"decision_id":"recorded"`) {
		t.Errorf("%d %v %s", answer.StatusCode, answer.Header, body)
	}
	answer, body = do(t, b.post(t, "/v1/exchange", `{"subject_token":"panic"}`))
	if answer.StatusCode != 500 || strings.Contains(body, "out of order") {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

// What is accepted has no member that the message hasn't, and says the same when it is written again.
func FuzzDecodeJSON(f *testing.F) {
	f.Add(good)
	f.Add(`{"audience":["a"],"requested_lifetime_seconds":60,"authorization_details":[{"type":"x","actions":[]}]}`)
	f.Add(`{"subjectToken":"x"}`)
	f.Add(`{"subject_token":null} `)
	f.Fuzz(func(t *testing.T, text string) {
		var m, again stsv1.ExchangeRequest
		if err := rpc.DecodeJSON(text, &m); err != nil {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &members); err != nil {
			t.Fatalf("accepted, and no JSON object: %v", err)
		}
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			delete(members, string(fields.Get(i).Name()))
		}
		if len(members) > 0 {
			t.Fatalf("accepted unknown members: %v", members)
		}
		written, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(&m)
		if err != nil {
			t.Skip() // numbers that are too large for JSON
		}
		if err := rpc.DecodeJSON(string(written), &again); err != nil || !proto.Equal(&m, &again) {
			t.Fatalf("%v: %s", err, written)
		}
	})
}
