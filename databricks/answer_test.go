package databricks_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/databricks"
	"github.com/lakegate/sts/exchange"
)

// with is the good answer with one member's text replaced.
func with(old, replacement string) string { return strings.Replace(good, old, replacement, 1) }

func withDetails(text string) string {
	return with(`"token_type"`, `"authorization_details":`+text+`,"token_type"`)
}

func jwt(exp string) string {
	return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"x","exp":`+exp+`}`)) + ".c2ln"
}

func seconds(d time.Duration) string { return fmt.Sprint(now.Add(d).Unix()) }

func TestAnswers(t *testing.T) {
	const ok, bad = exchange.Reason(""), exchange.ReasonUpstreamInvalid
	tests := []struct {
		name    string
		body    string
		details exchange.Details
		want    exchange.Reason
	}{
		{"good", good, nil, ok},
		{"D10 bearer in any case", with("Bearer", "bEARER"), nil, ok},
		{"unknown members are ignored", with(`{`, `{"refresh_token":null,"extra":{"a":[1,{}]},`), nil, ok},
		{"scope left out", with(`,"scope":"model-serving sql"`, ``), nil, ok},
		{"scope in another order", with("model-serving sql", "sql model-serving"), nil, ok},
		{"issued_token_type", with(`"scope"`, `"issued_token_type":"urn:ietf:params:oauth:token-type:access_token","scope"`), nil, ok},
		{"details echoed", withDetails(details().JSON()), details(), ok},
		{"no details, none asked", withDetails(`[]`), nil, ok},

		{"D10 access_token missing", with(`"access_token":"opaque-token",`, ``), nil, bad},
		{"D10 access_token empty", with("opaque-token", ""), nil, bad},
		{"access_token null", with(`"opaque-token"`, `null`), nil, bad},
		{"access_token with a space", with("opaque-token", "opaque token"), nil, bad},
		{"access_token with a line break", with("opaque-token", `opaque\r\ntoken`), nil, bad},
		{"access_token in another case", with("access_token", "Access_Token"), nil, bad},
		{"access_token twice", with(`{`, `{"access_token":"first",`), nil, bad},
		{"access_token twice by case", with(`{`, `{"ACCESS_TOKEN":"first",`), nil, ok},
		{"access_token twice by case, the second believed", with(`}`, `,"Access_token":"second"}`), nil, bad},
		{"access_token too long", with("opaque-token", strings.Repeat("a", 17000)), nil, bad},
		{"D10 token_type missing", with(`"token_type":"Bearer",`, ``), nil, bad},
		{"D10 token_type", with("Bearer", "DPoP"), nil, bad},
		{"D10 issued_token_type", with(`"scope"`, `"issued_token_type":"urn:ietf:params:oauth:token-type:refresh_token","scope"`), nil, bad},
		{"issued_token_type null", with(`"scope"`, `"issued_token_type":null,"scope"`), nil, bad},
		{"D10 scope wider", with("sql", "sql all-apis"), nil, bad},
		{"scope narrower", with("model-serving sql", "sql"), nil, bad},
		{"scope empty", with("model-serving sql", ""), nil, bad},
		{"scope an array", with(`"model-serving sql"`, `["model-serving","sql"]`), nil, bad},
		{"D10 details missing", good, details(), bad},
		{"details null", withDetails(`null`), details(), bad},
		{"details empty", withDetails(`[]`), details(), bad},
		{"details wider", withDetails(strings.Replace(details().JSON(), `["query`, `["manage","query`, 1)), details(), bad},
		{"details of another object", withDetails(strings.Replace(details().JSON(), "/1", "/2", 1)), details(), bad},
		{"details as a string", withDetails(`"[]"`), details(), bad},
		{"details unasked", withDetails(details().JSON()), nil, bad},
		{"D11 expires_in missing", with(`"expires_in":900,`, ``), nil, bad},
		{"D11 expires_in 0", with("900", "0"), nil, bad},
		{"D11 expires_in negative", with("900", "-900"), nil, bad},
		{"D11 expires_in a string", with("900", `"900"`), nil, bad},
		{"D11 expires_in 10^12", with("900", "1000000000000"), nil, bad},
		{"expires_in with an exponent", with("900", "1e12"), nil, bad},
		{"expires_in a fraction", with("900", "899.5"), nil, bad},
		{"expires_in null", with("900", "null"), nil, bad},
		{"not JSON", `<html>welcome</html>`, nil, bad},
		{"form-encoded", `access_token=opaque-token&token_type=Bearer&expires_in=900`, nil, bad},
		{"an array", `[` + good + `]`, nil, bad},
		{"empty", ``, nil, bad},
		{"something behind it", good + `{}`, nil, bad},
		{"cut off, but said to be whole", good[:len(good)-20], nil, bad},
		{"an error as a success", `{"error":"invalid_grant"}`, nil, bad},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := serve(t, says(200, test.body))
			m, _ := newMinter(t, nil)
			g := grant(w.URL, exchange.MethodFederation)
			g.Details = test.details
			_ = check(t, m, g, exchange.CodeUpstream, test.want)
		})
	}
}

// check mints, and wants that error, or none where reason is "".
func check(t *testing.T, m *databricks.Minter, g exchange.Grant, code exchange.Code, reason exchange.Reason) *exchange.Error {
	t.Helper()
	token, err := mint(m, g)
	if reason == "" {
		if err != nil {
			t.Error(err)
		}
		return nil
	}
	if err == nil || token.Text != "" {
		t.Fatalf("minted %+v, error %v", token, err)
	}
	e := exchange.AsError(err)
	if e.Code != code || e.Reason != reason {
		t.Errorf("%s (%s), want %s (%s)", e.Code, e.Reason, code, reason)
	}
	if strings.Trim(e.Message, " !#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~") != "" {
		t.Errorf("a message of characters that RFC 6749 does not allow: %s", e.Message)
	}
	return e
}

func TestExpiry(t *testing.T) {
	const federation, secret = exchange.MethodFederation, exchange.MethodClientSecret
	whole := now.Truncate(time.Second)
	tests := []struct {
		name      string
		method    exchange.Method
		token     string
		expiresIn int
		want      time.Time // zero: upstream_invalid
	}{
		{"federation, as asked", federation, "opaque", 900, until},
		{"federation, shorter", federation, "opaque", 600, whole.Add(10 * time.Minute)},
		{"federation, rounded up over there", federation, "opaque", 903, until},
		{"federation, outlives its assertion", federation, "opaque", 906, time.Time{}},
		{"federation, an hour for a quarter", federation, "opaque", 3600, time.Time{}},
		{"federation, own exp as asked", federation, jwt(seconds(15 * time.Minute)), 898, until},
		{"federation, own exp as asked, by a clock that is behind", federation, jwt(seconds(15 * time.Minute)), 930, until},
		{"federation, own exp as asked, by a clock that is far behind", federation, jwt(seconds(15 * time.Minute)), 936, time.Time{}},
		{"federation, own exp as asked, by a clock that is ahead", federation, jwt(seconds(15 * time.Minute)), 870, whole.Add(870 * time.Second)},
		{"federation, own exp a second late", federation, jwt(seconds(901 * time.Second)), 900, time.Time{}},
		{"federation, own exp earlier", federation, jwt(seconds(5 * time.Minute)), 900, whole.Add(5 * time.Minute)},
		{"federation, own exp past", federation, jwt(seconds(-time.Minute)), 900, time.Time{}},
		{"secret, an hour", secret, "opaque", 3600, whole.Add(time.Hour)},
		{"secret, own exp a little later", secret, jwt(seconds(3602 * time.Second)), 3600, whole.Add(3602 * time.Second)},
		{"secret, own exp much later", secret, jwt(seconds(2 * time.Hour)), 3600, whole.Add(2 * time.Hour)},
		{"secret, own exp a little earlier", secret, jwt(seconds(3590 * time.Second)), 3600, whole.Add(time.Hour)},
		{"secret, own exp much earlier", secret, jwt(seconds(30 * time.Minute)), 3600, time.Time{}},
		{"secret, own exp past", secret, jwt(seconds(-time.Hour)), 3600, time.Time{}},
		{"secret, own exp next year", secret, jwt(seconds(8760 * time.Hour)), 3600, time.Time{}},
		{"secret, own exp with a fraction", secret, jwt(seconds(3601*time.Second) + ".9"), 3600, whole.Add(3601 * time.Second)},
		{"secret, no own exp", secret, jwt("null"), 3600, whole.Add(time.Hour)},
		{"secret, three parts and no JWT", secret, "a.b.c", 3600, whole.Add(time.Hour)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := serve(t, says(200, fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, test.token, test.expiresIn)))
			m, _ := newMinter(t, nil)
			token, err := mint(m, grant(w.URL, test.method))
			switch {
			case test.want.IsZero():
				if exchange.AsError(err) == nil || exchange.AsError(err).Reason != exchange.ReasonUpstreamInvalid {
					t.Errorf("minted until %s, error %v", token.TrueExpiry, err)
				}
			case err != nil:
				t.Error(err)
			case !token.TrueExpiry.Equal(test.want):
				t.Errorf("ends %s, want %s", token.TrueExpiry, test.want)
			}
		})
	}
}

func TestTransport(t *testing.T) {
	const code, reason = exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable
	hijack := func(raw string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, raw)
			_ = conn.Close()
		}
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		code   exchange.Code
		reason exchange.Reason
	}{ // those called slow get a time-out of 100 ms
		{"slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, code, reason},
		{"slow body", func(w http.ResponseWriter, r *http.Request) {
			says(200, good[:30])(w, r)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, code, reason},
		{"hangs up", hijack(""), code, reason},
		{"cut off mid-body", hijack("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n" + good), code, reason},
		{"cut off mid-chunk", hijack("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + good), code, reason},
		{"not HTTP", hijack("SSH-2.0-OpenSSH_9\r\n"), code, reason},
		{"too large", says(200, good+strings.Repeat(" ", 100_000)), exchange.CodeUpstream, exchange.ReasonUpstreamInvalid},
		{"too large, chunked", func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			says(200, good+strings.Repeat(" ", 100_000))(w, r)
		}, exchange.CodeUpstream, exchange.ReasonUpstreamInvalid},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
			exchange.CodeUpstream, exchange.ReasonUpstreamInvalid},
		{"text/plain", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, good)
		}, exchange.CodeUpstream, exchange.ReasonUpstreamInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := serve(t, test.answer)
			m, _ := newMinter(t, func(c *databricks.Config) {
				if strings.HasPrefix(test.name, "slow") {
					c.Timeout = 100 * time.Millisecond
				}
			})
			e := check(t, m, grant(w.URL, exchange.MethodFederation), test.code, test.reason)
			if test.code == exchange.CodeUnavailable && e.RetryAfter <= 0 {
				t.Error("does not say when to come back")
			}
			if errors.Is(e, context.DeadlineExceeded) {
				t.Errorf("our own time-out looks like the caller's deadline: %v", e)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	m, _ := newMinter(t, nil)
	_ = check(t, m, grant(host, exchange.MethodFederation), exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable)
}
