package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
)

// single are the parameters that the API has once and as text, under the same names.
var single = []string{
	"subject_token", "subject_token_type", "actor_token", "actor_token_type", "scope", "requested_token_type",
	"client_id", "client_assertion", "client_assertion_type",
}

// naming are those of them that name or prove a client. In a batch they stand beside the requests.
var naming = single[6:]

// member is a member of a JSON object, which may come twice.
type member struct {
	name  string
	value any
}

func (w *world) object(members []member) string {
	w.t.Helper()
	var b strings.Builder
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s:%s", encode(w, m.name), encode(w, m.value))
	}
	return "{" + b.String() + "}"
}

// members is a request as JSON has it: what is repeated there is so here. What isn't JSON or a number is sent as the text
// that it is.
func members(r request) (all []member) {
	for _, name := range single {
		for _, v := range r.Params[name] {
			all = append(all, member{name, v})
		}
	}
	for _, name := range []string{"audience", "resource"} {
		if v, there := r.Params[name]; there {
			all = append(all, member{name, v})
		}
	}
	for _, v := range r.Params["requested_lifetime"] {
		all = append(all, member{"requested_lifetime_seconds", raw(v)})
	}
	for _, v := range r.Params["authorization_details"] {
		all = append(all, member{"authorization_details", raw(v)})
	}
	return all
}

// askJSON sends POST /v1/exchange.
func askJSON(w *world, r request) answer {
	w.t.Helper()
	if r.Raw != nil {
		return w.Do(r.Raw(w))
	}
	return w.Do(w.headed(w.JSONRequest("/v1/exchange", w.object(members(r))), r))
}

// askJSONBatch sends POST /v1/exchange:batch with the request and, so that there is a batch, one that is refused.
func askJSONBatch(w *world, r request) answer {
	w.t.Helper()
	var beside, inside []member
	for _, m := range members(r) {
		if slices.Contains(naming, m.name) {
			beside = append(beside, m)
		} else {
			inside = append(inside, m)
		}
	}
	requests := []json.RawMessage{json.RawMessage(`{"subject_token_type":"other"}`), json.RawMessage(w.object(inside))}
	body := w.object(append(beside, member{"requests", requests}))
	a := w.Do(w.headed(w.JSONRequest("/v1/exchange:batch", body), r))
	if a.Status != http.StatusOK {
		return a
	}
	batch := new(stsv1.BatchExchangeResponse)
	if err := protojson.Unmarshal(a.Body, batch); err != nil {
		w.t.Fatal(err)
	}
	return w.second(batch)
}

func raw(text string) any {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return text
}

func encode(w *world, v any) string {
	w.t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// protoJSON is a message as the API has it in JSON.
func protoJSON(w *world, m proto.Message) string {
	w.t.Helper()
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// message is the request of a row as gRPC has it.
func message(w *world, r request) *stsv1.ExchangeRequest {
	w.t.Helper()
	p := r.Params
	m := &stsv1.ExchangeRequest{
		SubjectToken: p.Get("subject_token"), SubjectTokenType: p.Get("subject_token_type"),
		ActorToken: p.Get("actor_token"), ActorTokenType: p.Get("actor_token_type"),
		Audience: p["audience"], Resource: p["resource"], Scope: p.Get("scope"), RequestedTokenType: p.Get("requested_token_type"),
		ClientId: p.Get("client_id"), ClientAssertion: p.Get("client_assertion"), ClientAssertionType: p.Get("client_assertion_type"),
	}
	if text := p.Get("requested_lifetime"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			w.t.Fatalf("gRPC has no such lifetime: %v", err)
		}
		short := int32(seconds)
		m.RequestedLifetimeSeconds = &short
	}
	if text := p.Get("authorization_details"); text != "" {
		m.AuthorizationDetails = new(structpb.ListValue)
		if err := protojson.Unmarshal([]byte(text), m.AuthorizationDetails); err != nil {
			w.t.Fatalf("gRPC has no such details: %v", err)
		}
	}
	return m
}

// outgoing is a request's header as metadata.
func (w *world) outgoing(r request) context.Context {
	md := metadata.MD{}
	for name, values := range r.Header {
		md.Append(name, values...)
	}
	if basic := w.basic(r); basic != "" {
		md.Append("authorization", basic)
	}
	return metadata.NewOutgoingContext(w.context(), md)
}

// invoke calls a method with an encoded message.
func (w *world) invoke(r request, method string, message []byte, response proto.Message) (header, trailer metadata.MD, err error) {
	w.t.Helper()
	conn := w.kept
	if conn == nil {
		conn = w.GRPC()
		defer func() { _ = conn.Close() }()
	}
	var text []byte
	err = conn.Invoke(w.outgoing(r), method, message, &text, grpc.ForceCodec(rawCodec{}), grpc.Header(&header), grpc.Trailer(&trailer))
	if err == nil {
		err = proto.Unmarshal(text, response)
	}
	return header, trailer, err
}

// rawCodec sends and takes bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (rawCodec) Unmarshal(text []byte, v any) error {
	*v.(*[]byte) = slices.Clone(text)
	return nil
}
func (rawCodec) Name() string { return "proto" }

// askGRPC calls Exchange.
func askGRPC(w *world, r request) answer {
	w.t.Helper()
	response := new(stsv1.ExchangeResponse)
	text := append(wire(w, message(w, r)), again(r, single)...)
	header, trailer, err := w.invoke(r, stsv1.TokenService_Exchange_FullMethodName, text, response)
	return w.grpcAnswer(response, err, header, trailer)
}

// askGRPCBatch calls BatchExchange with the request and, so that there is a batch, one that is refused.
func askGRPCBatch(w *world, r request) answer {
	w.t.Helper()
	one := message(w, r)
	batch := &stsv1.BatchExchangeRequest{
		Requests: []*stsv1.ExchangeRequest{{SubjectTokenType: "other"}},
		ClientId: one.GetClientId(), ClientAssertion: one.GetClientAssertion(), ClientAssertionType: one.GetClientAssertionType(),
	}
	one.ClientId, one.ClientAssertion, one.ClientAssertionType = "", "", ""
	text := wire(w, batch)
	fields := batch.ProtoReflect().Descriptor().Fields()
	text = protowire.AppendTag(text, fields.ByName("requests").Number(), protowire.BytesType)
	text = protowire.AppendBytes(text, append(wire(w, one), again(r, single[:6])...))
	for _, name := range naming {
		for _, v := range rest(r, name) {
			text = protowire.AppendString(protowire.AppendTag(text, fields.ByName(protoreflect.Name(name)).Number(), protowire.BytesType), v)
		}
	}
	response := new(stsv1.BatchExchangeResponse)
	header, trailer, err := w.invoke(r, stsv1.TokenService_BatchExchange_FullMethodName, text, response)
	if err != nil {
		return w.grpcAnswer(nil, err, header, trailer)
	}
	return w.second(response)
}

func wire(w *world, m proto.Message) []byte {
	w.t.Helper()
	text, err := proto.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// again is what of an encoded message comes after the first value of each parameter: a library would not write that.
func again(r request, names []string) (text []byte) {
	fields := new(stsv1.ExchangeRequest).ProtoReflect().Descriptor().Fields()
	for _, name := range names {
		for _, v := range rest(r, name) {
			text = protowire.AppendString(protowire.AppendTag(text, fields.ByName(protoreflect.Name(name)).Number(), protowire.BytesType), v)
		}
	}
	number := fields.ByName("requested_lifetime_seconds").Number()
	for _, v := range rest(r, "requested_lifetime") {
		seconds, _ := strconv.ParseUint(v, 10, 31)
		text = protowire.AppendVarint(protowire.AppendTag(text, number, protowire.VarintType), seconds)
	}
	return text
}

// rest are the values of a repeated parameter that are not in its message yet: all behind the first, and that as well where
// it is empty, which a library leaves out.
func rest(r request, name string) []string {
	switch all := r.Params[name]; {
	case len(all) < 2:
		return nil
	case all[0] == "":
		return all
	default:
		return all[1:]
	}
}

// second is what the second request of a batch was answered. There is no status in that; it follows from the error.
func (w *world) second(batch *stsv1.BatchExchangeResponse) answer {
	w.t.Helper()
	if len(batch.GetResults()) != 2 || batch.GetResults()[0].GetError() == nil {
		w.t.Fatalf("not the results of the batch: %v", batch)
	}
	result := batch.GetResults()[1]
	if granted := result.GetResponse(); granted != nil {
		return w.grpcAnswer(granted, nil, nil, nil)
	}
	e := result.GetError()
	a := answer{
		Error: e.GetError(), Reason: e.GetReason(), Description: e.GetErrorDescription(), DecisionID: e.GetDecisionId(),
		RetryAfter: time.Duration(e.GetRetryAfterSeconds()) * time.Second, Body: []byte(protoJSON(w, e)),
	}
	switch {
	case a.Error == "temporarily_unavailable" && a.Reason == string(exchange.ReasonRateLimited):
		a.Status = http.StatusTooManyRequests
	case a.Error == "temporarily_unavailable":
		a.Status = http.StatusServiceUnavailable
	case a.Error == "server_error" && a.Reason == string(exchange.ReasonInternal):
		a.Status = http.StatusInternalServerError
	case a.Error == "server_error":
		a.Status = http.StatusBadGateway
	default:
		a.Status = http.StatusBadRequest
	}
	w.said.addError(a)
	return a
}

// GRPC is a connection to this world's service.
func (w *world) GRPC() *grpc.ClientConn {
	w.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+w.sts.grpc, grpc.WithTransportCredentials(w.credentials), w.said.watch())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Keeping is the same world, which keeps one connection over gRPC, as its HTTP client does anyway.
func (w *world) Keeping() *world {
	w.t.Helper()
	keeping := *w
	keeping.kept = w.GRPC()
	return &keeping
}

// grpcAnswer is what a call returned, in the words of all entrances. There are no headers in it: the rules for those are
// HTTP's.
func (w *world) grpcAnswer(response *stsv1.ExchangeResponse, err error, header, trailer metadata.MD) answer {
	w.t.Helper()
	if err == nil {
		text := protoJSON(w, response)
		a := answer{Status: http.StatusOK, Body: []byte(text)}
		if err := json.Unmarshal(a.Body, &a); err != nil {
			w.t.Fatal(err)
		}
		return a
	}
	s := status.Convert(err)
	a := answer{Status: httpStatus(s.Code()), Code: s.Code(), Description: s.Message()}
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() != "sts.v1" {
				w.t.Errorf("the domain is %q", d.GetDomain())
			}
			a.Error, a.Reason, a.DecisionID = d.GetMetadata()["error"], d.GetReason(), d.GetMetadata()["decision_id"]
		case *errdetails.RetryInfo:
			a.RetryAfter = d.GetRetryDelay().AsDuration()
		default:
			w.t.Errorf("an unexpected detail: %T", d)
		}
	}
	var said bytes.Buffer
	fmt.Fprintf(&said, "%v %v %v %v %v", s.Code(), s.Message(), s.Details(), header, trailer)
	a.Body = said.Bytes()
	return a
}

// httpStatus is the HTTP status of the same row of the error table.
func httpStatus(code codes.Code) int {
	switch code {
	case codes.InvalidArgument, codes.PermissionDenied:
		return http.StatusBadRequest
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Unavailable, codes.DeadlineExceeded:
		return http.StatusServiceUnavailable
	case codes.FailedPrecondition:
		return http.StatusBadGateway
	case codes.Unimplemented, codes.NotFound:
		return http.StatusNotFound
	default:
		return http.StatusInternalServerError
	}
}
