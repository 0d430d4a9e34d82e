package rpc_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/server/rpc"
)

// audited is AuditService, and remembers what was called, with what of the path, the query string or the body.
type audited struct {
	stsv1.UnimplementedAuditServiceServer
	called []string
}

func (a *audited) note(what ...string) { a.called = append(a.called, what...) }

func (a *audited) SearchEvents(_ context.Context, m *stsv1.SearchEventsRequest) (*stsv1.SearchEventsResponse, error) {
	a.note("SearchEvents", m.GetSubject())
	return &stsv1.SearchEventsResponse{}, nil
}

func (a *audited) GetEvent(_ context.Context, m *stsv1.GetEventRequest) (*stsv1.GetEventResponse, error) {
	a.note("GetEvent", m.GetId())
	return &stsv1.GetEventResponse{}, nil
}

func (a *audited) TailEvents(m *stsv1.TailEventsRequest, to grpc.ServerStreamingServer[stsv1.TailEventsResponse]) error {
	a.note("TailEvents", m.GetSubject())
	return to.Send(&stsv1.TailEventsResponse{Cursor: "c"})
}

func (a *audited) LookupToken(_ context.Context, m *stsv1.LookupTokenRequest) (*stsv1.LookupTokenResponse, error) {
	a.note("LookupToken", m.GetTokenSha256())
	return &stsv1.LookupTokenResponse{}, nil
}

func (a *audited) GetReceipt(_ context.Context, m *stsv1.GetReceiptRequest) (*stsv1.GetReceiptResponse, error) {
	a.note("GetReceipt", m.GetId())
	return &stsv1.GetReceiptResponse{}, nil
}

func (a *audited) ListCheckpoints(context.Context, *stsv1.ListCheckpointsRequest) (*stsv1.ListCheckpointsResponse, error) {
	a.note("ListCheckpoints")
	return &stsv1.ListCheckpointsResponse{}, nil
}

func (a *audited) GetStatistics(_ context.Context, m *stsv1.GetStatisticsRequest) (*stsv1.GetStatisticsResponse, error) {
	a.note("GetStatistics", strings.Join(m.GetBy(), "+"), m.GetFrom().AsTime().Format("15:04"))
	return &stsv1.GetStatisticsResponse{}, nil
}

// Each route of AuditService reaches its own rpc, and nothing else reaches any; each has a name for spans and lines of the
// log.
func TestAuditRoutes(t *testing.T) {
	a := &audited{}
	s := (&tails{}).service()
	s.Register = func(r grpc.ServiceRegistrar) { stsv1.RegisterAuditServiceServer(r, a) }
	for _, m := range stsv1.AuditService_ServiceDesc.Methods {
		s.Roles[m.MethodName] = "auditor"
	}
	_, b := houseOf(t, s)
	for _, row := range []struct {
		method, path, query string
		status              int
		called              []string
	}{
		{"GET", "/v1/audit/events", "subject=ada&page_size=3", 200, []string{"SearchEvents", "ada"}},
		{"GET", "/v1/audit/events", "from=2026-11-24T10:00:00Z", 200, []string{"SearchEvents", ""}},
		{"GET", "/v1/audit/events/e", "", 200, []string{"GetEvent", "e"}},
		{"GET", "/v1/audit/events/e/receipt", "", 200, []string{"GetReceipt", "e"}},
		{"GET", "/v1/audit/events:tail", "subject=ada", 200, []string{"TailEvents", "ada"}},
		{"POST", "/v1/audit/tokens:lookup", "", 200, []string{"LookupToken", "ab"}},
		{"GET", "/v1/audit/checkpoint", "", 200, []string{"ListCheckpoints"}},
		{"GET", "/v1/audit/statistics", "from=2026-11-24T10:00:00Z&by=rule&by=outcome", 200, []string{"GetStatistics", "rule+outcome", "10:00"}},
		{"GET", "/v1/audit/events/e:tail", "", 200, []string{"GetEvent", "e:tail"}}, // which is the id of none
		{"GET", "/v1/audit/events/", "", 200, []string{"GetEvent", ""}},
		{"POST", "/v1/audit/events:tail", "", 405, nil},
		{"GET", "/v1/audit/tokens:lookup", "", 405, nil},
		{"POST", "/v1/audit/events", "", 405, nil},
		{"GET", "/v1/audit/events/e/x", "", 404, nil},
		{"GET", "/v1/audit", "", 404, nil},
		{"GET", "/v1/audit/events", "colour=red", 400, nil},
		{"GET", "/v1/audit/events", "from=yesterday", 400, nil},
		{"GET", "/v1/audit/events/e", "id=f", 400, nil},
		{"GET", "/v1/audit/events", "access_token=x", 400, nil},
		{"GET", "/v1/audit/checkpoint", "page_size=1", 400, nil},
	} {
		a.called = nil
		body := ""
		if row.method == http.MethodPost {
			body = `{"token_sha256":"ab"}`
		}
		req := b.post(t, row.path, body)
		req.Method, req.URL.RawQuery = row.method, row.query
		req.Header.Set("Authorization", "Bearer auditor")
		answer, text := do(t, req)
		if answer.StatusCode != row.status {
			t.Errorf("%s %s?%s: %d %s", row.method, row.path, row.query, answer.StatusCode, text)
		}
		if diff := cmp.Diff(row.called, a.called); diff != "" {
			t.Errorf("%s %s?%s: %s", row.method, row.path, row.query, diff)
		}
		if route := rpc.Route(row.path); row.status == 200 && (route == rpc.Prefix || !strings.HasPrefix(row.path, route)) {
			t.Errorf("%s is shown as %s", row.path, route)
		}
	}
}
