package oauth_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/fault"
)

// Rows of the conformance table that end at this door, by their names; the process is tested against all of them in
// test/e2e.
func TestRefusals(t *testing.T) {
	set := func(name string, values ...string) func(*request) {
		return func(r *request) { r.form[name] = values }
	}
	twice := func(name string) func(*request) { return set(name, "x", "x") }
	header := func(name string, values ...string) func(*request) {
		return func(r *request) { r.headers[name] = values }
	}
	query := func(q string) func(*request) { return func(r *request) { r.query = q } }
	body := func(b string) func(*request) { return func(r *request) { r.body = &b } }
	both := func(f, g func(*request)) func(*request) { return func(r *request) { f(r); g(r) } }

	for _, row := range []struct {
		name   string
		change func(*request)
		status int
		error  string
		reason exchange.Reason
	}{
		{"A05 parameters in the query", both(body(""), query("?grant_type=x&audience=prod")), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"A05 token in the query", query("?subject_token=x"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"A05 escaped name in the query", query("?%73ubject_token=x"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"A05 name in capitals in the query", query("?a=b&Subject_Token=x"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"A05 name behind a semicolon in the query", query("?a=b;subject_token=x"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"A06 half in the query", both(func(r *request) { delete(r.form, "subject_token_type") }, query("?subject_token_type=x")), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"GET", func(r *request) { r.method = http.MethodGet }, 405, "invalid_request", exchange.ReasonMethodNotAllowed},
		{"A08 another charset", header("Content-Type", "application/x-www-form-urlencoded; charset=latin1"), 415, "invalid_request", exchange.ReasonRequestMalformed},
		{"A08 two media types", header("Content-Type", "application/x-www-form-urlencoded", "application/x-www-form-urlencoded"), 415, "invalid_request", exchange.ReasonRequestMalformed},
		{"A09 multipart", header("Content-Type", "multipart/form-data; boundary=x"), 415, "invalid_request", exchange.ReasonRequestMalformed},
		{"A09 JSON", header("Content-Type", "application/json"), 415, "invalid_request", exchange.ReasonRequestMalformed},
		{"A09 compressed", header("Content-Encoding", "gzip"), 415, "invalid_request", exchange.ReasonRequestMalformed},
		{"A11 bad escape", body("grant_type=x&subject_token=%zz"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"A11 bad escape of an unknown parameter", body("x=%zz"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"A11 semicolon", body("grant_type=x;subject_token=y"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"A11 too many parameters", body(strings.Repeat("a=b&", 129)), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"A14 no grant type", func(r *request) { delete(r.form, "grant_type") }, 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"A14 empty grant type", set("grant_type", ""), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"another grant type", set("grant_type", "client_credentials"), 400, "unsupported_grant_type", exchange.ReasonGrantTypeUnsupported},
		{"A16 two grant types in one", set("grant_type", exchange.GrantTypeTokenExchange+" client_credentials"), 400, "unsupported_grant_type", exchange.ReasonGrantTypeUnsupported},
		{"A16 grant type and a space", set("grant_type", exchange.GrantTypeTokenExchange+" "), 400, "unsupported_grant_type", exchange.ReasonGrantTypeUnsupported},
		{"A18 two Authorization headers", header("Authorization", basic("kong", secret), basic("kong", secret)), 400, "invalid_request", exchange.ReasonRequestMalformed},

		{"B01 subject_token twice", set("subject_token", token, token), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"subject_token_type twice", twice("subject_token_type"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"B03 actor_token twice", twice("actor_token"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"B03 actor_token_type twice", twice("actor_token_type"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"B04 requested_token_type twice", twice("requested_token_type"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"authorization_details twice", twice("authorization_details"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"requested_lifetime twice", twice("requested_lifetime"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"B06 grant_type twice", set("grant_type", exchange.GrantTypeTokenExchange, exchange.GrantTypeTokenExchange), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"B06 grant_type twice, unsupported", twice("grant_type"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"B06 client_id twice", twice("client_id"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"B06 client_secret twice", twice("client_secret"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"B06 client_assertion twice", twice("client_assertion"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"B06 client_assertion_type twice", twice("client_assertion_type"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"B07 scope twice, once empty", set("scope", "", "a"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"B07 a name escaped otherwise", body("grant_type=" + exchange.GrantTypeTokenExchange + "&scope=a&sc%6fpe=b"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"B08 two audiences", set("audience", "prod", "staging"), 400, "invalid_target", exchange.ReasonTargetUnknown},
		{"order: grant type before duplicates", both(set("grant_type", "x"), twice("scope")), 400, "unsupported_grant_type", exchange.ReasonGrantTypeUnsupported},
		{"order: duplicates before client", both(header("Authorization", basic("kong", "wrong")), twice("scope")), 400, "invalid_request", exchange.ReasonRequestMalformed},

		{"C01 no subject_token", func(r *request) { delete(r.form, "subject_token") }, 400, "invalid_request", exchange.ReasonRequestMalformed},

		{"H01 wrong secret", header("Authorization", basic("kong", "wrong")), 401, "invalid_client", exchange.ReasonClientAuthenticationFailed},
		{"H02 wrong secret in the body", both(header("Authorization"), both(set("client_id", "job"), set("client_secret", "wrong"))), 401, "invalid_client", exchange.ReasonClientAuthenticationFailed},
		{"H04 no credential", header("Authorization"), 401, "invalid_client", exchange.ReasonClientAuthenticationFailed},
		{"H07 another client_id", set("client_id", "job"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"H08 Basic and client_assertion", set("client_assertion", "x"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"H09 secret in the query", query("?client_secret=s3cret"), 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"H18 another method than registered", both(header("Authorization"), both(set("client_id", "kong"), set("client_secret", secret))), 401, "invalid_client", exchange.ReasonClientAuthenticationFailed},
		{"H25 wrong secret and no token", both(header("Authorization", basic("kong", "wrong")), set("subject_token", "garbage")), 401, "invalid_client", exchange.ReasonClientAuthenticationFailed},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			r := baseline()
			row.change(r)
			w := b.do(r)

			var got fault.Body
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("answer %q is not JSON: %v", w.Body, err)
			}
			if w.Code != row.status || got.Error != row.error || got.Reason != string(row.reason) {
				t.Errorf("got %d %s %s (%s)", w.Code, got.Error, got.Reason, got.ErrorDescription)
			}
			checkErrorHeaders(t, w)
			// I03: a failure before the client is known names its source's summary, any other its own record.
			want := summaryID
			if len(b.service.calls) > 0 {
				want = decisionID
			} else if len(b.service.failures) != 1 {
				t.Errorf("%d failures recorded, want 1", len(b.service.failures))
			}
			if got.DecisionID != want {
				t.Errorf("decision_id = %s, want %s", got.DecisionID, want)
			}
			if b.observer.count != 1 || b.observer.err == nil {
				t.Errorf("observed %+v", b.observer)
			}
			for _, leak := range []string{token, secret, "s3cret", "wrong"} {
				if strings.Contains(w.Body.String(), leak) {
					t.Errorf("I02: the answer holds %q", leak)
				}
			}
		})
	}
}

// checkErrorHeaders checks A03, and H01's challenge.
func checkErrorHeaders(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	h := w.Header()
	if h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" || h.Get("Pragma") != "no-cache" {
		t.Errorf("A03: headers %v", h)
	}
	if challenged := strings.HasPrefix(h.Get("WWW-Authenticate"), "Basic "); challenged != (w.Code == 401) {
		t.Errorf("H01: status %d with WWW-Authenticate %q", w.Code, h.Get("WWW-Authenticate"))
	}
	if (h.Get("Allow") == "POST") != (w.Code == 405) {
		t.Errorf("status %d with Allow %q", w.Code, h.Get("Allow"))
	}
}

func TestGrants(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*request)
	}{
		{"A01 baseline", func(*request) {}},
		{"A05 other things in the query are ignored", func(r *request) { r.query = "?trace=1&audience=staging" }},
		{"A08 charset", func(r *request) { r.headers.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8") }},
		{"A13 empty scope", func(r *request) { r.form.Set("scope", "") }},
		{"B10 the same audience twice", func(r *request) { r.form["audience"] = []string{"prod", "prod"} }},
		{"unknown parameters, also repeated, are ignored", func(r *request) { r.form["x"] = []string{"1", "2"} }},
		{"H07 the same client_id", func(r *request) { r.form.Set("client_id", "kong") }},
		{"empty parameters", func(r *request) { s := "&&" + r.form.Encode() + "&&"; r.body = &s }},
		{"a long body", func(r *request) { r.form.Set("x", strings.Repeat("x", 200<<10)) }},
		{"client_secret_post", func(r *request) {
			r.headers.Del("Authorization")
			r.form.Set("client_id", "job")
			r.form.Set("client_secret", secret)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			r := baseline()
			row.change(r)
			w := b.do(r)
			want := `{"access_token":"databricks-token","issued_token_type":"urn:ietf:params:oauth:token-type:access_token",` +
				`"token_type":"Bearer","expires_in":600,"scope":"a b","decision_id":"` + decisionID + `"}` + "\n"
			if w.Code != 200 || w.Body.String() != want {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if h := w.Header(); h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" || h.Get("Pragma") != "no-cache" {
				t.Errorf("A02: headers %v", h)
			}
			if b.observer.count != 1 || b.observer.err != nil || b.observer.took != time.Millisecond {
				t.Errorf("observed %+v", b.observer)
			}
		})
	}
}

func TestCallReachesTheService(t *testing.T) {
	b := newBench(t)
	r := baseline()
	for name, value := range map[string]string{
		"actor_token": "actor", "actor_token_type": string(exchange.TypeJWT), "requested_token_type": "rtt", "resource": "https://h",
		"scope": "a  b", "authorization_details": "[]", "requested_lifetime": "60",
	} {
		r.form.Set(name, value)
	}
	b.do(r)
	want := exchange.Params{
		GrantType: exchange.GrantTypeTokenExchange, SubjectToken: token, SubjectTokenType: string(exchange.TypeJWT),
		ActorToken: "actor", ActorTokenType: string(exchange.TypeJWT), RequestedTokenType: "rtt",
		Audience: []string{"prod"}, Resource: []string{"https://h"}, Scope: "a  b", AuthorizationDetails: "[]", RequestedLifetime: "60",
	}
	call := b.service.calls[0]
	if diff := cmp.Diff(want, call.Params); diff != "" {
		t.Error(diff)
	}
	if call.Entrance != "form" || call.Client.ID != "kong" || call.Source.Peer != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("call %+v", call)
	}
}

// P12.
func TestClaimedSource(t *testing.T) {
	claims := http.Header{"X-Forwarded-For": {"203.0.113.1"}, "X-Request-Id": {"r-1"}, "Sts-Route": {"models"}}
	for _, row := range []struct {
		name   string
		client string
		header http.Header
		want   exchange.Claimed
	}{
		{"with forwards_source", "kong", claims, exchange.Claimed{Source: "203.0.113.1", RequestID: "r-1", Route: "models"}},
		{"without", "job", claims, exchange.Claimed{}},
		{"none sent", "kong", nil, exchange.Claimed{}},
		{"the address that the client itself saw", "kong", http.Header{"X-Forwarded-For": {"198.51.100.1", "198.51.100.2, 203.0.113.1"}}, exchange.Claimed{Source: "203.0.113.1"}},
		{"with a port", "kong", http.Header{"X-Forwarded-For": {"[2001:db8::1]:443"}}, exchange.Claimed{Source: "2001:db8::1"}},
		{"mapped", "kong", http.Header{"X-Forwarded-For": {"::ffff:203.0.113.1"}}, exchange.Claimed{Source: "203.0.113.1"}},
		{"not an address", "kong", http.Header{"X-Forwarded-For": {"203.0.113.1, <script>"}}, exchange.Claimed{}},
		{"control characters", "kong", http.Header{"X-Request-Id": {"a\x1b[31mé"}}, exchange.Claimed{RequestID: "a?[31m?"}},
		{"too long", "kong", http.Header{"X-Request-Id": {strings.Repeat("x", 1000)}}, exchange.Claimed{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			r := baseline()
			if row.client == "job" {
				r.headers.Del("Authorization")
				r.form.Set("client_id", "job")
				r.form.Set("client_secret", secret)
			}
			for name, values := range row.header {
				r.headers[name] = values
			}
			b.do(r)
			if diff := cmp.Diff(row.want, b.service.calls[0].Source.Claimed); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// I05, I06, I08: what the service says comes out as the table has it.
func TestServiceErrors(t *testing.T) {
	for _, row := range []struct {
		name       string
		err        *exchange.Error
		status     int
		error      string
		retryAfter string
	}{
		{"I05", exchange.Refuse(exchange.CodeRateLimited, exchange.ReasonRateLimited, "slow").After(1100 * time.Millisecond), 429, "temporarily_unavailable", "2"},
		{"I06", exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable, "down"), 503, "temporarily_unavailable", "1"},
		{"I07", exchange.Refuse(exchange.CodeUpstream, exchange.ReasonUpstreamRejected, "no"), 502, "server_error", ""},
		{"I04", exchange.Refuse(exchange.CodeNotGranted, exchange.ReasonNoMatchingRule, "no rule"), 400, "invalid_request", ""},
		{"H23", exchange.Refuse(exchange.CodeUnauthorizedClient, exchange.ReasonClientNotAllowed, "no"), 400, "unauthorized_client", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			b.service.err = row.err
			w := b.do(baseline())
			var got fault.Body
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if w.Code != row.status || got.Error != row.error || got.DecisionID != decisionID || w.Header().Get("Retry-After") != row.retryAfter {
				t.Errorf("got %d %+v %v", w.Code, got, w.Header())
			}
			if len(b.service.failures) != 0 {
				t.Errorf("recorded a second time: %+v", b.service.failures)
			}
		})
	}
}

// A10: the body is not read to its end, whether or not its length was announced.
func TestTooLarge(t *testing.T) {
	for _, row := range []struct {
		name   string
		length int64
		most   int
	}{{"announced", 1 << 30, 0}, {"not announced", -1, 300 << 10}} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			r := baseline().build()
			endless := &endlessBody{}
			r.Body, r.ContentLength = endless, row.length
			w := httptest.NewRecorder()
			b.endpoint.ServeHTTP(w, r)
			if w.Code != http.StatusRequestEntityTooLarge || w.Header().Get("Connection") != "close" {
				t.Errorf("%d %v", w.Code, w.Header())
			}
			if endless.read > row.most {
				t.Errorf("%d bytes were read", endless.read)
			}
		})
	}
}

type endlessBody struct{ read int }

func (b *endlessBody) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	b.read += len(p)
	return len(p), nil
}

func (*endlessBody) Close() error { return nil }

// Long bodies are bounded all together too, and the bound is given back. One whose length isn't announced counts as
// the longest that there can be.
func TestLongBodiesTogether(t *testing.T) {
	const most = 64 << 20 / (256 << 10)
	b := newBench(t)
	var ask func(depth int) (served int)
	ask = func(depth int) (served int) {
		b.service.do = func(context.Context) {
			if depth <= most {
				served = ask(depth + 1) // while this one is under way
			}
		}
		r := baseline().build()
		r.ContentLength = -1
		w := httptest.NewRecorder()
		b.endpoint.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			return served + 1
		}
		return served
	}
	for range 2 {
		if served := ask(1); served != most {
			t.Errorf("%d were served together, want %d", served, most)
		}
	}
}

// A body that is cut off is the caller's, not an internal error.
func TestCutOffBody(t *testing.T) {
	b := newBench(t)
	r := baseline().build()
	r.ContentLength += 10
	w := httptest.NewRecorder()
	b.endpoint.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A token that is empty in spite of all is not a success (D09): fosite checks it.
func TestEmptyTokenIsNeverAnswered(t *testing.T) {
	b := newBench(t)
	b.service.answer.AccessToken = ""
	if w := b.do(baseline()); w.Code != http.StatusInternalServerError || len(b.service.failures) != 1 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// The service gets the request's own context: its deadline and its span.
func TestContextReachesTheService(t *testing.T) {
	type key struct{}
	b := newBench(t)
	var got any
	b.service.do = func(ctx context.Context) { got = ctx.Value(key{}) }
	r := baseline().build()
	b.endpoint.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithValue(r.Context(), key{}, "mine")))
	if got != "mine" {
		t.Errorf("got %v", got)
	}
}

func TestAnswerIsJSON(t *testing.T) {
	b := newBench(t)
	b.service.answer.AccessToken = "a\"b\\c<é\n"
	b.service.answer.Details = exchange.Details{{Type: "workspace_permission", ObjectType: "serving-endpoints", ObjectPath: "/a&b", Actions: []string{"query"}}}
	var got struct {
		AccessToken string           `json:"access_token"`
		Details     exchange.Details `json:"authorization_details"`
		Delegation  *struct {
			Chain      string `json:"chain"`
			DecisionID string `json:"decision_id"`
			Actors     int    `json:"actors"`
		} `json:"delegation"`
	}
	if err := json.Unmarshal(b.do(baseline()).Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.AccessToken != b.service.answer.AccessToken.Reveal() {
		t.Errorf("access_token = %q", got.AccessToken)
	}
	if diff := cmp.Diff(b.service.answer.Details, got.Details); diff != "" {
		t.Error(diff)
	}
	if got.Delegation != nil {
		t.Error("G01: a delegation where nobody acts")
	}
	b.service.answer.Actors = 2
	if err := json.Unmarshal(b.do(baseline()).Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if d := got.Delegation; d == nil || d.Chain != "in_record_only" || d.DecisionID != b.service.answer.DecisionID || d.Actors != 2 {
		t.Errorf("G20: delegation %+v", d)
	}
}
