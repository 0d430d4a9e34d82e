package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator/databricks"
)

// over asks the baseline request with a change through any entrance.
func (w *world) over(e entrance, change ...func(*request)) answer {
	w.t.Helper()
	return w.Through(e).Probe(change...)
}

// TestRowsM01M05 is the parity that every table of rows holds, here of one and the same subject token and without any
// time in between: the entrances hand out the same Databricks token.
func TestRowsM01M05(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada, none, details := w.lasting("ada", "data-eng"), w.lasting("bob"), w.lasting("ada", "details")
	forwarded := func(r *request) {
		r.Header = http.Header{"X-Forwarded-For": {"203.0.113.7"}, "X-Request-Id": {"req-1"}, "Sts-Route": {"r"}}
	}
	h := newHearing(w)
	h.shared = true
	for row, change := range map[string][]func(*request){
		"M01 granted":       {token(ada), as("tracker"), forwarded},
		"M01 no rule":       {token(none), as("tracker"), forwarded},
		"M01 malformed":     {with("subject_token_type", "")},
		"M01 lifetime":      {token(ada), with("requested_lifetime", "120")},
		"M01 bad lifetime":  {token(ada), with("requested_lifetime", "0")},
		"M01 zero details":  {token(details), with("authorization_details", "[]")},
		"M01 with details":  {token(details), with("authorization_details", "["+churnDetail+"]")},
		"M01 other members": {token(details), with("authorization_details", `[{"type":"workspace_permission","x":1}]`)},
		"M05":               {token(ada), func(r *request) { r.Params["audience"] = []string{"prod", "staging"} }},
	} {
		given := ""
		for i, e := range entrances {
			covered.note(row, e.name)
			a := h.through(t, e, row).Ask(change...)
			if i == 0 {
				given = a.AccessToken
			}
			if a.AccessToken != given {
				t.Errorf("%s: another token through %s", row, e.name)
			}
		}
	}
	h.hold(t)
}

// TestRowM02 holds the statuses of the error table that a running service can be brought to.
func TestRowM02(t *testing.T) {
	t.Parallel()
	covered.note("M02", "grpc")
	w := newWorld(t, func(_ *world, s *setup) {
		s.config["clients"].(object)["tracker"].(object)["limits"] = object{"rate": "1/h", "burst": 1}
	})
	overGRPC := entrances[1]
	w.over(overGRPC, as("tracker")) // its burst
	for _, row := range []struct {
		name   string
		change []func(*request)
		code   codes.Code
		retry  bool
	}{
		{"malformed", []func(*request){with("subject_token", "")}, codes.InvalidArgument, false},
		{"client", []func(*request){func(r *request) { r.Secret = "wrong" }}, codes.Unauthenticated, false},
		{"policy", []func(*request){token(w.lasting("ada"))}, codes.PermissionDenied, false},
		{"target", []func(*request){with("audience", "nowhere")}, codes.PermissionDenied, false},
		{"scope", []func(*request){with("scope", "sql")}, codes.InvalidArgument, false},
		{"limit", []func(*request){as("tracker")}, codes.ResourceExhausted, true},
	} {
		a := w.over(overGRPC, row.change...)
		if a.Code != row.code || a.Reason == "" || a.Error == "" || a.DecisionID == "" || (a.RetryAfter > 0) != row.retry {
			t.Errorf("%s: %s", row.name, a.Body)
		}
	}
	w.dbx.RemovePrincipal(mlInference)
	if a := w.over(overGRPC); a.Code != codes.FailedPrecondition {
		t.Errorf("rejected by Databricks: %s", a.Body)
	}
}

func TestRowM03(t *testing.T) {
	t.Parallel()
	covered.note("M03", "grpc")
	w := newWorld(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", w.basicAuth("kong"), "authorization", w.basicAuth("kong"))
	_, err := stsv1.NewTokenServiceClient(w.GRPC()).Exchange(ctx, message(w, b0(w)))
	if a := w.grpcAnswer(nil, err, nil, nil); a.Code != codes.Unauthenticated {
		t.Errorf("%s", a.Body)
	}
}

// TestRowM04 puts secrets where they don't belong. What came back, trailers included, and what was written down is
// looked through at the end of this test as of every other.
func TestRowM04(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := w.Token(nil)
	for _, e := range entrances[1:] {
		covered.note("M04", e.name)
		for _, name := range []string{"subject_token_type", "actor_token", "scope", "requested_token_type", "client_id"} {
			w.over(e, with(name, secret))
		}
		w.over(e, with("audience", secret))
		w.over(e, with("resource", "https://h.example/"+secret))
		w.over(e, with("authorization_details", `[{"type":"`+secret+`"}]`))
		w.over(e, as(secret))
		w.over(e, with("subject_token", secret+"x"))
	}
	for _, body := range []string{
		`{"` + secret + `":1}`, `{"subject_token":["` + secret + `"]}`, `{"subject_token":"` + secret, `{"scope":1,"subject_token":"` + secret + `"}`, secret,
	} {
		req := w.JSONRequest("/v1/exchange", body)
		req.Header.Set("Authorization", w.basicAuth("kong"))
		w.Do(req)
	}

	// The trailers as they are on the wire, which a gRPC library shows in part.
	bad := message(w, change(with("scope", secret, "client_id", secret))(w))
	for name, call := range map[string]struct {
		method  string
		message []byte
		header  http.Header
	}{
		"no message":            {stsv1.TokenService_Exchange_FullMethodName, []byte(secret), nil},
		"of another client":     {stsv1.TokenService_Exchange_FullMethodName, wire(w, bad), nil},
		"no such method":        {"/sts.v1.TokenService/" + strings.ReplaceAll(secret, "/", ""), nil, nil},
		"the token as metadata": {stsv1.TokenService_Exchange_FullMethodName, nil, http.Header{"Authorization": {secret}, "X-Request-Id": {secret}, "X-Forwarded-Client-Cert": {secret}}},
	} {
		trailer := w.trailers(call.method, call.message, call.header)
		if trailer.Get("Grpc-Message") == "" || trailer.Get("Grpc-Status-Details-Bin") == "" {
			t.Errorf("%s: nothing to look through in %v", name, trailer)
		}
	}
	w.Finish()
	for what, said := range map[string]string{
		"errors": w.said.errors.String(), "traces": w.said.traces.String(), "the log": w.sts.Log(),
	} {
		if !strings.Contains(said, "request_malformed") {
			t.Errorf("there is nothing to look through in %s", what)
		}
	}
}

// trailers makes a gRPC call by hand and returns what came behind the answer. All of it is kept for the scan, what is
// encoded also as it is meant.
func (w *world) trailers(method string, message []byte, header http.Header) http.Header {
	w.t.Helper()
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+w.sts.grpc+method, bytes.NewReader(append(frame, message...)))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", w.basicAuth("kong"))
	maps.Copy(req.Header, header)
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	trailer := resp.Trailer
	if trailer.Get("Grpc-Status") == "" {
		trailer = resp.Header // where there is no answer, they come alone
	}
	details, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(trailer.Get("Grpc-Status-Details-Bin"), "="))
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := url.PathUnescape(trailer.Get("Grpc-Message"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.said.addError(answer{Header: trailer, Body: slices.Concat(body, details, []byte(text))})
	return trailer
}

// TestRowM06 holds that a caller's deadline is his alone: the mint goes on for the others.
func TestRowM06(t *testing.T) {
	t.Parallel()
	covered.note("M06", "grpc")
	w := newWorld(t)
	ada := w.lasting("ada", "data-eng")
	remove := w.dbx.AddFault(hold())
	r := b0(w)
	r.Params.Set("subject_token", ada)
	client := stsv1.NewTokenServiceClient(w.GRPC())
	authorized := metadata.AppendToOutgoingContext(t.Context(), "authorization", w.basicAuth("kong"))
	waiting := make(chan error, 1)
	go func() { _, err := client.Exchange(authorized, message(w, r)); waiting <- err }()
	if err := w.dbx.WaitCalls(t.Context(), databricks.TokenRoute, 1); err != nil {
		t.Fatal(err)
	}
	w.Eventually("a short call is recorded", func() bool { // on a busy machine the first may end before it has begun
		short, cancel := context.WithTimeout(authorized, 50*time.Millisecond)
		defer cancel()
		if _, err := client.Exchange(short, message(w, r)); status.Code(err) != codes.DeadlineExceeded {
			t.Fatalf("%v", err)
		}
		return slices.ContainsFunc(w.Of("exchange"), func(e record) bool {
			return e.Reason == string(exchange.ReasonDeadlineExceeded) && e.Entrance == "grpc"
		})
	})
	remove()
	if err := <-waiting; err != nil {
		t.Errorf("the other: %v", err)
	}
	if n := w.dbx.Totals()[databricks.TokenRoute].Calls; n != 1 {
		t.Errorf("%d mints", n)
	}
}

// TestBatch holds that the requests of a batch are exchanges like all others: in their order, each with its own outcome
// and record.
func TestBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	requests := []*stsv1.ExchangeRequest{}
	for i := range 60 {
		r := b0(w)
		switch i % 3 {
		case 0:
			r.Params.Set("subject_token", w.lasting(fmt.Sprint("sub-", i), "data-eng"))
		case 1:
			r.Params.Set("subject_token", w.lasting(fmt.Sprint("sub-", i)))
		case 2:
			r.Params.Set("subject_token_type", "x")
		}
		requests = append(requests, message(w, r))
	}
	type result struct {
		Response, Error *struct {
			AccessToken string `json:"access_token"`
			Reason      string
			DecisionID  string `json:"decision_id"`
		}
	}
	hold := func(entrance string, results []result) {
		t.Helper()
		if len(results) != len(requests) {
			t.Fatalf("%s: %d results", entrance, len(results))
		}
		for i, r := range results {
			want := []string{"", "no_matching_rule", "token_type_unsupported"}[i%3]
			if want == "" && (r.Response == nil || r.Response.AccessToken == "") || want != "" && (r.Error == nil || r.Error.Reason != want) {
				t.Fatalf("%s: result %d is %+v", entrance, i, r)
			}
			id := ""
			if r.Response != nil {
				id = r.Response.DecisionID
			} else {
				id = r.Error.DecisionID
			}
			if got := w.Exchange(id); got.Entrance != entrance || got.Reason != want || i%3 == 0 && got.Subject.Sub != fmt.Sprint("sub-", i) {
				t.Fatalf("%s: result %d is recorded as %+v", entrance, i, got)
			}
		}
	}
	batch := &stsv1.BatchExchangeRequest{Requests: requests}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", w.basicAuth("kong"))
	answered, err := stsv1.NewTokenServiceClient(w.GRPC()).BatchExchange(ctx, batch)
	if err != nil {
		t.Fatal(err)
	}
	var results []result
	for _, r := range answered.GetResults() {
		var one result
		if err := json.Unmarshal([]byte(protoJSON(w, r)), &one); err != nil {
			t.Fatal(err)
		}
		results = append(results, one)
	}
	hold("grpc", results)

	req := w.JSONRequest("/v1/exchange:batch", protoJSON(w, batch))
	req.Header.Set("Authorization", w.basicAuth("kong"))
	a := w.Do(req)
	var body struct{ Results []result }
	if err := json.Unmarshal(a.Body, &body); err != nil || a.Status != http.StatusOK {
		t.Fatalf("%d, %v: %s", a.Status, err, a.Body)
	}
	hold("json", body.Results)
	if n := w.dbx.Mints(""); n != 1 {
		t.Errorf("%d mints for one principal", n)
	}
}

// TestHealthOverGRPC holds that grpc.health.v1 says what /readyz says.
func TestHealthOverGRPC(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	is, err := healthv1.NewHealthClient(w.GRPC()).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || is.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", is, err)
	}
}
