package exchange_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/lakegate/sts/exchange"
)

// base is B0 of the conformance rows.
func base() exchange.Params {
	return exchange.Params{
		GrantType: exchange.GrantTypeTokenExchange, SubjectToken: "t", SubjectTokenType: string(exchange.TypeJWT),
		Audience: []string{"prod"},
	}
}

func TestParseRefuses(t *testing.T) {
	const (
		invalidRequest = exchange.CodeInvalidRequest
		invalidTarget  = exchange.CodeInvalidTarget
		malformed      = exchange.ReasonRequestMalformed
		unsupported    = exchange.ReasonTokenTypeUnsupported
		unknown        = exchange.ReasonTargetUnknown
	)
	for _, tc := range []struct {
		row    string
		change func(*exchange.Params)
		code   exchange.Code
		reason exchange.Reason
		says   string
	}{
		{"C01", func(p *exchange.Params) { p.SubjectToken = "" }, invalidRequest, malformed, "subject_token is missing"},
		{"C03", func(p *exchange.Params) { p.SubjectTokenType = "" }, invalidRequest, malformed, "subject_token_type is missing"},
		{"C05", func(p *exchange.Params) { p.ActorTokenType = string(exchange.TypeJWT) }, invalidRequest, malformed, "actor_token"},
		{"C05 twin", func(p *exchange.Params) { p.ActorToken = "a" }, invalidRequest, malformed, "actor_token_type is missing"},
		{"C06", func(p *exchange.Params) { p.SubjectTokenType = "jwt" }, invalidRequest, unsupported, "subject_token_type"},
		{"C08", func(p *exchange.Params) { p.SubjectTokenType = "urn:ietf:params:oauth:token-type:refresh_token" }, invalidRequest, unsupported, ""},
		{"C09", func(p *exchange.Params) { p.SubjectTokenType = strings.ToUpper(string(exchange.TypeJWT)) }, invalidRequest, unsupported, "letter for letter"},
		{"D03", func(p *exchange.Params) { p.RequestedTokenType = string(exchange.TypeJWT) }, invalidRequest, unsupported, "requested_token_type"},
		{"D05", func(p *exchange.Params) { p.RequestedTokenType = "https://x.example/type" }, invalidRequest, unsupported, ""},
		{"B08", func(p *exchange.Params) { p.Audience = []string{"prod", "staging"} }, invalidTarget, unknown, "audience names different"},
		{"B09", func(p *exchange.Params) { p.Resource = []string{"https://a.example", "https://b.example"} }, invalidTarget, unknown, "resource names different"},
		{"E04", func(p *exchange.Params) { p.Resource = []string{"https://h.example/x#frag"} }, invalidTarget, unknown, "resource"},
		{"E04 empty fragment", func(p *exchange.Params) { p.Resource = []string{"https://h.example/x#"} }, invalidTarget, unknown, "resource"},
		{"E07 user", func(p *exchange.Params) { p.Resource = []string{"https://u:p@h.example"} }, invalidTarget, unknown, "resource"},
		{"E07 scheme", func(p *exchange.Params) { p.Resource = []string{"ftp://h.example"} }, invalidTarget, unknown, "resource"},
		{"E07 relative", func(p *exchange.Params) { p.Resource = []string{"/x"} }, invalidTarget, unknown, "resource"},
		{"audience ends in /", func(p *exchange.Params) { p.Audience = []string{"prod/"} }, invalidTarget, unknown, "audience"},
		{"audience is a token", func(p *exchange.Params) { p.Audience = []string{"eyJhbGciOiJFUzI1NiJ9.e30.c2ln"} }, invalidTarget, unknown, "audience"},
		{"audience has three parts", func(p *exchange.Params) { p.Audience = []string{"prod/ml/x"} }, invalidTarget, unknown, "audience"},
		{"audience starts with a dot", func(p *exchange.Params) { p.Audience = []string{".prod"} }, invalidTarget, unknown, "audience"},
		{"lifetime under a minute", func(p *exchange.Params) { p.RequestedLifetime = "59" }, invalidRequest, malformed, "requested_lifetime"},
		{"lifetime signed", func(p *exchange.Params) { p.RequestedLifetime = "+90" }, invalidRequest, malformed, "requested_lifetime"},
		{"lifetime fraction", func(p *exchange.Params) { p.RequestedLifetime = "90.5" }, invalidRequest, malformed, "requested_lifetime"},
		{"lifetime huge", func(p *exchange.Params) { p.RequestedLifetime = "99999999999" }, invalidRequest, malformed, "requested_lifetime"},
	} {
		t.Run(tc.row, func(t *testing.T) {
			p := base()
			tc.change(&p)
			_, err := p.Parse()
			if err == nil {
				t.Fatal("accepted")
			}
			if err.Code != tc.code || err.Reason != tc.reason || !strings.Contains(err.Message, tc.says) {
				t.Errorf("got %v, want %s (%s) saying %q", err, tc.code, tc.reason, tc.says)
			}
		})
	}
}

func TestParseReads(t *testing.T) {
	p := base()
	p.Audience = []string{"prod/ml", "", "prod/ml"} // B10: the same twice is one
	p.Resource = []string{"HTTPS://DBC.Example:443/", "https://dbc.example"}
	p.RequestedTokenType = string(exchange.TypeAccessToken) // D02
	p.Scope = "b a  a"                                      // E13
	p.RequestedLifetime = "600"
	p.AuthorizationDetails = `[{"type":"workspace_permission","object_type":"o","object_path":"/p","actions":["b","a","b"]}]`
	got, err := p.Parse()
	if err != nil {
		t.Fatal(err)
	}
	want := &exchange.Request{
		Subject:  exchange.Presented{Token: "t", Type: exchange.TypeJWT},
		Target:   exchange.Target{Workspace: "prod", Principal: "ml", Resource: "https://dbc.example"},
		Scopes:   []string{"a", "b"},
		Lifetime: 10 * time.Minute,
		Details:  exchange.Details{{Type: "workspace_permission", ObjectType: "o", ObjectPath: "/p", Actions: []string{"a", "b"}}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(exchange.Request{})); diff != "" {
		t.Error(diff)
	}
}

func TestNormalizeResource(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"https://H.example", "https://h.example"},
		{"https://h.example/", "https://h.example"},
		{"https://h.example:443/x", "https://h.example/x"},
		{"https://h.example:8443/x/", "https://h.example:8443/x/"},
		{"https://h.example/X?o=1", "https://h.example/X?o=1"},
		{"https://h.example/?o=1", "https://h.example/?o=1"},
		{"https://h.example/a%2Fb", "https://h.example/a%2Fb"},
		{"http://127.0.0.1:80", "http://127.0.0.1"},
	} {
		got, err := exchange.NormalizeResource(tc.in)
		if err != nil || got != tc.want {
			t.Errorf("%s: got %q, %v; want %q", tc.in, got, err, tc.want)
		}
	}
}

func FuzzNormalizeResource(f *testing.F) {
	for _, seed := range []string{"https://h.example:443/x?y", "http://[::1]:80/", "https://h.example#f", "https:///x", "HTTPS://A/%zz"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, err := exchange.NormalizeResource(text)
		if err != nil {
			return
		}
		twice, err := exchange.NormalizeResource(once)
		if err != nil || twice != once {
			t.Errorf("%q became %q, which becomes %q, %v", text, once, twice, err)
		}
		if strings.Contains(once, "#") {
			t.Errorf("%q kept a fragment: %q", text, once)
		}
	})
}
