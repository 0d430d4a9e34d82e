package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/google/go-cmp/cmp"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// withAccess gives the group security the role of an auditor, and oncall that of an operator.
func withAccess(_ *world, s *setup) {
	role := func(role, group string) object {
		return object{"role": role, "match": object{"issuer": list{"okta"}, "groups": object{"any": list{group}}}}
	}
	s.policy["access"] = list{role("auditor", "security"), role("operator", "oncall")}
}

// bearer is the authorization of audrey, in these groups.
func (w *world) bearer(groups ...string) string {
	w.t.Helper()
	return "Bearer " + w.MintToken(idp.Token{Claims: map[string]any{"sub": "audrey", "groups": groups}})
}

// API sends a request to the JSON API; a body makes it a POST.
func (w *world) API(path, body string, authorization ...string) answer {
	w.t.Helper()
	method, sent := http.MethodGet, io.Reader(http.NoBody)
	if body != "" {
		method, sent = http.MethodPost, strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.sts.http+path, sent)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header["Authorization"] = authorization
	return w.Do(req)
}

// calls is one use of the API, as both doors have it.
type calls struct {
	path, body string
	grpc       func(stsv1.MappingServiceClient, *world, ...grpc.CallOption) (proto.Message, error)
	authorized string
}

// ask goes through both doors, and holds that they say the same; it returns what JSON said, and gRPC's code.
func (c calls) ask(t *testing.T, w *world) (a answer, code codes.Code, challenge string) {
	t.Helper()
	var authorization []string
	if c.authorized != "" {
		authorization = []string{c.authorized}
	}
	a = w.API(c.path, c.body, authorization...)
	var header, trailer metadata.MD
	message, err := c.grpc(stsv1.NewMappingServiceClient(w.GRPC()), w, grpc.Header(&header), grpc.Trailer(&trailer))
	if err == nil {
		want := message.ProtoReflect().New().Interface()
		if e := protojson.Unmarshal(a.Body, want); e != nil || !proto.Equal(want, message) {
			t.Errorf("%s: JSON says %s, gRPC %v (%v)", c.path, a.Body, message, e)
		}
		return a, codes.OK, ""
	}
	other := w.grpcAnswer(nil, err, header, trailer)
	if other.Error != a.Error || other.Reason != a.Reason || other.Description != a.Description || strings.Join(header["www-authenticate"], ",") != a.Header.Get("WWW-Authenticate") {
		t.Errorf("%s: JSON says %s (%s), gRPC %s", c.path, a.Body, a.Header.Get("WWW-Authenticate"), other.Body)
	}
	return a, status.Code(err), a.Header.Get("WWW-Authenticate")
}

// getRule asks for a rule with an authorization.
func getRule(rule, authorization string) calls {
	return calls{
		path: "/v1/mappings/" + rule, authorized: authorization,
		grpc: func(c stsv1.MappingServiceClient, w *world, options ...grpc.CallOption) (proto.Message, error) {
			ctx := w.t.Context()
			if authorization != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", authorization)
			}
			return c.GetRule(ctx, &stsv1.GetRuleRequest{Rule: rule}, options...)
		},
	}
}

// uses are the records of uses of the API, without what tells one use from another.
func (w *world) uses() (all []audit.AdminRecord) {
	w.t.Helper()
	for r, err := range audit.Read(w.auditDir) {
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Admin != nil && r.Admin.Caller != nil {
			all = append(all, *r.Admin)
		}
	}
	return all
}

// TestRowsK08 holds what a bearer is told who isn't served: RFC 6750 §3, RFC 9728 §5.1.
func TestRowsK08(t *testing.T) {
	t.Parallel()
	for _, entrance := range []string{"grpc", "json"} {
		covered.note("K08", entrance)
	}
	w := newWorld(t, withAccess)
	const document = stsIssuer + "/.well-known/oauth-protected-resource/v1"
	bad := func(recipe idp.Token) string { return "Bearer " + w.MintToken(recipe) }
	for _, row := range []struct {
		name, authorization string
		status              int
		code                codes.Code
		error, reason, says string
	}{
		{"no token", "", 401, codes.Unauthenticated, "", "access_token_invalid", "access token"},
		{"a client's secret", w.basicAuth("kong"), 401, codes.Unauthenticated, "", "access_token_invalid", "access token"},
		{"no JWT", "Bearer nonsense", 401, codes.Unauthenticated, "invalid_token", "access_token_invalid", ""},
		{"expired", bad(idp.Token{Claims: map[string]any{"exp": w.Now().Add(-time.Hour).Unix()}}), 401, codes.Unauthenticated, "invalid_token", "access_token_invalid", "the bearer token"},
		{"forged", bad(idp.Token{Forged: true}), 401, codes.Unauthenticated, "invalid_token", "access_token_invalid", "the bearer token"},
		{"of nobody known", bad(idp.Token{Issuer: "unconfigured"}), 401, codes.Unauthenticated, "invalid_token", "access_token_invalid", ""},
		{"for somebody else", bad(idp.Token{Claims: map[string]any{"aud": "api://other"}}), 401, codes.Unauthenticated, "invalid_token", "access_token_invalid", ""},
		{"an ID token", bad(idp.Token{Claims: map[string]any{"nonce": "n", "groups": []string{"security"}}}), 401, codes.Unauthenticated, "invalid_token", "access_token_invalid", "ID token"},
		{"too little", w.bearer("data-eng"), 403, codes.PermissionDenied, "insufficient_scope", "role_missing", "role auditor"},
		{"groups unknown", bad(idp.Token{Claims: map[string]any{"groups": nil}}), 403, codes.PermissionDenied, "insufficient_scope", "role_missing", "role auditor"},
	} {
		a, code, challenge := getRule("engineers", row.authorization).ask(t, w)
		covered.note("K08", "json")
		covered.note("K08", "grpc")
		if a.Status != row.status || code != row.code || a.Error != row.error || a.Reason != row.reason || !strings.Contains(a.Description, row.says) {
			t.Errorf("%s: %d %v %s", row.name, a.Status, code, a.Body)
		}
		want := `Bearer realm="sts"`
		if row.error != "" {
			want += `, error="` + row.error + `", error_description="` + a.Description + `"`
		}
		if want += `, resource_metadata="` + document + `"`; challenge != want {
			t.Errorf("%s: challenged by %s", row.name, challenge)
		}
		if has := strings.Contains(string(a.Body), `"error":`); has != (row.error != "") {
			t.Errorf("%s: the member error: %s", row.name, a.Body)
		}
		w.Eventually(row.name+" is recorded", func() bool {
			for _, r := range w.Records() {
				if r.ID == a.DecisionID {
					return r.Type == map[int]string{401: "failures", 403: "admin"}[row.status]
				}
			}
			return false
		})
	}
	var resource struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
	}
	a := w.API(strings.TrimPrefix(document, stsIssuer), "")
	if err := json.Unmarshal(a.Body, &resource); err != nil || resource.Resource != stsIssuer+"/v1" || !cmp.Equal(resource.Servers, []string{w.idp.Issuer("okta").URL()}) {
		t.Errorf("%v: %s", err, a.Body)
	}
}

// TestMappingAPI holds that both doors say the same of the policy, and leave the same records.
func TestMappingAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withAccess)
	auditor, operator := w.bearer("security"), w.bearer("oncall")
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", auditor)
	for _, c := range []struct {
		calls
		has    string
		action string
		object string
	}{
		{calls{path: "/v1/mappings?effect=allow&principal=etl", grpc: func(c stsv1.MappingServiceClient, _ *world, o ...grpc.CallOption) (proto.Message, error) {
			return c.ListRules(ctx, &stsv1.ListRulesRequest{Effect: "allow", Principal: "etl"}, o...)
		}}, `"lifetime_seconds":3600`, "mapping.list_rules", ""},
		{getRule("no-contractors", auditor), `"effect":"deny"`, "mapping.get_rule", "no-contractors"},
		{calls{path: "/v1/principals?workspace=staging", grpc: func(c stsv1.MappingServiceClient, _ *world, o ...grpc.CallOption) (proto.Message, error) {
			return c.ListPrincipals(ctx, &stsv1.ListPrincipalsRequest{Workspace: "staging"}, o...)
		}}, stagingApp, "mapping.list_principals", ""},
		{calls{path: "/v1/principals/legacy", grpc: func(c stsv1.MappingServiceClient, _ *world, o ...grpc.CallOption) (proto.Message, error) {
			return c.GetPrincipal(ctx, &stsv1.GetPrincipalRequest{Principal: "legacy"}, o...)
		}}, `"method":"client_secret"`, "mapping.get_principal", "legacy"},
		{calls{path: "/v1/policy/versions", grpc: func(c stsv1.MappingServiceClient, _ *world, o ...grpc.CallOption) (proto.Message, error) {
			return c.ListPolicyVersions(ctx, &stsv1.ListPolicyVersionsRequest{}, o...)
		}}, `"files":["`, "mapping.list_policy_versions", ""},
		{calls{path: "/v1/mappings:explain", body: `{"client":"kong","audience":"prod","subject":{"issuer":"okta","subject":"bob","groups":["data"]}}`,
			grpc: func(c stsv1.MappingServiceClient, _ *world, o ...grpc.CallOption) (proto.Message, error) {
				return c.Explain(ctx, &stsv1.ExplainRequest{Client: "kong", Audience: "prod", Subject: &stsv1.ExplainIdentity{Issuer: "okta", Subject: "bob", Groups: []string{"data"}}}, o...)
			}}, `"nearest":{`, "mapping.explain", ""},
	} {
		before := len(w.uses())
		c.authorized = auditor
		a, code, _ := c.ask(t, w)
		if text := strings.ReplaceAll(string(a.Body), `": `, `":`); code != codes.OK || !strings.Contains(text, c.has) || !strings.Contains(text, `"policy":"`) {
			t.Errorf("%s: %v %s", c.path, code, a.Body)
		}
		uses := w.uses()[before:]
		if len(uses) != 2 || uses[0].Entrance != "json" || uses[1].Entrance != "grpc" {
			t.Fatalf("%s: recorded as %+v", c.path, uses)
		}
		for i := range uses {
			u := &uses[i]
			if u.Action != c.action || u.Object != c.object || u.Outcome != "granted" || u.Peer != "127.0.0.1" || u.Caller.Provider != "okta" || u.Caller.Subject != "audrey" || u.Caller.TokenID == "" {
				t.Errorf("%s: recorded as %+v by %+v", c.path, u, u.Caller)
			}
			u.Header, u.Entrance = audit.Header{}, ""
		}
		if diff := cmp.Diff(uses[0], uses[1]); diff != "" {
			t.Errorf("%s: the doors left different records:\n%s", c.path, diff)
		}
	}
	if a, code, _ := getRule("absent", auditor).ask(t, w); a.Status != http.StatusNotFound || code != codes.NotFound || a.Reason != "not_found" {
		t.Errorf("%v %s", code, a.Body)
	}
	if a, code, _ := getRule("engineers", operator).ask(t, w); a.Status != http.StatusOK || code != codes.OK {
		t.Errorf("an operator: %v %s", code, a.Body)
	}
	for _, path := range []string{"/v1/mappings?colour=red", "/v1/mappings/engineers?colour=red", "/v1/policy/versions?colour=red"} {
		if a := w.API(path, "", auditor); a.Status != http.StatusBadRequest || a.Reason != "request_malformed" {
			t.Errorf("%s: %s", path, a.Body)
		}
	}
	if a := w.API("/openapi.json", ""); !strings.Contains(string(a.Body), `"/v1/mappings:explain"`) {
		t.Error("the API's description lacks it")
	}
	// Who loses his role, loses it here too.
	delete(w.policy, "access")
	w.WritePolicy(w.policy)
	w.Eventually("nobody has a role", func() bool { return w.API("/v1/mappings", "", auditor).Status == http.StatusForbidden })
}

// TestExplainIsTrue holds that an explanation comes to what an exchange of the same token comes to.
func TestExplainIsTrue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withAccess)
	auditor := w.bearer("security")
	for _, row := range []struct {
		name, client string
		recipe       idp.Token
	}{
		{"granted", "kong", idp.Token{}},
		{"a short token", "kong", idp.Token{Claims: map[string]any{"exp": w.Now().Add(4 * time.Minute).Unix()}}},
		{"nearly over", "kong", idp.Token{Claims: map[string]any{"exp": w.Now().Add(30 * time.Second).Unix()}}},
		{"expired", "kong", idp.Token{Claims: map[string]any{"exp": w.Now().Add(-time.Hour).Unix()}}},
		{"forged", "kong", idp.Token{Forged: true}},
		{"denied", "kong", idp.Token{Claims: map[string]any{"groups": []string{"data-eng", "contractors"}}}},
		{"no rule", "kong", idp.Token{Claims: map[string]any{"groups": []string{"nobody"}}}},
		{"groups unknown", "kong", idp.Token{Claims: map[string]any{"groups": nil}}},
		{"another provider", "kong", idp.Token{Issuer: "other"}},
		{"another party", "web-only", idp.Token{Claims: map[string]any{"azp": "app"}}},
		{"another workspace", "stager", idp.Token{}},
		{"a pinned client", "pinned", idp.Token{}},
	} {
		text := w.MintToken(row.recipe)
		asked := w.Ask(as(row.client), token(text))
		recorded := w.Exchange(asked.DecisionID)
		a := w.API("/v1/mappings:explain", encode(w, object{
			"client": row.client, "audience": "prod", "subject_token": text, "subject_token_type": string(exchange.TypeJWT),
		}), auditor)
		var explained stsv1.ExplainResponse
		if err := protojson.Unmarshal(a.Body, &explained); err != nil {
			t.Fatalf("%s: %v: %s", row.name, err, a.Body)
		}
		if explained.GetOutcome() != recorded.Outcome || explained.GetReason() != recorded.Reason || explained.GetRule() != recorded.Rule ||
			explained.GetGrant() != nil && explained.GetGrant().GetPrincipal() != recorded.Principal || explained.GetDescription() != asked.Description {
			t.Errorf("%s: explained as %s\nrecorded as %+v", row.name, a.Body, recorded)
		}
		if got := int(explained.GetGrant().GetLifetimeSeconds()); got < asked.ExpiresIn-20 || got > 600 || (got == 0) != (asked.ExpiresIn == 0) {
			t.Errorf("%s: %d s, and the exchange says %d", row.name, got, asked.ExpiresIn)
		}
	}
	if n := len(w.Of("exchange")); n != 12 {
		t.Errorf("%d exchanges are recorded", n)
	}
}

// TestBadBearersAreLimited holds that who tries tokens on the API is held up, and nobody else.
func TestBadBearersAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withAccess)
	for range 100 {
		if a := w.API("/v1/mappings", "", "Bearer nonsense"); a.Status != http.StatusUnauthorized {
			t.Fatalf("%s", a.Body)
		}
	}
	a := w.API("/v1/mappings", "", "Bearer nonsense")
	mustRefuse(t, a, http.StatusTooManyRequests, "temporarily_unavailable", exchange.ReasonRateLimited)
	wantRetryAfter(t, a)
	mustGrant(t, w.Ask(), tenMinutes)
	w.Move(2 * time.Minute)
	if a := w.API("/v1/mappings", "", w.bearer("security")); a.Status != http.StatusOK {
		t.Errorf("after the minute: %s", a.Body)
	}
}
