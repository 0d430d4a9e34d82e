package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/google/go-cmp/cmp"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/rpc"
)

// raw sends bytes as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)   { return v.([]byte), nil }
func (raw) Unmarshal(_ []byte, _ any) error { return nil }
func (raw) Name() string                    { return "proto" }

// infoOf is the ErrorInfo of a status.
func infoOf(s *status.Status) *errdetails.ErrorInfo {
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

func wantError(t *testing.T, err error, code codes.Code, reason exchange.Reason) {
	t.Helper()
	s := status.Convert(err)
	info := infoOf(s)
	if s.Code() != code || info.GetReason() != string(reason) || info.GetMetadata()["decision_id"] == "" {
		t.Errorf("%v %v, want %v %s", s, info, code, reason)
	}
}

func TestExchange(t *testing.T) {
	b := newBench(t)
	seconds := int32(60)
	detail, err := structpb.NewStruct(map[string]any{"type": "x"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.client.Exchange(as(t, "authorization", kong, "x-forwarded-for", "203.0.113.7", "x-request-id", "r1"), &stsv1.ExchangeRequest{
		SubjectToken: "s", SubjectTokenType: "st", ActorToken: "a", ActorTokenType: "at", Audience: []string{"prod"}, Resource: []string{"https://h"},
		Scope: "x y", RequestedTokenType: "rt", RequestedLifetimeSeconds: &seconds,
		AuthorizationDetails: &structpb.ListValue{Values: []*structpb.Value{structpb.NewStructValue(detail)}},
	})
	if err != nil || got.GetAccessToken() != "s" || got.GetExpiresIn() != 600 || got.GetScope() != "a b" || got.GetTokenType() != "Bearer" {
		t.Fatalf("%v, %v", got, err)
	}
	if d := got.GetDelegation(); d.GetChain() != "in_record_only" || d.GetDecisionId() != got.GetDecisionId() || d.GetActors() != 1 {
		t.Errorf("G20: delegation %v", d)
	}
	call := b.exchanger.last(t)
	want := exchange.Params{
		GrantType: exchange.GrantTypeTokenExchange, SubjectToken: "s", SubjectTokenType: "st", ActorToken: "a", ActorTokenType: "at",
		RequestedTokenType: "rt", Audience: []string{"prod"}, Resource: []string{"https://h"}, Scope: "x y",
		RequestedLifetime: "60", AuthorizationDetails: `[{"type":"x"}]`,
	}
	call.Params.AuthorizationDetails = strings.ReplaceAll(call.Params.AuthorizationDetails, " ", "")
	if diff := cmp.Diff(want, call.Params, cmp.AllowUnexported(exchange.Params{})); diff != "" {
		t.Error(diff)
	}
	if call.Entrance != "grpc" || call.Source.Peer.String() != "127.0.0.1" || call.Source.Claimed.Source != "203.0.113.7" || call.Source.Claimed.RequestID != "r1" {
		t.Errorf("%s from %+v", call.Entrance, call.Source)
	}
	if b.grpc.of("") != 1 {
		t.Errorf("counted %v", b.grpc.count)
	}
}

func TestRefusals(t *testing.T) {
	const method = stsv1.TokenService_Exchange_FullMethodName
	bytesCall := func(b *bench, ctx context.Context, method string, message []byte) error {
		var none []byte
		return b.conn.Invoke(ctx, method, message, &none, grpc.ForceCodec(raw{}))
	}
	call := func(token string) func(*bench, context.Context) error {
		return func(b *bench, ctx context.Context) error {
			_, err := b.client.Exchange(ctx, &stsv1.ExchangeRequest{SubjectToken: token})
			return err
		}
	}
	send := func(method string, message []byte) func(*bench, context.Context) error {
		return func(b *bench, ctx context.Context) error { return bytesCall(b, ctx, method, message) }
	}
	for _, row := range []struct {
		name     string
		metadata []string
		call     func(*bench, context.Context) error
		code     codes.Code
		reason   exchange.Reason
	}{
		{"no authorization", nil, call("s"), codes.Unauthenticated, exchange.ReasonClientAuthenticationFailed},
		{"M03 two authorizations", []string{"authorization", kong, "authorization", kong}, call("s"), codes.Unauthenticated, exchange.ReasonClientAuthenticationFailed},
		{"another scheme", []string{"authorization", "Bearer x"}, call("s"), codes.Unauthenticated, exchange.ReasonClientAuthenticationFailed},
		{"metadata of all kinds", []string{"authorization", kong, "x-forwarded-for", ",;:", "traceparent", "00-zz", "grpc-tags-bin", "\x00\xff", "te", "x", "x-forwarded-client-cert", "Cert=%"}, call("denied"), codes.PermissionDenied, exchange.ReasonNoMatchingRule},
		{"denied", []string{"authorization", kong}, call("denied"), codes.PermissionDenied, exchange.ReasonNoMatchingRule},
		{"limited", []string{"authorization", kong}, call("limited"), codes.ResourceExhausted, exchange.ReasonRateLimited},
		{"panic", []string{"authorization", kong}, call("panic"), codes.Internal, exchange.ReasonInternal},
		{"too large", []string{"authorization", kong}, call(strings.Repeat("x", 257<<10)), codes.InvalidArgument, exchange.ReasonRequestMalformed},
		{"no message", nil, send(method, []byte{0xff}), codes.InvalidArgument, exchange.ReasonRequestMalformed},
		{"unknown field", nil, send(method, protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)), codes.InvalidArgument, exchange.ReasonRequestMalformed},
		{"unknown method", nil, send("/sts.v1.TokenService/Steal", nil), codes.Unimplemented, "not_found"},
		{"unknown service", nil, send("/sts.v2.TokenService/Exchange", nil), codes.Unimplemented, "not_found"},
		{"no method", nil, send("/x", nil), codes.Unimplemented, "not_found"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			wantErrorOr(t, row.name, row.call(b, as(t, row.metadata...)), row.code, row.reason)
			if row.name != "no method" && b.grpc.of(row.reason) != 1 {
				t.Errorf("counted %v", b.grpc.count)
			}
		})
	}
}

// wantErrorOr is wantError, but for a path that gRPC itself refuses: it isn't ours to say more there.
func wantErrorOr(t *testing.T, name string, err error, code codes.Code, reason exchange.Reason) {
	t.Helper()
	if name == "no method" {
		if status.Code(err) != code {
			t.Errorf("%v, want %v", err, code)
		}
		return
	}
	wantError(t, err, code, reason)
}

// A field that is unknown deep in a batch is found, too.
func TestUnknownFieldInABatch(t *testing.T) {
	b := newBench(t)
	inner := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)
	message := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner)
	var none []byte
	err := b.conn.Invoke(as(t, "authorization", kong), stsv1.TokenService_BatchExchange_FullMethodName, message, &none, grpc.ForceCodec(raw{}))
	wantError(t, err, codes.InvalidArgument, exchange.ReasonRequestMalformed)
}

func TestDeadline(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithTimeout(as(t, "authorization", kong), 50*time.Millisecond)
	defer cancel()
	if _, err := b.client.Exchange(ctx, &stsv1.ExchangeRequest{SubjectToken: "wait"}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v", err)
	}
}

func TestTooManyCalls(t *testing.T) {
	b := newBench(t, func(_ *rpc.Config, c *rpc.ServerConfig) { c.Calls = 1 })
	ctx, leave := context.WithCancel(as(t, "authorization", kong))
	left := make(chan error, 1)
	go func() {
		_, err := b.client.Exchange(ctx, &stsv1.ExchangeRequest{SubjectToken: "wait"})
		left <- err
	}()
	eventually(t, func() bool {
		b.exchanger.mu.Lock()
		defer b.exchanger.mu.Unlock()
		return len(b.exchanger.calls) == 1
	})
	_, err := b.client.Exchange(as(t, "authorization", kong), &stsv1.ExchangeRequest{SubjectToken: "s"})
	wantError(t, err, codes.Unavailable, exchange.ReasonOverloaded)
	leave()
	if err := <-left; status.Code(err) != codes.Canceled {
		t.Errorf("the first: %v", err)
	}
	eventually(t, func() bool { // the place is free again
		_, err := b.client.Exchange(as(t, "authorization", kong), &stsv1.ExchangeRequest{SubjectToken: "s"})
		return err == nil
	})
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

// A batch answers each request in its place, whatever became of the others.
func TestBatch(t *testing.T) {
	b := newBench(t)
	const n = 1000
	r := &stsv1.BatchExchangeRequest{}
	for i := range n {
		token := fmt.Sprint("s", i)
		switch i % 10 {
		case 3:
			token = "denied"
		case 5:
			token = "limited"
		case 7:
			token = "panic"
		}
		r.Requests = append(r.Requests, &stsv1.ExchangeRequest{SubjectToken: token})
	}
	got, err := b.client.BatchExchange(as(t, "authorization", kong), r)
	if err != nil || len(got.GetResults()) != n {
		t.Fatalf("%d results, %v", len(got.GetResults()), err)
	}
	for i, result := range got.GetResults() {
		want := map[int]string{3: "no_matching_rule", 5: "rate_limited", 7: "internal"}[i%10]
		if result.GetError().GetReason() != want || want == "" && result.GetResponse().GetAccessToken() != fmt.Sprint("s", i) {
			t.Fatalf("result %d is %v", i, result)
		}
		if failed := result.GetError(); failed != nil && (failed.GetDecisionId() == "" || failed.GetErrorUri() == "" || (failed.GetRetryAfterSeconds() == 1) != (want == "rate_limited")) {
			t.Fatalf("result %d is %v", i, result)
		}
	}
	if b.grpc.of("") != n*7/10 || b.grpc.of(exchange.ReasonNoMatchingRule) != n/10 {
		t.Errorf("counted %v", b.grpc.count)
	}
}

func TestBatchIsRefused(t *testing.T) {
	one := &stsv1.ExchangeRequest{SubjectToken: "s"}
	many := make([]*stsv1.ExchangeRequest, 1001)
	for i := range many {
		many[i] = one
	}
	for _, row := range []struct {
		name     string
		requests []*stsv1.ExchangeRequest
		header   string
		code     codes.Code
		reason   exchange.Reason
	}{
		{"empty", nil, kong, codes.InvalidArgument, exchange.ReasonRequestMalformed},
		{"too many", many, kong, codes.InvalidArgument, exchange.ReasonRequestMalformed},
		{"a client within", []*stsv1.ExchangeRequest{one, {ClientId: "other"}}, kong, codes.InvalidArgument, exchange.ReasonRequestMalformed},
		{"an assertion within", []*stsv1.ExchangeRequest{{ClientAssertion: "x"}}, kong, codes.InvalidArgument, exchange.ReasonRequestMalformed},
		{"nobody's", []*stsv1.ExchangeRequest{one}, "Basic eDp5", codes.Unauthenticated, exchange.ReasonClientAuthenticationFailed},
	} {
		b := newBench(t)
		_, err := b.client.BatchExchange(as(t, "authorization", row.header), &stsv1.BatchExchangeRequest{Requests: row.requests})
		wantError(t, err, row.code, row.reason)
		if len(b.exchanger.calls) > 0 || b.grpc.of(row.reason) != 1 {
			t.Errorf("%s: %d calls, counted %v", row.name, len(b.exchanger.calls), b.grpc.count)
		}
	}
}

// Health is what was reported last, and a watch doesn't outlive the server.
func TestHealth(t *testing.T) {
	b := newBench(t)
	client := healthv1.NewHealthClient(b.conn)
	watch, err := client.Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next := func() healthv1.HealthCheckResponse_ServingStatus {
		t.Helper()
		is, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return is.GetStatus()
	}
	if is := next(); is != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("before anything is known: %v", is)
	}
	b.server.Report(true)
	if is := next(); is != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("ready: %v", is)
	}
	if is, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "sts.v1.TokenService"}); err != nil || is.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("by its name: %v, %v", is, err)
	}
	b.server.Report(false)
	if is := next(); is != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("unready: %v", is)
	}
}

func TestReflection(t *testing.T) {
	for _, on := range []bool{true, false} {
		b := newBench(t, func(_ *rpc.Config, c *rpc.ServerConfig) { c.Reflection = on })
		stream, err := reflectionv1.NewServerReflectionClient(b.conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if on && (err != nil || !strings.Contains(got.String(), "sts.v1.TokenService")) {
			t.Errorf("%v, %v", got, err)
		}
		if !on && status.Code(err) != codes.Unimplemented {
			t.Errorf("it is off, and answers %v, %v", got, err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
	}
}
