package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
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
	r := b0(w)
	for _, f := range change {
		f(&r)
	}
	return e.ask(w, r)
}

// TestRowsM01M05 is the parity that runRows holds row by row, here of one and the same subject token: the three
// entrances hand out the same Databricks token, and leave the same record but for the entrance.
func TestRowsM01M05(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	forwarded := func(r *request) {
		r.Header = http.Header{"X-Forwarded-For": {"203.0.113.7"}, "X-Request-Id": {"req-1"}, "Sts-Route": {"r"}}
	}
	for name, change := range map[string][]func(*request){
		"granted":       {token(w.lasting("ada", "data-eng")), as("tracker"), forwarded},
		"no rule":       {token(w.lasting("bob")), as("tracker"), forwarded},
		"M05":           {token(w.lasting("ada", "data-eng")), func(r *request) { r.Params["audience"] = []string{"prod", "staging"} }},
		"malformed":     {with("subject_token_type", "")},
		"lifetime":      {token(w.lasting("ada", "data-eng")), with("requested_lifetime", "120")},
		"bad lifetime":  {token(w.lasting("ada", "data-eng")), with("requested_lifetime", "0")},
		"zero details":  {token(w.lasting("ada", "details")), with("authorization_details", "[]")},
		"with details":  {token(w.lasting("ada", "details")), with("authorization_details", "["+churnDetail+"]")},
		"other members": {token(w.lasting("ada", "details")), with("authorization_details", `[{"type":"workspace_permission","x":1}]`)},
	} {
		p := parity{}
		var first answer
		for _, e := range entrances {
			a := w.over(e, change...)
			p.add(name, e.name, a)
			if first.Status == 0 {
				first = a
			}
			if a.Status != first.Status || a.Error != first.Error || a.Reason != first.Reason || a.Description != first.Description {
				t.Errorf("%s over %s: %d %s, over %s: %d %s", name, e.name, a.Status, a.Body, entrances[0].name, first.Status, first.Body)
			}
			if a.AccessToken != first.AccessToken || a.Scope != first.Scope || len(a.Details) != len(first.Details) || a.ExpiresIn > first.ExpiresIn {
				t.Errorf("%s over %s: another token than over %s", name, e.name, entrances[0].name)
			}
		}
		if len(w.Exchange(first.DecisionID).Entrance) == 0 {
			t.Errorf("%s: no record", name)
		}
		p.hold(t, w)
	}
}

// TestRowM02 holds the statuses of the error table that a running service can be brought to.
func TestRowM02(t *testing.T) {
	t.Parallel()
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
	var none []byte
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", secret, "x-request-id", secret, "x-forwarded-client-cert", secret)
	err := w.GRPC().Invoke(ctx, "/sts.v1.TokenService/Exchange", []byte(secret), &none, grpc.ForceCodec(rawCodec{}))
	w.grpcAnswer(nil, err, nil, nil)
	err = w.GRPC().Invoke(ctx, "/sts.v1.TokenService/"+strings.ReplaceAll(secret, "/", ""), []byte(secret), &none, grpc.ForceCodec(rawCodec{}))
	w.grpcAnswer(nil, err, nil, nil)
	if !strings.Contains(w.said.errors.String(), "request_malformed") {
		t.Error("there is nothing to look through")
	}
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)   { return v.([]byte), nil }
func (rawCodec) Unmarshal(_ []byte, _ any) error { return nil }
func (rawCodec) Name() string                    { return "proto" }

// TestRowM06 holds that a caller's deadline is his alone: the mint goes on for the others.
func TestRowM06(t *testing.T) {
	t.Parallel()
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
	short, cancel := context.WithTimeout(authorized, 50*time.Millisecond)
	defer cancel()
	if _, err := client.Exchange(short, message(w, r)); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v", err)
	}
	remove()
	if err := <-waiting; err != nil {
		t.Errorf("the other: %v", err)
	}
	if n := w.dbx.Totals()[databricks.TokenRoute].Calls; n != 1 {
		t.Errorf("%d mints", n)
	}
	w.Eventually("the short call is recorded", func() bool {
		for _, e := range w.Of("exchange") {
			if e.Reason == string(exchange.ReasonDeadlineExceeded) && e.Entrance == "grpc" {
				return true
			}
		}
		return false
	})
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

// TestCurl exchanges a token as a person would, over JSON.
func TestCurl(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("curl is not installed; make test installs it")
	}
	w := newWorld(t)
	w.WriteFile("request.json", protoJSON(w, message(w, b0(w))))
	cmd := exec.Command("curl", "-sS", "-u", "kong:"+w.secrets["kong"], "-H", "Content-Type: application/json", "--data", "@request.json", "http://"+w.sts.http+"/v1/exchange")
	cmd.Dir = w.dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(out, &a); err != nil || a.AccessToken == "" {
		t.Fatalf("%v: %s", err, out)
	}
	if status := w.Invoke("churn", a.AccessToken); status != http.StatusOK {
		t.Errorf("the token calls the model: status %d", status)
	}
}
