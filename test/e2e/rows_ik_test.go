package e2e_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/databricks"
)

func TestRowsI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	runRows(t, w, []row{
		{id: "I02", ask: change(with("audience", "nowhere")), status: 400, code: "invalid_target", reason: exchange.ReasonTargetUnknown}, // no leaks: holdAlways
		{id: "I04", ask: subject(map[string]any{"groups": []string{"nobody"}}), status: 400, code: "invalid_request", reason: exchange.ReasonNoMatchingRule},
		{id: "I04 denied", ask: subject(map[string]any{"groups": []string{"data-eng", "contractors"}}), status: 400, code: "invalid_request", reason: exchange.ReasonDeniedByRule},
	})
}

// TestRowI05 holds that a limited client is told when to come back, and isn't counted as a failed authentication.
func TestRowI05(t *testing.T) {
	t.Parallel()
	limited := newWorld(t, func(_ *world, s *setup) {
		s.config["clients"].(object)["kong"].(object)["limits"] = object{"rate": "1/s", "burst": 4}
	})
	eachEntrance(t, limited, "I05", func(t *testing.T, w *world) {
		mustGrant(t, w.Ask(), tenMinutes)
		w.Eventually("it is limited", func() bool { return w.Probe().Reason == string(exchange.ReasonRateLimited) }) // a slow machine refills the bucket by some
		a := w.Probe()
		for a.Status != http.StatusTooManyRequests {
			a = w.Probe()
		}
		w.hear(a)
		mustRefuse(t, a, http.StatusTooManyRequests, "temporarily_unavailable", exchange.ReasonRateLimited)
		wantRetryAfter(t, a)
		if got := w.Exchange(a.DecisionID); got.Reason != "rate_limited" || got.Client != "kong" {
			t.Errorf("recorded as %+v", got)
		}
		mustGrant(t, w.Ask(as("tracker")), tenMinutes)
		w.Move(10 * time.Second)
		mustGrant(t, w.Ask(), tenMinutes)
	})
}

func TestGlobalLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, s *setup) { s.config["limits"] = object{"global": "1/s"} })
	refused := 0
	for range 20 {
		if a := w.Ask(as("poster")); a.Status != http.StatusOK {
			mustRefuse(t, a, http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonOverloaded)
			wantRetryAfter(t, a)
			refused++
		}
	}
	if refused == 0 {
		t.Error("20 requests at once passed a limit of one a second")
	}
}

func wantRetryAfter(t *testing.T, a answer) {
	t.Helper()
	if a.RetryAfter < time.Second || a.RetryAfter%time.Second != 0 {
		t.Errorf("it may be asked again after %v: %s", a.RetryAfter, a.Body)
	}
}

func TestRowsI06I07(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, s *setup) { s.config["databricks"].(object)["timeout"] = "1s" })
	for _, tc := range []struct {
		id     string
		fault  emulator.Fault
		status int
		code   string
		reason exchange.Reason
	}{
		{"I06 500", emulator.Fault{Status: 500}, 503, "temporarily_unavailable", exchange.ReasonUpstreamUnavailable},
		{"I06 503", emulator.Fault{Status: 503}, 503, "temporarily_unavailable", exchange.ReasonUpstreamUnavailable},
		{"I06 429", emulator.Fault{Status: 429}, 503, "temporarily_unavailable", exchange.ReasonUpstreamUnavailable},
		{"I06 429 with Retry-After", emulator.Fault{Status: 429, Headers: map[string]string{"Retry-After": "7"}}, 503, "temporarily_unavailable", exchange.ReasonUpstreamUnavailable},
		{"I06 hangs up", emulator.Fault{Hangup: true}, 503, "temporarily_unavailable", exchange.ReasonUpstreamUnavailable},
		{"I06 slow", emulator.Fault{Hold: true}, 503, "temporarily_unavailable", exchange.ReasonUpstreamUnavailable},
		{"I07 401", emulator.Fault{Status: 401}, 502, "server_error", exchange.ReasonUpstreamRejected},
		{"I07 400", emulator.Fault{Status: 400}, 502, "server_error", exchange.ReasonUpstreamRejected},
	} {
		t.Run(tc.id, func(t *testing.T) {
			w.Later()
			eachOf(t, singles, w, tc.id, func(t *testing.T, w *world) {
				tc.fault.Route = databricks.TokenRoute
				w.dbx.AddFault(tc.fault)
				a := w.Ask()
				mustRefuse(t, a, tc.status, tc.code, tc.reason)
				if tc.status == http.StatusServiceUnavailable {
					wantRetryAfter(t, a)
				}
				if want := tc.fault.Headers["Retry-After"]; want != "" && a.RetryAfter != 7*time.Second {
					t.Errorf("it may be asked again after %v, want %s s", a.RetryAfter, want)
				}
				if got := w.Exchange(a.DecisionID); got.Outcome != "failed" {
					t.Errorf("recorded as %+v", got)
				}
				w.dbx.ClearFaults()
				w.Move(10 * time.Second)
				mustGrant(t, w.Ask(), tenMinutes)
			})
		})
	}
}

// TestRowI07 holds that one principal that Databricks rejects takes no other along.
func TestRowI07(t *testing.T) {
	t.Parallel()
	rejected := newWorld(t)
	rejected.dbx.RemovePrincipal(mlInference)
	eachEntrance(t, rejected, "I07", func(t *testing.T, w *world) {
		for range 20 {
			mustRefuse(t, w.Ask(), http.StatusBadGateway, "server_error", exchange.ReasonUpstreamRejected)
		}
		if calls := w.mints(); calls >= 20 {
			t.Errorf("Databricks was asked %d times for a principal that it rejects", calls)
		}
		mustGrant(t, w.Ask(token(w.lasting("ada", "etl"))), time.Hour)
		if !strings.Contains(w.sts.Log(), `"level":"ERROR"`) {
			t.Error("no alarm in the log")
		}
	})
}

// TestRowI08 holds that a flood of bad tokens is throttled for its own source alone.
func TestRowI08(t *testing.T) {
	t.Parallel()
	eachOf(t, singles, newWorld(t), "I08", func(t *testing.T, w *world) {
		from := func(ip string) func(*request) {
			return func(r *request) { r.Header = http.Header{"X-Forwarded-For": {ip}} }
		}
		bad := func() answer { return w.Ask(as("tracker"), from("203.0.113.7"), token("nonsense")) }
		for range 100 {
			mustRefuse(t, bad(), http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenInvalid)
		}
		for range 3 {
			a := bad()
			mustRefuse(t, a, http.StatusTooManyRequests, "temporarily_unavailable", exchange.ReasonRateLimited)
			wantRetryAfter(t, a)
		}
		mustGrant(t, w.Ask(as("tracker"), from("203.0.113.8")), tenMinutes)
		mustGrant(t, w.Ask(), tenMinutes)
		w.Move(2 * time.Minute)
		mustGrant(t, w.Ask(as("tracker"), from("203.0.113.7")), 8*time.Minute)
	})
}

func TestRowsK01(t *testing.T) {
	t.Parallel()
	covered.note("K01", "metadata")
	w := newWorld(t)
	get := func(path string) map[string]any {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.sts.http+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		a := w.Do(req)
		var document map[string]any
		if err := json.Unmarshal(a.Body, &document); err != nil || a.Status != http.StatusOK {
			t.Fatalf("%s: status %d, %v: %s", path, a.Status, err, a.Body)
		}
		return document
	}
	strs := func(document map[string]any, name string) []string {
		var values []string
		l, _ := document[name].([]any)
		for _, v := range l {
			s, _ := v.(string)
			values = append(values, s)
		}
		return values
	}
	server := get("/.well-known/oauth-authorization-server")
	if server["issuer"] != stsIssuer || server["token_endpoint"] != stsIssuer+"/oauth2/token" {
		t.Errorf("got %v", server)
	}
	if !slices.Contains(strs(server, "grant_types_supported"), exchange.GrantTypeTokenExchange) {
		t.Errorf("grant types: %v", server)
	}
	methods := strs(server, "token_endpoint_auth_methods_supported")
	if slices.Sort(methods); !slices.Equal(methods, []string{"client_secret_basic", "client_secret_post", "private_key_jwt"}) {
		t.Errorf("authentication methods: %v", methods)
	}
	provider := get("/.well-known/openid-configuration")
	if provider["issuer"] != stsIssuer || provider["jwks_uri"] != stsIssuer+"/.well-known/jwks.json" {
		t.Errorf("got %v", provider)
	}
	for name, document := range map[string]map[string]any{"server": server, "provider": provider} {
		for member, value := range document {
			if strings.HasSuffix(member, "_alg_values_supported") {
				if algs := strs(document, member); len(algs) == 0 || slices.Contains(algs, "none") {
					t.Errorf("%s: %s is %v", name, member, value)
				}
			}
		}
	}
	keys, _ := get("/.well-known/jwks.json")["keys"].([]any)
	if len(keys) == 0 {
		t.Fatal("no keys")
	}
	for _, k := range keys {
		key, _ := k.(map[string]any)
		if key["d"] != nil || key["kty"] != "EC" || key["kid"] == "" {
			t.Errorf("not a public ES256 key: %v", key["kid"])
		}
	}
}
