package rpc_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
)

// routed is MappingService, and remembers what was called, with what of the path or the query string.
type routed struct {
	stsv1.UnimplementedMappingServiceServer
	called []string
}

func (r *routed) note(what ...string) { r.called = append(r.called, what...) }

func (r *routed) ListRules(_ context.Context, m *stsv1.ListRulesRequest) (*stsv1.ListRulesResponse, error) {
	r.note("ListRules", m.GetOwner())
	return &stsv1.ListRulesResponse{}, nil
}

func (r *routed) GetRule(_ context.Context, m *stsv1.GetRuleRequest) (*stsv1.GetRuleResponse, error) {
	r.note("GetRule", m.GetRule())
	return &stsv1.GetRuleResponse{}, nil
}

func (r *routed) Explain(_ context.Context, m *stsv1.ExplainRequest) (*stsv1.ExplainResponse, error) {
	r.note("Explain", m.GetClient())
	return &stsv1.ExplainResponse{}, nil
}

func (r *routed) ListPrincipals(_ context.Context, m *stsv1.ListPrincipalsRequest) (*stsv1.ListPrincipalsResponse, error) {
	r.note("ListPrincipals", m.GetWorkspace())
	return &stsv1.ListPrincipalsResponse{}, nil
}

func (r *routed) GetPrincipal(_ context.Context, m *stsv1.GetPrincipalRequest) (*stsv1.GetPrincipalResponse, error) {
	r.note("GetPrincipal", m.GetPrincipal())
	return &stsv1.GetPrincipalResponse{}, nil
}

func (r *routed) ListPolicyVersions(context.Context, *stsv1.ListPolicyVersionsRequest) (*stsv1.ListPolicyVersionsResponse, error) {
	r.note("ListPolicyVersions")
	return &stsv1.ListPolicyVersionsResponse{}, nil
}

func (r *routed) GetPolicyVersion(_ context.Context, m *stsv1.GetPolicyVersionRequest) (*stsv1.GetPolicyVersionResponse, error) {
	r.note("GetPolicyVersion", m.GetPolicy())
	return &stsv1.GetPolicyVersionResponse{}, nil
}

// Each route of MappingService reaches its own rpc, and nothing else reaches any.
func TestMappingRoutes(t *testing.T) {
	r := &routed{}
	roles := map[string]string{}
	for _, m := range stsv1.MappingService_ServiceDesc.Methods {
		roles[m.MethodName] = "auditor"
	}
	_, b := houseOf(t, mappingService(r, roles))
	for _, row := range []struct {
		method, path, query string
		status              int
		called              []string
	}{
		{"GET", "/v1/mappings", "owner=ada&page_size=3", 200, []string{"ListRules", "ada"}},
		{"GET", "/v1/mappings", "", 200, []string{"ListRules", ""}},
		{"GET", "/v1/mappings/r", "", 200, []string{"GetRule", "r"}},
		{"POST", "/v1/mappings:explain", "", 200, []string{"Explain", "kong"}},
		{"GET", "/v1/principals", "workspace=prod", 200, []string{"ListPrincipals", "prod"}},
		{"GET", "/v1/principals/p", "", 200, []string{"GetPrincipal", "p"}},
		{"GET", "/v1/policy/versions", "", 200, []string{"ListPolicyVersions"}},
		{"GET", "/v1/policy/versions/abc", "", 200, []string{"GetPolicyVersion", "abc"}},
		// A verb that isn't there yet is a name that isn't there, and never the thing before the colon.
		{"GET", "/v1/principals/p:whocan", "", 200, []string{"GetPrincipal", "p:whocan"}},
		{"GET", "/v1/mappings:explain", "", 405, nil},
		{"POST", "/v1/mappings/r:explain", "", 405, nil},
		{"POST", "/v1/mappings", "", 405, nil},
		{"GET", "/v1/mappings/", "", 200, []string{"GetRule", ""}}, // which is the name of none
		{"GET", "/v1/mappings/r/x", "", 404, nil},
		{"GET", "/v1/policy", "", 404, nil},
		{"GET", "/v1/mappings", "colour=red", 400, nil},
		{"GET", "/v1/mappings", "pageSize=3", 400, nil},
		{"GET", "/v1/mappings", "page_size=x", 400, nil},
		{"GET", "/v1/mappings", "owner=a&owner=b", 400, nil},
		{"GET", "/v1/mappings", "owner=%ff", 400, nil}, // no text, which gRPC takes no more
		{"GET", "/v1/mappings/r", "rule=s", 400, nil},
		{"GET", "/v1/mappings", "access_token=x", 400, nil}, // RFC 6750 §2.3 is not served
		{"GET", "/v1/policy/versions", "page_size=1", 400, nil},
	} {
		r.called = nil
		body := ""
		if row.method == http.MethodPost {
			body = `{"client":"kong"}`
		}
		req := b.post(t, row.path, body)
		req.Method, req.URL.RawQuery = row.method, row.query
		req.Header.Set("Authorization", "Bearer auditor")
		answer, text := do(t, req)
		if answer.StatusCode != row.status {
			t.Errorf("%s %s?%s: %d %s", row.method, row.path, row.query, answer.StatusCode, text)
		}
		if diff := cmp.Diff(row.called, r.called); diff != "" {
			t.Errorf("%s %s?%s: %s", row.method, row.path, row.query, diff)
		}
	}
}
