package rpc_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/google/go-cmp/cmp"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/rpc"
)

// house is all that the guard asks: it verifies, holds roles, limits and records.
type house struct {
	mu        sync.Mutex
	presented []exchange.Presented
	penalized int
	limited   bool
	entered   *exchange.Client
	records   []exchange.Event
	down      error // of the record
	withdrawn bool  // the role of all
	observed  []string
	ahead     atomic.Int64 // of the clock, in ns
	alarms    []string     // lines of the log at level ERROR
}

// Write takes what is logged.
func (h *house) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.alarms = append(h.alarms, string(line))
	return len(line), nil
}

// now is the clock.
func (h *house) now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

// Verify knows these tokens: "auditor" and "operator" speak of subjects of that role, "nobody" of one without, "plain" of an
// auditor of a provider without marked access tokens; "delegated" of an auditor for whom somebody acts, "down" finds the provider down, "short" lives for a minute, "revoked" is good when it is presented and never again, and every
// other is expired.
func (h *house) Verify(_ context.Context, p exchange.Presented, use exchange.Use) (*exchange.Identity, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.presented = append(h.presented, p)
	if use != exchange.UseBearer && use != exchange.UseExplain {
		return nil, errors.New("presented as something else")
	}
	switch token := p.Token.Reveal(); {
	case token == "revoked" && use == exchange.UseBearer, token == "short" && use == exchange.UseBearer:
		return &exchange.Identity{Provider: "okta", Issuer: "https://okta.example", Subject: "auditor", Expiry: h.now().Add(time.Minute)}, nil
	case token == "short":
		return &exchange.Identity{}, nil // its end is known
	case token == "auditor", token == "operator", token == "nobody", token == "plain" && p.Type == exchange.TypeJWT:
		return &exchange.Identity{Provider: "okta", Issuer: "https://okta.example", Subject: token}, nil
	case token == "delegated":
		return &exchange.Identity{Provider: "okta", Issuer: "https://okta.example", Subject: "auditor", Actors: []exchange.Actor{{Subject: "agent"}}}, nil
	case token == "plain":
		return nil, exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonTokenTypeUnsupported, "the bearer token is no access token")
	case token == "down":
		return nil, exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonProviderUnavailable, "later").After(time.Second)
	}
	return nil, exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonSubjectTokenExpired, "the bearer token has expired")
}

func (h *house) Enter(c *exchange.Client, _ exchange.Source) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entered = c
	if h.limited && c.ID == "" {
		return exchange.Refuse(exchange.CodeRateLimited, exchange.ReasonRateLimited, "this client's subject tokens").After(time.Minute)
	}
	return nil
}

func (h *house) Penalize(*exchange.Client, exchange.Source) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.penalized++
}

func (h *house) Record(_ context.Context, e *exchange.Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down != nil {
		return h.down
	}
	h.records = append(h.records, *e)
	return nil
}

func (*house) RecordFailure(exchange.Failure) string { return "" }

// mappings is a service whose GetRule does what the rule's id says. Its descriptor's other methods have no row in roles.
type mappings struct {
	stsv1.UnimplementedMappingServiceServer
	called []string
}

func (m *mappings) GetRule(_ context.Context, r *stsv1.GetRuleRequest) (*stsv1.GetRuleResponse, error) {
	m.called = append(m.called, r.GetRule())
	switch r.GetRule() {
	case "absent":
		return nil, exchange.Refuse(exchange.CodeNotFound, exchange.ReasonNotFound, "there is none")
	case "broken":
		return nil, errors.New("out of order")
	case "left":
		return nil, context.Canceled
	case "panic":
		panic("out of order")
	}
	return &stsv1.GetRuleResponse{Rule: &stsv1.Rule{Id: r.GetRule()}}, nil
}

func (m *mappings) ListPrincipals(context.Context, *stsv1.ListPrincipalsRequest) (*stsv1.ListPrincipalsResponse, error) {
	m.called = append(m.called, "a method that nobody may call")
	return &stsv1.ListPrincipalsResponse{}, nil
}

const document = "https://sts.example/.well-known/oauth-protected-resource/v1"

func newHouse(t *testing.T, more ...rpc.Service) (*house, *mappings, *bench) {
	t.Helper()
	m := &mappings{}
	h, b := houseOf(t, append(more, mappingService(m, map[string]string{"GetRule": "auditor"}))...)
	return h, m, b
}

// mappingService is MappingService with its routes.
func mappingService(m stsv1.MappingServiceServer, roles map[string]string) rpc.Service {
	return rpc.Service{
		Register: func(r grpc.ServiceRegistrar) { stsv1.RegisterMappingServiceServer(r, m) },
		Route: func(ctx context.Context, mux *runtime.ServeMux, to grpc.ClientConnInterface) error {
			return stsv1.RegisterMappingServiceHandlerClient(ctx, mux, stsv1.NewMappingServiceClient(to))
		},
		Roles: roles,
		Object: func(answer any) string {
			rule, _ := answer.(*stsv1.GetRuleResponse)
			return rule.GetRule().GetId()
		},
	}
}

// houseOf serves these services to bearers.
func houseOf(t *testing.T, services ...rpc.Service) (*house, *bench) {
	t.Helper()
	return houseWith(t, 0, services...)
}

// houseWith has as many streams at once.
func houseWith(t *testing.T, streams int64, services ...rpc.Service) (*house, *bench) {
	t.Helper()
	h := &house{}
	resource, err := rpc.ResourceOf("https://sts.example")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, func(c *rpc.Config, _ *rpc.ServerConfig) {
		c.Services, c.Streams, c.Now = services, streams, h.now
		c.Log = slog.New(slog.NewTextHandler(h, &slog.HandlerOptions{Level: slog.LevelError}))
		c.Bearers = rpc.BearerConfig{
			Verifier: h, Limits: h, Recorder: h, Resource: resource, Random: rand.Reader,
			Holds: func(who *exchange.Identity, role string, _ time.Time) bool {
				h.mu.Lock()
				defer h.mu.Unlock()
				return role != "" && !h.withdrawn && (who.Subject == role || who.Subject == "operator" || who.Subject == "plain")
			},
			Observe: func(action string, err *exchange.Error) {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.observed = append(h.observed, action)
				if err != nil {
					h.observed = append(h.observed, string(err.Reason))
				}
			},
		}
	})
	return h, b
}

// told is what a caller hears, whichever way he came.
type told struct {
	Status    int
	Error     string
	Reason    exchange.Reason
	Challenge string
	id        string
}

func (b *bench) getJSON(t *testing.T, path string, authorization ...string) told {
	t.Helper()
	return b.getJSONQuery(t, path, "", authorization...)
}

func (b *bench) getJSONQuery(t *testing.T, path, query string, authorization ...string) told {
	t.Helper()
	r := b.post(t, path, "")
	r.URL.RawQuery = query
	r.Method, r.Body, r.ContentLength = http.MethodGet, nil, 0
	r.Header = http.Header{"Authorization": authorization}
	answer, text := do(t, r)
	var body struct {
		Error      string          `json:"error"`
		Reason     exchange.Reason `json:"reason"`
		DecisionID string          `json:"decision_id"`
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return told{answer.StatusCode, body.Error, body.Reason, answer.Header.Get("WWW-Authenticate"), body.DecisionID}
}

func (b *bench) getGRPC(t *testing.T, rule string, authorization ...string) told {
	t.Helper()
	ctx := t.Context()
	for _, one := range authorization {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", one)
	}
	var header metadata.MD
	_, err := stsv1.NewMappingServiceClient(b.conn).GetRule(ctx, &stsv1.GetRuleRequest{Rule: rule}, grpc.Header(&header))
	if err == nil {
		return told{Status: 200}
	}
	s := status.Convert(err)
	info := infoOf(s)
	http := map[codes.Code]int{
		codes.Unauthenticated: 401, codes.PermissionDenied: 403, codes.NotFound: 404, codes.InvalidArgument: 400,
		codes.ResourceExhausted: 429, codes.Unavailable: 503, codes.Internal: 500,
	}[s.Code()]
	return told{http, info.GetMetadata()["error"], exchange.Reason(info.GetReason()), strings.Join(header["www-authenticate"], ","), info.GetMetadata()["decision_id"]}
}

func TestBearers(t *testing.T) {
	challenge := func(rest string) string {
		return `Bearer realm="sts"` + rest + `, resource_metadata="` + document + `"`
	}
	without := told{Status: 401, Reason: "access_token_invalid", Challenge: challenge("")}
	invalid := told{Status: 401, Error: "invalid_token", Reason: "access_token_invalid", Challenge: challenge(`, error="invalid_token", error_description="the bearer token has expired"`)}
	for _, row := range []struct {
		name          string
		rule          string
		authorization []string
		tweak         func(*house)
		want          told
		// recorded is the outcome in the record of the use, "" where there is none but a summary.
		recorded exchange.Outcome
		object   string
		called   bool
	}{
		{name: "an auditor", rule: "r", authorization: []string{"Bearer auditor"}, want: told{Status: 200}, recorded: "granted", object: "r", called: true},
		{name: "the scheme has no letter case", rule: "r", authorization: []string{"bearer auditor"}, want: told{Status: 200}, recorded: "granted", object: "r", called: true},
		{name: "an operator", rule: "r", authorization: []string{"Bearer operator"}, want: told{Status: 200}, recorded: "granted", object: "r", called: true},
		{name: "a token without marks", rule: "r", authorization: []string{"Bearer plain"}, want: told{Status: 200}, recorded: "granted", object: "r", called: true},
		{name: "no token", rule: "r", want: without},
		{name: "no token in it", rule: "r", authorization: []string{"Bearer "}, want: without},
		{name: "a client's secret", rule: "r", authorization: []string{kong}, want: without},
		{name: "a bad token", rule: "r", authorization: []string{"Bearer x"}, want: invalid},
		{name: "somebody who acts for an auditor", rule: "r", authorization: []string{"Bearer delegated"}, want: told{
			Status: 401, Error: "invalid_token", Reason: "access_token_invalid",
			Challenge: challenge(`, error="invalid_token", error_description="the bearer token says that somebody acts for its subject (act), and nobody may for a role of this API; call with a token of the subject's own"`),
		}},
		{name: "two tokens", rule: "r", authorization: []string{"Bearer auditor", "Bearer operator"}, want: told{Status: 400, Error: "invalid_request", Reason: "request_malformed"}},
		{name: "a provider that is down", rule: "r", authorization: []string{"Bearer down"}, want: told{Status: 503, Error: "temporarily_unavailable", Reason: "provider_unavailable"}},
		{name: "too many bad ones", rule: "r", authorization: []string{"Bearer auditor"}, tweak: func(h *house) { h.limited = true }, want: told{Status: 429, Error: "temporarily_unavailable", Reason: "rate_limited"}},
		{name: "without a role", rule: "r", authorization: []string{"Bearer nobody"}, recorded: "denied", want: told{
			Status: 403, Error: "insufficient_scope", Reason: "role_missing",
			Challenge: challenge(`, error="insufficient_scope", error_description="the token is good, and its subject may not do this; the policy's access must give it the role auditor"`),
		}},
		{name: "nothing there", rule: "absent", authorization: []string{"Bearer auditor"}, want: told{Status: 404, Error: "not_found", Reason: "not_found"}, recorded: "denied", called: true},
		{name: "a fault of ours", rule: "broken", authorization: []string{"Bearer auditor"}, want: told{Status: 500, Error: "server_error", Reason: "internal"}, recorded: "failed", called: true},
		{name: "a panic", rule: "panic", authorization: []string{"Bearer auditor"}, want: told{Status: 500, Error: "server_error", Reason: "internal"}, recorded: "failed", called: true},
		{name: "no record", rule: "r", authorization: []string{"Bearer auditor"}, tweak: func(h *house) { h.down = errors.New("disk full") }, want: told{Status: 503, Error: "temporarily_unavailable", Reason: "audit_unavailable"}, called: true},
	} {
		for _, door := range []string{"grpc", "json"} {
			t.Run(row.name+"/"+door, func(t *testing.T) {
				h, m, b := newHouse(t)
				if row.tweak != nil {
					row.tweak(h)
				}
				var got told
				if door == "json" {
					got = b.getJSON(t, "/v1/mappings/"+row.rule, row.authorization...)
				} else {
					got = b.getGRPC(t, row.rule, row.authorization...)
				}
				if door == "json" && row.want.Reason == "request_malformed" {
					h.observed = []string{"mapping.get_rule", "request_malformed"} // the gateway's own doing
				}
				if diff := cmp.Diff(row.want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "id" }, cmp.Ignore())); diff != "" {
					t.Error(diff)
				}
				if called := len(m.called) > 0; called != row.called {
					t.Errorf("the handler was called: %v", called)
				}
				wantUse(t, h, b, got, row.recorded, row.object, door)
				want := []string{"mapping.get_rule"}
				if row.want.Reason != "" {
					want = append(want, string(row.want.Reason))
				}
				if diff := cmp.Diff(want, h.observed); diff != "" {
					t.Error(diff)
				}
				if (h.penalized == 1) != (row.want.Error == "invalid_token") {
					t.Errorf("penalized %d times", h.penalized)
				}
			})
		}
	}
}

// wantUse holds that an answer has exactly one record, of the use or of what failed before anybody was known.
func wantUse(t *testing.T, h *house, b *bench, got told, recorded exchange.Outcome, object, door string) {
	t.Helper()
	if recorded == "" {
		if len(h.records) > 0 || h.down == nil && (len(b.exchanger.failures) != 1 || got.id != "summed up" || b.exchanger.failures[0].Entrance != door) {
			t.Errorf("%d records, failures %+v, id %s", len(h.records), b.exchanger.failures, got.id)
		}
		return
	}
	if len(h.records) != 1 || len(b.exchanger.failures) > 0 {
		t.Fatalf("%d records, failures %+v", len(h.records), b.exchanger.failures)
	}
	e := h.records[0]
	if got.Status != 200 && got.id != e.ID {
		t.Errorf("the answer's id is %s, the record's %s", got.id, e.ID)
	}
	use := e.Admin
	if use.Action != "mapping.get_rule" || use.Object != object || use.Outcome() != recorded ||
		use.By.Entrance != door || use.By.Bearer.Subject == "" || use.By.Source.Peer.String() != "127.0.0.1" {
		t.Errorf("recorded as %+v by %+v", use, use.By)
	}
}

// A method without a row is refused to everybody, and so is one of a service without any.
func TestBearersNeedARow(t *testing.T) {
	h, m, b := newHouse(t)
	if got := b.getJSON(t, "/v1/principals", "Bearer operator"); got.Status != 403 || got.Reason != "role_missing" {
		t.Errorf("%+v", got)
	}
	_, err := stsv1.NewMappingServiceClient(b.conn).ListPrincipals(as(t, "authorization", "Bearer operator"), &stsv1.ListPrincipalsRequest{})
	wantError(t, err, codes.PermissionDenied, exchange.ReasonRoleMissing)
	if len(m.called) > 0 || len(h.records) != 2 || h.records[0].Admin.Action != "mapping.list_principals" || h.records[0].Admin.Outcome() != exchange.OutcomeDenied {
		t.Errorf("called %v, recorded %+v", m.called, h.records)
	}
}

// tail is a service with a stream, which says one thing.
func tail(served *int) rpc.Service {
	return rpc.Service{
		Register: func(r grpc.ServiceRegistrar) {
			r.RegisterService(&grpc.ServiceDesc{ServiceName: "sts.v1.AuditService", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
				StreamName: "TailEvents", ServerStreams: true,
				Handler: func(_ any, s grpc.ServerStream) error {
					*served++
					if err := s.RecvMsg(&emptypb.Empty{}); err != nil {
						return err
					}
					return s.SendMsg(&emptypb.Empty{})
				},
			}}}, struct{}{})
		},
		Roles: map[string]string{"TailEvents": "auditor"},
	}
}

func TestBearersOfAStream(t *testing.T) {
	for _, row := range []struct {
		token    string
		code     codes.Code
		reason   exchange.Reason
		recorded int
	}{
		{"auditor", codes.OK, "", 1},
		{"nobody", codes.PermissionDenied, exchange.ReasonRoleMissing, 1},
		{"x", codes.Unauthenticated, exchange.ReasonAccessTokenInvalid, 0},
	} {
		served := 0
		h, _, b := newHouse(t, tail(&served))
		stream, err := b.conn.NewStream(as(t, "authorization", "Bearer "+row.token), &grpc.StreamDesc{ServerStreams: true}, "/sts.v1.AuditService/TailEvents")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(stream.SendMsg(&emptypb.Empty{}), stream.CloseSend()); err != nil {
			t.Fatal(err)
		}
		err = stream.RecvMsg(&emptypb.Empty{})
		if row.code == codes.OK && (err != nil || served != 1) || row.code != codes.OK && served != 0 {
			t.Errorf("%s: served %d times, %v", row.token, served, err)
		}
		if row.code != codes.OK {
			wantError(t, err, row.code, row.reason)
			if header, _ := stream.Header(); len(header["www-authenticate"]) != 1 {
				t.Errorf("%s: the header is %v", row.token, header)
			}
		}
		if len(h.records) != row.recorded || row.recorded > 0 && h.records[0].Admin.Action != "audit.tail_events" {
			t.Errorf("%s: recorded %+v", row.token, h.records)
		}
	}
}

// Whoever holds a good token of a provider can make each of his requests a record, and take from the limit of all: so
// bearers have one of their own, together. What it says when it is reached is for them, who are no clients.
func TestBearersAreLimited(t *testing.T) {
	h, _, b := newHouse(t)
	h.limited = true
	_, err := stsv1.NewMappingServiceClient(b.conn).GetRule(as(t, "authorization", "Bearer nobody"), &stsv1.GetRuleRequest{Rule: "r"})
	wantError(t, err, codes.ResourceExhausted, exchange.ReasonRateLimited)
	if said := status.Convert(err).Message(); strings.Contains(said, "client") || strings.Contains(said, "subject") {
		t.Errorf("a bearer is told that %q", said)
	}
	if h.entered.ID != "" || h.entered.Rate <= 0 || h.entered.Burst <= 0 || len(h.presented) > 0 {
		t.Errorf("limited as %+v, after %v was looked at", h.entered, h.presented)
	}
}

// Who hangs up, or gives no time, fails; that is on record, and no alarm.
func TestBearersThatLeave(t *testing.T) {
	for rule, alarms := range map[string]int{"left": 0, "broken": 1} {
		h, _, b := newHouse(t)
		got := b.getJSON(t, "/v1/mappings/"+rule, "Bearer auditor")
		if len(h.records) != 1 || h.records[0].Admin.Outcome() != exchange.OutcomeFailed || len(h.alarms) != alarms {
			t.Errorf("%s: %+v, %d records, alarms %q", rule, got, len(h.records), h.alarms)
		}
	}
}

// ID tokens are never asked for, and a token is presented once where its first type fits.
func TestBearersAreAccessTokens(t *testing.T) {
	h, _, b := newHouse(t)
	b.getJSON(t, "/v1/mappings/r", "Bearer auditor")
	b.getJSON(t, "/v1/mappings/r", "Bearer x")
	b.getJSON(t, "/v1/mappings/r", "Bearer plain")
	var types []exchange.TokenType
	for _, p := range h.presented {
		types = append(types, p.Type)
	}
	if want := []exchange.TokenType{exchange.TypeAccessToken, exchange.TypeAccessToken, exchange.TypeAccessToken, exchange.TypeJWT}; !slices.Equal(types, want) {
		t.Errorf("presented as %v", types)
	}
}

func TestBearersAreNeeded(t *testing.T) {
	_, err := rpc.New(rpc.Config{
		Exchanger: &exchanger{}, Inquirer: &exchanger{}, Clients: &clients.Registry{}, GRPC: &observer{}, JSON: &observer{},
		Introspections: &observer{}, Revocations: &observer{}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Services: []rpc.Service{{}},
	})
	if err == nil || !strings.Contains(err.Error(), "rpc.BearerConfig.Verifier is missing") {
		t.Errorf("%v", err)
	}
}

func TestResource(t *testing.T) {
	for _, row := range []struct{ issuer, identifier, metadata, path string }{
		{"https://sts.example", "https://sts.example/v1", document, "/.well-known/oauth-protected-resource/v1"},
		{"https://sts.example/", "https://sts.example/v1", document, "/.well-known/oauth-protected-resource/v1"},
		{"https://acme.example/sts", "https://acme.example/sts/v1", "https://acme.example/.well-known/oauth-protected-resource/sts/v1", "/.well-known/oauth-protected-resource/sts/v1"},
		{"https://acme.example?x", "", "", ""},
		{"acme", "", "", ""},
	} {
		r, err := rpc.ResourceOf(row.issuer)
		if r.Identifier != row.identifier || r.Metadata != row.metadata || (err == nil) != (row.path != "") {
			t.Errorf("%s: %+v, %v", row.issuer, r, err)
		}
		if err == nil && !slices.Contains(r.Paths(), row.path) {
			t.Errorf("%s: %v", row.issuer, r.Paths())
		}
	}
	r, err := rpc.ResourceOf("https://sts.example")
	if err != nil {
		t.Fatal(err)
	}
	want := `{"resource":"https://sts.example/v1","authorization_servers":["https://okta.example"],"bearer_methods_supported":["header"],` +
		`"resource_name":"Lakegate STS","resource_documentation":"https://github.com/lakegate/sts/blob/main/docs/api.md"}`
	if got := string(r.Document([]string{"https://okta.example"})); got != want {
		t.Errorf("%s", got)
	}
}
