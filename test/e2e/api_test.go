package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
)

// basic is the Authorization of a request of the API, "" for one without.
func (w *world) basic(r request) string {
	if r.Client == "" {
		return ""
	}
	secret := r.Secret
	if secret == "" {
		secret = w.secrets[r.Client]
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(r.Client)+":"+url.QueryEscape(secret)))
}

// single are the parameters that the API has once and as text, under the same names.
var single = []string{
	"subject_token", "subject_token_type", "actor_token", "actor_token_type", "scope", "requested_token_type",
	"client_id", "client_assertion", "client_assertion_type",
}

// askJSON sends POST /v1/exchange. What isn't JSON or a number is sent as the text that it is.
func askJSON(w *world, r request) answer {
	w.t.Helper()
	body := object{}
	for _, name := range single {
		if v, there := r.Params[name]; there {
			body[name] = v[0]
		}
	}
	for _, name := range []string{"audience", "resource"} {
		if v, there := r.Params[name]; there {
			body[name] = v
		}
	}
	if v := r.Params.Get("requested_lifetime"); v != "" {
		body["requested_lifetime_seconds"] = raw(v)
	}
	if v := r.Params.Get("authorization_details"); v != "" {
		body["authorization_details"] = raw(v)
	}
	req := w.JSONRequest("/v1/exchange", encode(w, body))
	for name, values := range r.Header {
		req.Header[name] = values
	}
	if basic := w.basic(r); basic != "" {
		req.Header.Set("Authorization", basic)
	}
	return w.Do(req)
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

// JSONRequest is a POST of a body to the API, without credentials.
func (w *world) JSONRequest(path, body string) *http.Request {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+w.sts.http+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	return req
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

// askGRPC calls Exchange.
func askGRPC(w *world, r request) answer {
	w.t.Helper()
	md := metadata.MD{}
	for name, values := range r.Header {
		md.Append(name, values...)
	}
	if basic := w.basic(r); basic != "" {
		md.Append("authorization", basic)
	}
	var header, trailer metadata.MD
	response, err := stsv1.NewTokenServiceClient(w.GRPC()).Exchange(metadata.NewOutgoingContext(w.t.Context(), md), message(w, r), grpc.Header(&header), grpc.Trailer(&trailer))
	return w.grpcAnswer(response, err, header, trailer)
}

// GRPC is a connection to this world's service.
func (w *world) GRPC() *grpc.ClientConn {
	w.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+w.sts.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
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
	w.said.addError(a)
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
