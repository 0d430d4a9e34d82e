package oauth_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/fault"
	"github.com/lakegate/sts/server/oauth"
)

const asked = "databricks.token.text"

func inquiry() *request {
	r := baseline()
	r.form = url.Values{"token": {asked}, "token_type_hint": {"access_token"}}
	return r
}

// ask sends a request to both endpoints in turn.
func (b *bench) ask(r *request) (introspected, revoked *httptest.ResponseRecorder) {
	introspected, revoked = httptest.NewRecorder(), httptest.NewRecorder()
	b.endpoint.Introspection().ServeHTTP(introspected, r.build())
	b.endpoint.Revocation().ServeHTTP(revoked, r.build())
	return introspected, revoked
}

func TestIntrospection(t *testing.T) {
	end := time.Date(2026, 11, 24, 12, 10, 0, 0, time.UTC)
	live := exchange.Introspection{Active: true, Client: "kong", Handout: exchange.Handout{Expiry: end, Scopes: []string{"model-serving", "sql"}}}
	known, personal, delegated := live, live, live
	known.IssuedAt = end.Add(-10 * time.Minute)
	personal.Subject = &exchange.Party{Issuer: "https://idp.example/a&b", Subject: "ada <x>"}
	delegated.Subject, delegated.Actor = personal.Subject, &exchange.Party{Issuer: "https://idp.example", Subject: "agent"}
	const whole = `{"active":true,"scope":"model-serving sql","client_id":"kong","token_type":"Bearer","exp":1795522200`
	const subject = `,"sub":"ada <x>","sub_id":{"format":"iss_sub","iss":"https://idp.example/a&b","sub":"ada <x>"}`
	for _, row := range []struct {
		name  string
		found exchange.Introspection
		want  string
	}{
		{"K04", exchange.Introspection{}, `{"active":false}`},
		{"K04 whatever else is known", exchange.Introspection{Client: "kong", Handout: delegated.Handout}, `{"active":false}`},
		{"K05", live, whole + `}`},
		{"K05 issued at", known, whole + `,"iat":1795521600}`},
		{"K05 of one subject", personal, whole + subject + `}`},
		{"K05 delegated", delegated, whole + subject + `,"act":{"iss":"https://idp.example","sub":"agent"}}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			b.service.found = row.found
			w, _ := b.ask(inquiry())
			if w.Code != 200 || w.Body.String() != row.want {
				t.Errorf("%d %s, want %s", w.Code, w.Body, row.want)
			}
			if h := w.Header(); h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" || h.Get("Pragma") != "no-cache" {
				t.Errorf("headers %v", h)
			}
			if b.introspected.count != 1 || b.introspected.err != nil || b.observer.count != 0 {
				t.Errorf("observed %+v", b.introspected)
			}
		})
	}
}

// RFC 7009 §2.2: 200, and nothing to read.
func TestRevocation(t *testing.T) {
	b := newBench(t)
	_, w := b.ask(inquiry())
	if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "" {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
	if b.revoked.count != 1 || b.revoked.err != nil {
		t.Errorf("observed %+v", b.revoked)
	}
}

func TestInquiriesThatReachTheService(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*request)
		token  exchange.Secret
		client string
	}{
		{"baseline", func(*request) {}, asked, "kong"},
		{"an unknown hint", func(r *request) { r.form.Set("token_type_hint", "nonsense") }, asked, "kong"},
		{"no hint", func(r *request) { r.form.Del("token_type_hint") }, asked, "kong"},
		{"unknown parameters", func(r *request) { r.form["x"] = []string{"1", "2"} }, asked, "kong"},
		{"no token", func(r *request) { r.form.Del("token") }, "", "kong"},
		{"a grant type means nothing here", func(r *request) { r.form["grant_type"] = []string{"x", "y"} }, asked, "kong"},
		{"client_secret_post", func(r *request) {
			r.headers.Del("Authorization")
			r.form.Set("client_id", "job")
			r.form.Set("client_secret", secret)
		}, asked, "job"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			r := inquiry()
			r.headers.Set("X-Request-Id", "r-1")
			row.change(r)
			b.ask(r)
			if len(b.service.inquiries) != 2 {
				t.Fatalf("%d inquiries, failures %+v", len(b.service.inquiries), b.service.failures)
			}
			want := exchange.Source{Peer: netip.MustParseAddr("192.0.2.7")}
			if row.client == "kong" {
				want.Claimed.RequestID = "r-1"
			}
			for _, q := range b.service.inquiries {
				if q.Entrance != "form" || q.Client.ID != row.client || q.Token != row.token || q.Source != want {
					t.Errorf("asked %+v of %s, token as sent: %v", q.Source, q.Client.ID, q.Token == row.token)
				}
			}
		})
	}
}

// The rows are those of the token endpoint: framing, duplicates, client.
func TestInquiriesThatAreRefused(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*request)
		status int
		error  string
		reason exchange.Reason
	}{
		{"GET", func(r *request) { r.method = http.MethodGet }, 405, "invalid_request", exchange.ReasonMethodNotAllowed},
		{"JSON", func(r *request) { r.headers.Set("Content-Type", "application/json") }, 415, "invalid_request", exchange.ReasonRequestMalformed},
		{"token in the query", func(r *request) { r.query = "?token=x" }, 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"token twice", func(r *request) { r.form["token"] = []string{"x", "x"} }, 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"hint twice", func(r *request) { r.form["token_type_hint"] = []string{"x", "y"} }, 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"client_id twice", func(r *request) { r.form["client_id"] = []string{"kong", "kong"} }, 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"malformed", func(r *request) { s := "token=%zz"; r.body = &s }, 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"too many parameters", func(r *request) { s := strings.Repeat("a=b&", 129); r.body = &s }, 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"too large", func(r *request) { s := strings.Repeat("x", 300<<10); r.body = &s }, 413, "invalid_request", exchange.ReasonRequestMalformed},
		{"two Authorization headers", func(r *request) { r.headers["Authorization"] = []string{basic("kong", secret), "x"} }, 400, "invalid_request", exchange.ReasonRequestMalformed},
		{"K03 no client", func(r *request) { r.headers.Del("Authorization") }, 401, "invalid_client", exchange.ReasonClientAuthenticationFailed},
		{"K03 wrong secret", func(r *request) { r.headers.Set("Authorization", basic("kong", "wrong")) }, 401, "invalid_client", exchange.ReasonClientAuthenticationFailed},
		{"K03 a bearer token is no client", func(r *request) { r.headers.Set("Authorization", "Bearer x") }, 401, "invalid_client", exchange.ReasonClientAuthenticationFailed},
		{"two credentials", func(r *request) { r.form.Set("client_secret", secret) }, 400, "invalid_request", exchange.ReasonRequestMalformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			r := inquiry()
			row.change(r)
			introspected, revoked := b.ask(r)
			for _, w := range []*httptest.ResponseRecorder{introspected, revoked} {
				var got fault.Body
				if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
					t.Fatal(err)
				}
				if w.Code != row.status || got.Error != row.error || got.Reason != string(row.reason) || got.DecisionID != summaryID {
					t.Errorf("%d %+v", w.Code, got)
				}
				if (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
					t.Errorf("headers %v", w.Header())
				}
			}
			if len(b.service.inquiries) != 0 || len(b.service.failures) != 2 {
				t.Errorf("%d inquiries, %d failures recorded", len(b.service.inquiries), len(b.service.failures))
			}
			if b.introspected.err == nil || b.revoked.err == nil {
				t.Error("they are not counted as refused")
			}
		})
	}
}

// What the service refuses is told by the table, and recorded once.
func TestInquiriesThatTheServiceRefuses(t *testing.T) {
	b := newBench(t)
	b.service.found = exchange.Introspection{Active: true}
	b.service.err = exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable, "down").After(time.Second)
	introspected, revoked := b.ask(inquiry())
	for _, w := range []*httptest.ResponseRecorder{introspected, revoked} {
		var got fault.Body
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := fault.Body{Error: "temporarily_unavailable", ErrorDescription: "down", Reason: "ledger_unavailable", DecisionID: decisionID, ErrorURI: got.ErrorURI}
		if diff := cmp.Diff(want, got); diff != "" || w.Code != 503 || w.Header().Get("Retry-After") != "1" || strings.Contains(w.Body.String(), "active") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if len(b.service.failures) != 0 {
		t.Errorf("recorded a second time: %+v", b.service.failures)
	}
}

// What the decoder accepts has one token, one hint and one of each credential, and reads as the standard library reads it.
func FuzzInquiry(f *testing.F) {
	for _, body := range []string{
		"", "token=", "token=a&token=a", "tok%65n=a", "token=a;b", "token=a+b%2b&token_type_hint=&x=1&x=2", "token=%zz", "client_id=a&client_id=b", inquiry().form.Encode(),
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		token, ok := oauth.DecodeInquiry(body)
		want, err := url.ParseQuery(body)
		if !ok {
			return
		}
		if err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		if token != want.Get("token") {
			t.Fatalf("read another token than %q", want.Get("token"))
		}
		for _, name := range []string{"token", "token_type_hint", "client_id", "client_secret", "client_assertion", "client_assertion_type"} {
			if len(want[name]) > 1 {
				t.Fatalf("accepted %s %d times", name, len(want[name]))
			}
		}
	})
}
