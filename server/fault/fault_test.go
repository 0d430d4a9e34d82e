package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/fault"
)

// constants are the values of the constants of a type, read from the core's source, so that none can be forgotten.
func constants(t *testing.T, typeName string) (values []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../exchange/error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if of, ok := spec.Type.(*ast.Ident); ok && of.Name == typeName {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	if len(values) < 10 {
		t.Fatalf("found only %d constants of type %s", len(values), typeName)
	}
	return values
}

func TestEveryCodeHasARow(t *testing.T) {
	for _, code := range constants(t, "Code") {
		if _, known := fault.Lookup(exchange.Code(code)); !known {
			t.Errorf("code %s has no row", code)
		}
	}
	if row, known := fault.Lookup("new"); known || row.Status != http.StatusInternalServerError || row.OAuth != "server_error" {
		t.Errorf("an unknown code is %+v, %v", row, known)
	}
}

func TestEveryReasonHasAGatewayAnswer(t *testing.T) {
	ofAPI := []exchange.Reason{exchange.ReasonAccessTokenInvalid, exchange.ReasonRoleMissing, exchange.ReasonNotFound}
	for _, reason := range constants(t, "Reason") {
		status, known := fault.Gateway(exchange.Reason(reason))
		if !known || (status == 0) != slices.Contains(ofAPI, exchange.Reason(reason)) {
			t.Errorf("a gateway answers %d for reason %s, known: %v", status, reason, known)
		}
	}
	if _, known := fault.Gateway("new"); known {
		t.Error("an unknown reason is known")
	}
}

func TestReasonsAreAll(t *testing.T) {
	var listed []string
	for _, reason := range exchange.Reasons() {
		listed = append(listed, string(reason))
	}
	if diff := cmp.Diff(constants(t, "Reason"), listed); diff != "" {
		t.Error(diff)
	}
}

// The page's headings are the reasons, once each, and each says who mends it.
func TestEveryReasonIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, heading := range regexp.MustCompile(`(?m)^### (.*)$`).FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, heading[1])
	}
	want := constants(t, "Reason")
	slices.Sort(want)
	slices.Sort(documented)
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Error(diff)
	}
	if got := strings.Count(string(page), "**Who mends it:**"); got != len(want) {
		t.Errorf("%d entries say who mends it, of %d", got, len(want))
	}
}

func TestWrite(t *testing.T) {
	for _, row := range []struct {
		name   string
		err    error
		status int
		oauth  string
		reason exchange.Reason
		header http.Header
	}{
		{"invalid request", exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed, "x"), 400, "invalid_request", exchange.ReasonRequestMalformed, nil},
		{"not granted", exchange.Refuse(exchange.CodeNotGranted, exchange.ReasonNoMatchingRule, "x"), 400, "invalid_request", exchange.ReasonNoMatchingRule, nil},
		{"too large", exchange.Refuse(exchange.CodeTooLarge, exchange.ReasonRequestMalformed, "x"), 413, "invalid_request", exchange.ReasonRequestMalformed, nil},
		{"media type", exchange.Refuse(exchange.CodeUnsupportedMediaType, exchange.ReasonRequestMalformed, "x"), 415, "invalid_request", exchange.ReasonRequestMalformed, nil},
		{"method", exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonMethodNotAllowed, "x"), 405, "invalid_request", exchange.ReasonMethodNotAllowed, nil},
		{"client", exchange.Refuse(exchange.CodeInvalidClient, exchange.ReasonClientAuthenticationFailed, "x"), 401, "invalid_client", exchange.ReasonClientAuthenticationFailed, http.Header{"Www-Authenticate": {`Basic realm="sts", charset="UTF-8"`}}},
		{"grant type", exchange.Refuse(exchange.CodeUnsupportedGrantType, exchange.ReasonGrantTypeUnsupported, "x"), 400, "unsupported_grant_type", exchange.ReasonGrantTypeUnsupported, nil},
		{"limit", exchange.Refuse(exchange.CodeRateLimited, exchange.ReasonRateLimited, "x").After(1500 * time.Millisecond), 429, "temporarily_unavailable", exchange.ReasonRateLimited, http.Header{"Retry-After": {"2"}}},
		{"unavailable, at once", exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonAuditUnavailable, "x"), 503, "temporarily_unavailable", exchange.ReasonAuditUnavailable, http.Header{"Retry-After": {"1"}}},
		{"deadline", context.DeadlineExceeded, 503, "temporarily_unavailable", exchange.ReasonDeadlineExceeded, http.Header{"Retry-After": {"1"}}},
		{"upstream", exchange.Refuse(exchange.CodeUpstream, exchange.ReasonUpstreamInvalid, "x"), 502, "server_error", exchange.ReasonUpstreamInvalid, nil},
		{"a plain error is ours", errors.New("secret cause"), 500, "server_error", exchange.ReasonInternal, nil},
		{"a wrapped error is what it wraps", fmt.Errorf("doing x: %w", exchange.Refuse(exchange.CodeInvalidScope, exchange.ReasonScopeExceedsPolicy, "x").Because(errors.New("secret cause"))), 400, "invalid_scope", exchange.ReasonScopeExceedsPolicy, nil},
		{"no token", exchange.Refuse(exchange.CodeTokenMissing, exchange.ReasonAccessTokenInvalid, "x"), 401, "", exchange.ReasonAccessTokenInvalid, nil},
		{"bad token", exchange.Refuse(exchange.CodeInvalidToken, exchange.ReasonAccessTokenInvalid, "x"), 401, "invalid_token", exchange.ReasonAccessTokenInvalid, nil},
		{"no role", exchange.Refuse(exchange.CodeInsufficientScope, exchange.ReasonRoleMissing, "x"), 403, "insufficient_scope", exchange.ReasonRoleMissing, nil},
		{"not found", exchange.Refuse(exchange.CodeNotFound, exchange.ReasonNotFound, "x"), 404, "not_found", exchange.ReasonNotFound, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			fault.Write(w, row.err)
			var got fault.Body
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(w.Body.String(), `"error":`) == (row.oauth == "") {
				t.Errorf("the member error: %s", w.Body)
			}
			if w.Code != row.status || got.Error != row.oauth || got.Reason != string(row.reason) || got.ErrorDescription == "" {
				t.Errorf("%d %+v", w.Code, got)
			}
			if want := "https://github.com/lakegate/sts/blob/main/docs/errors.md#" + string(row.reason); got.ErrorURI != want {
				t.Errorf("error_uri = %s", got.ErrorURI)
			}
			want := http.Header{
				"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}, "Pragma": {"no-cache"},
				"Content-Length": {strconv.Itoa(w.Body.Len())},
			}
			for name, values := range row.header {
				want[name] = values
			}
			if diff := cmp.Diff(want, w.Header()); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(w.Body.String(), "secret cause") {
				t.Errorf("the cause is told: %s", w.Body)
			}
		})
	}
}

func TestChallenge(t *testing.T) {
	const document = "https://sts.acme.example/.well-known/oauth-protected-resource/v1"
	for _, row := range []struct {
		err  *exchange.Error
		want string
	}{
		{exchange.Refuse(exchange.CodeTokenMissing, exchange.ReasonAccessTokenInvalid, "send one"), `Bearer realm="sts", resource_metadata="` + document + `"`},
		{exchange.Refuse(exchange.CodeInvalidToken, exchange.ReasonAccessTokenInvalid, "it has \"expired\""), `Bearer realm="sts", error="invalid_token", error_description="it has 'expired'", resource_metadata="` + document + `"`},
		{exchange.Refuse(exchange.CodeInsufficientScope, exchange.ReasonRoleMissing, "x"), `Bearer realm="sts", error="insufficient_scope", error_description="x", resource_metadata="` + document + `"`},
		{exchange.Refuse(exchange.CodeNotFound, exchange.ReasonNotFound, "x"), ""},
		{exchange.Refuse(exchange.CodeRateLimited, exchange.ReasonRateLimited, "x"), ""},
	} {
		if got := fault.Challenge(row.err, document); got != row.want {
			t.Errorf("%s: %s", row.err.Code, got)
		}
	}
}

func TestDecisionID(t *testing.T) {
	err := exchange.Refuse(exchange.CodeInternal, exchange.ReasonInternal, "x")
	err.DecisionID = "id"
	if got := fault.NewBody(err).DecisionID; got != "id" {
		t.Errorf("decision_id = %q", got)
	}
}

// RFC 6749 §5.2: %x20-21 / %x23-5B / %x5D-7E.
func FuzzDescription(f *testing.F) {
	f.Add("plain; text, as it is")
	f.Add("\"quoted\" back\\slash \x00 \x7f é \n")
	f.Fuzz(func(t *testing.T, text string) {
		got := fault.Description(text)
		if len(got) != len(text) {
			t.Fatalf("%d bytes became %d", len(text), len(got))
		}
		allowed := func(c byte) bool { return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\' }
		for i := range len(got) {
			if !allowed(got[i]) {
				t.Fatalf("byte %q at %d is not allowed", got[i], i)
			}
			if allowed(text[i]) && got[i] != text[i] {
				t.Fatalf("byte %q at %d became %q", text[i], i, got[i])
			}
		}
	})
}
