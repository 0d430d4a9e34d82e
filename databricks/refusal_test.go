package databricks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lakegate/sts/databricks"
	"github.com/lakegate/sts/exchange"
)

func TestRefusals(t *testing.T) {
	const federation, secret = exchange.MethodFederation, exchange.MethodClientSecret
	const unavailable, rejected, invalid = exchange.ReasonUpstreamUnavailable, exchange.ReasonUpstreamRejected, exchange.ReasonUpstreamInvalid
	const errorID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	tokenInvalid := `{"error":"invalid_grant","error_id":"` + errorID + `","error_description":"Failed to process token: TOKEN_INVALID (Ensure a valid federation policy has been configured). Valid federation policy for provided token: {issuer: https://x}"}`
	tests := []struct {
		name   string
		method exchange.Method
		status int
		body   string
		reason exchange.Reason
		mend   string // in the message
		answer string // what the record of the mint will say
	}{
		{"I07 federation policy", federation, 400, tokenInvalid, rejected, "federation policy", "400 invalid_grant TOKEN_INVALID error_id=" + errorID},
		{"I07 audience", federation, 400, `{"error":"invalid_grant","error_description":"TOKEN_AUDIENCE_INVALID (Token audience 'x' invalid)"}`, rejected, "federation.audience", "400 invalid_grant TOKEN_AUDIENCE_INVALID"},
		{"I07 clock", federation, 400, `{"error":"invalid_grant","error_description":"TOKEN_EXPIRED"}`, rejected, "clock", "400 invalid_grant TOKEN_EXPIRED"},
		{"I07 secret", secret, 401, `{"error":"invalid_client","error_id":"` + errorID + `","error_description":"Client authentication failed"}`, rejected, "client secret", "401 invalid_client error_id=" + errorID},
		{"unknown service principal", federation, 401, `{"error":"invalid_client"}`, rejected, "application id", "401 invalid_client"},
		{"scope", federation, 400, `{"error":"invalid_scope"}`, rejected, "scopes", "400 invalid_scope"},
		{"details", secret, 400, `{"error":"invalid_authorization_details"}`, rejected, "CAN_QUERY", "400 invalid_authorization_details"},
		{"no such endpoint", federation, 404, `{"error_code":"ENDPOINT_NOT_FOUND","message":"no"}`, rejected, "host of the workspace", "404 ENDPOINT_NOT_FOUND"},
		{"API format", federation, 403, `{"error_code":"PERMISSION_DENIED","message":"no"}`, rejected, "assigned to the workspace", "403 PERMISSION_DENIED"},
		{"not JSON", federation, 400, `<html>`, rejected, "application id", "400"},
		{"nothing", secret, 401, ``, rejected, "client secret", "401"},
		{"I06 500", federation, 500, `oops`, unavailable, "ask again", "500"},
		{"I06 503 in the API format", federation, 503, `{"message":"The service at /oidc/v1/token is temporarily unavailable.","error_code":"TEMPORARILY_UNAVAILABLE"}`, unavailable, "ask again", "503 TEMPORARILY_UNAVAILABLE"},
		{"504", secret, 504, ``, unavailable, "ask again", "504"},
		{"429", secret, 429, `{"error":"slow_down"}`, unavailable, "ask again", "429 slow_down"},
		{"temporary, as 400", secret, 400, `{"error":"temporarily_unavailable"}`, unavailable, "ask again", "400 temporarily_unavailable"},
		{"overload, as 500", secret, 500, `{"error_code":"REQUEST_LIMIT_EXCEEDED"}`, unavailable, "ask again", "500 REQUEST_LIMIT_EXCEEDED"},
		{"201", federation, 201, good, invalid, "cannot be trusted", "201"},
		{"304", federation, 304, ``, invalid, "cannot be trusted", "304"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := serve(t, func(rw http.ResponseWriter, r *http.Request) {
				if test.status == 304 {
					rw.WriteHeader(304)
					return
				}
				says(test.status, test.body)(rw, r)
			})
			m, _ := newMinter(t, nil)
			code := exchange.CodeUpstream
			if test.reason == unavailable {
				code = exchange.CodeUnavailable
			}
			e := check(t, m, grant(w.URL, test.method), code, test.reason)
			if !strings.Contains(e.Message, test.mend) {
				t.Errorf("the message does not say %q: %s", test.mend, e.Message)
			}
			var said interface{ Answer() string }
			if !errors.As(e, &said) || said.Answer() != test.answer {
				t.Errorf("cause %v, want %s", e.Cause, test.answer)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	tests := []struct {
		header string
		want   time.Duration
	}{
		{"", time.Second}, {"7", 7 * time.Second}, {"0", time.Second}, {"-5", time.Second}, {"soon", time.Second}, {"1.5", time.Second},
		{"86400", 5 * time.Minute}, {"99999999999999999999", 5 * time.Minute}, {"9223372036854775807", 5 * time.Minute},
		{now.Add(20 * time.Second).Format(http.TimeFormat), 20 * time.Second},
		{now.Add(-time.Hour).Format(http.TimeFormat), time.Second},
		{now.Add(240 * time.Hour).Format(http.TimeFormat), 5 * time.Minute},
	}
	for _, test := range tests {
		w := serve(t, func(rw http.ResponseWriter, r *http.Request) {
			if test.header != "" {
				rw.Header().Set("Retry-After", test.header)
			}
			says(429, `{}`)(rw, r)
		})
		m, _ := newMinter(t, nil)
		e := check(t, m, grant(w.URL, exchange.MethodFederation), exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable)
		if e.RetryAfter != test.want {
			t.Errorf("Retry-After %q: %s, want %s", test.header, e.RetryAfter, test.want)
		}
	}
}

// A Databricks that says our secrets back to us, in every place, gets none of them into an error or a log.
func TestEchoedSecretsStayOut(t *testing.T) {
	for _, status := range []int{200, 400, 401, 429, 500} {
		for _, echoed := range []string{clientSecret, assertionText, applicationID, "dose0123456789abcdef"} {
			quoted, err := json.Marshal(echoed)
			if err != nil {
				t.Fatal(err)
			}
			w := serve(t, says(status, fmt.Sprintf(`{"error":%[1]s,"error_code":%[1]s,"error_id":%[1]s,"error_description":%[1]s,"message":%[1]s,"token_type":%[1]s,"scope":%[1]s,"access_token":"x","expires_in":9}`, quoted)))
			var log bytes.Buffer
			m, _ := newMinter(t, func(c *databricks.Config) { c.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
			_, err = mint(m, grant(w.URL, exchange.MethodClientSecret))
			if err == nil {
				t.Fatal("minted")
			}
			// The application id has the form of an error_id, and is no secret; no message may hold it all the same.
			text := exchange.AsError(err).Message
			if echoed != applicationID {
				text += err.Error() + log.String()
			}
			if strings.Contains(text, echoed) {
				t.Errorf("%d: %s", status, text)
			}
		}
	}
}

// roundTripper answers in memory, so that a test's clock is the only one.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A principal that is refused is not asked for on every request, its neighbours are, and a mended one works at once.
func TestBreakerOfOnePrincipal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := map[string]int{}
		mended := false
		registry := prometheus.NewRegistry()
		m, _ := newMinter(t, func(c *databricks.Config) {
			c.Metrics = registry
			c.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if err := r.ParseForm(); err != nil {
					return nil, err
				}
				who := r.PostForm.Get("client_id")
				calls[who]++
				rec := httptest.NewRecorder()
				if who == "broken" && !mended {
					says(401, `{"error":"invalid_client"}`)(rec, r)
				} else {
					says(200, good)(rec, r)
				}
				return rec.Result(), nil
			})}
		})
		mintAs := func(id string) exchange.Reason {
			g := grant("https://dbc.databricks.example", exchange.MethodFederation)
			g.ApplicationID = id
			if _, err := mint(m, g); err != nil {
				return exchange.AsError(err).Reason
			}
			return "granted"
		}
		for i := range 50 {
			if got := mintAs("broken"); got != exchange.ReasonUpstreamRejected {
				t.Fatalf("%d: %s", i, got)
			}
			if got := mintAs("neighbour"); got != "granted" {
				t.Fatalf("%d: the neighbour got %s", i, got)
			}
		}
		if diff := cmp.Diff(map[string]int{"broken": 3, "neighbour": 50}, calls); diff != "" {
			t.Errorf("requests: -want +got:\n%s", diff)
		}
		time.Sleep(1001 * time.Millisecond) // of the bubble's clock
		for range 10 {
			mintAs("broken")
		}
		if calls["broken"] != 4 {
			t.Errorf("%d requests after the breaker's second", calls["broken"])
		}
		mended = true
		time.Sleep(1001 * time.Millisecond)
		for range 10 {
			if got := mintAs("broken"); got != "granted" {
				t.Errorf("mended, and got %s", got)
			}
		}
		want := `# HELP sts_databricks_requests_total Mints by method and result: granted, rejected, invalid, unavailable, held (a principal's breaker is open), failed (ours).
# TYPE sts_databricks_requests_total counter
sts_databricks_requests_total{method="federation",result="granted"} 60
sts_databricks_requests_total{method="federation",result="held"} 56
sts_databricks_requests_total{method="federation",result="rejected"} 4
`
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "sts_databricks_requests_total"); err != nil {
			t.Error(err)
		}
	})
}

// Databricks being down opens no breaker: who comes back in time is served.
func TestOutageOpensNoBreaker(t *testing.T) {
	down := true
	w := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		if down {
			says(503, ``)(rw, r)
		} else {
			says(200, good)(rw, r)
		}
	})
	m, _ := newMinter(t, nil)
	g := grant(w.URL, exchange.MethodFederation)
	for range 10 {
		_ = check(t, m, g, exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable)
	}
	down = false
	_ = check(t, m, g, "", "")
}

// An outage between rejections says nothing of the principal: it neither opens the breaker nor closes it.
func TestOutageBetweenRejections(t *testing.T) {
	statuses := []int{401, 503, 401, 503, 401}
	w := serve(t, nil)
	w.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		says(statuses[min(w.calls, len(statuses)-1)], `{}`)(rw, r)
		w.calls++
	})
	m, _ := newMinter(t, nil)
	for range 20 {
		if _, err := mint(m, grant(w.URL, exchange.MethodFederation)); err == nil {
			t.Fatal("minted")
		}
	}
	if w.calls != len(statuses) {
		t.Errorf("%d requests, want %d", w.calls, len(statuses))
	}
}

func TestRejectionRaisesAnAlarm(t *testing.T) {
	w := serve(t, says(401, `{"error":"invalid_client"}`))
	var log bytes.Buffer
	m, _ := newMinter(t, func(c *databricks.Config) { c.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	_ = check(t, m, grant(w.URL, exchange.MethodClientSecret), exchange.CodeUpstream, exchange.ReasonUpstreamRejected)
	var line struct {
		Level, Principal, Reason string
	}
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, log.String())
	}
	if line.Level != "ERROR" || line.Principal != "models" || line.Reason != "upstream_rejected" {
		t.Errorf("%+v", line)
	}
}

// Scopes that Databricks refuses, asked for again and again, keep nobody from the same principal's other tokens.
func TestBreakerOfWhatIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := map[string]int{}
		m, _ := newMinter(t, func(c *databricks.Config) {
			c.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if err := r.ParseForm(); err != nil {
					return nil, err
				}
				asked := r.PostForm.Get("scope") + r.PostForm.Get("authorization_details")
				calls[asked]++
				rec := httptest.NewRecorder()
				if asked == "sql" {
					says(400, `{"error":"invalid_scope"}`)(rec, r)
				} else {
					says(200, strings.ReplaceAll(good, "model-serving sql", "jobs"))(rec, r)
				}
				return rec.Result(), nil
			})}
		})
		refused := grant("https://dbc.databricks.example", exchange.MethodFederation)
		refused.Scopes, refused.Details = []string{"sql"}, nil
		fine := refused
		fine.Scopes = []string{"jobs"}
		for i := range 20 {
			if _, err := mint(m, refused); err == nil {
				t.Fatal("minted")
			}
			if _, err := mint(m, fine); err != nil {
				t.Fatalf("%d: %v", i, err)
			}
		}
		if diff := cmp.Diff(map[string]int{"sql": 3, "jobs": 20}, calls); diff != "" {
			t.Errorf("requests: -want +got:\n%s", diff)
		}
		// Its record must not say that Databricks was asked.
		_, err := mint(m, refused)
		var said interface{ Answer() string }
		if want := "not asked, because a moment ago: 400 invalid_scope"; !errors.As(err, &said) || said.Answer() != want {
			t.Errorf("%v; the record's answer isn't %q", err, want)
		}
	})
}
