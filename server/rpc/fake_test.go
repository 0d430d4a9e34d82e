package rpc_test

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/rpc"
)

// exchanger answers by the subject token: "panic" panics, "wait" waits for the end of the call, "limited", "denied" and
// "broken" fail, "stuck" waits for stuck whatever the caller does, and every other is granted and comes back as the access
// token.
type exchanger struct {
	stuck    chan struct{}
	mu       sync.Mutex
	calls    []exchange.Call
	failures []exchange.Failure
	// found is what introspection answers, and inquiries what was asked.
	found     exchange.Introspection
	inquiries []exchange.Inquiry
}

func (e *exchanger) Introspect(ctx context.Context, q *exchange.Inquiry) (exchange.Introspection, error) {
	return e.found, e.Revoke(ctx, q)
}

// Revoke does, but for the token "others".
func (e *exchanger) Revoke(_ context.Context, q *exchange.Inquiry) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inquiries = append(e.inquiries, *q)
	if q.Token == "others" {
		err := exchange.Refuse(exchange.CodeUnauthorizedClient, exchange.ReasonClientNotAllowed, "refused")
		err.DecisionID = "recorded"
		return err
	}
	return nil
}

func (e *exchanger) Exchange(ctx context.Context, call *exchange.Call) (exchange.Answer, error) {
	e.mu.Lock()
	e.calls = append(e.calls, *call)
	e.mu.Unlock()
	refuse := func(code exchange.Code, reason exchange.Reason) *exchange.Error {
		err := exchange.Refuse(code, reason, "refused").After(time.Second)
		err.DecisionID = "recorded"
		return err
	}
	switch token := call.Params.SubjectToken.Reveal(); token {
	case "panic":
		panic("out of order")
	case "wait":
		<-ctx.Done()
		err := exchange.AsError(ctx.Err())
		err.DecisionID = "recorded"
		return exchange.Answer{}, err
	case "stuck":
		<-e.stuck
		return exchange.Answer{}, refuse(exchange.CodeNotGranted, exchange.ReasonNoMatchingRule)
	case "limited":
		return exchange.Answer{}, refuse(exchange.CodeRateLimited, exchange.ReasonRateLimited)
	case "denied":
		return exchange.Answer{}, refuse(exchange.CodeNotGranted, exchange.ReasonNoMatchingRule)
	default:
		return exchange.Answer{
			AccessToken: exchange.Secret(token), IssuedTokenType: exchange.TypeAccessToken, ExpiresIn: 600,
			Scopes: []string{"a", "b"}, DecisionID: "granted", Actors: len(call.Params.ActorToken),
			Details: exchange.Details{{Type: exchange.DetailTypeWorkspacePermission, ObjectType: "t", ObjectPath: "/p", Actions: []string{"x"}}},
		}, nil
	}
}

func (e *exchanger) RefuseUnknown(f exchange.Failure) *exchange.Error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures = append(e.failures, f)
	refused := *f.Err
	refused.DecisionID = "summed up"
	return &refused
}

// count is how many calls came through.
func (e *exchanger) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.calls)
}

// last is the last call that came through.
func (e *exchanger) last(t *testing.T) exchange.Call {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.calls) == 0 {
		t.Fatal("no call came through")
	}
	return e.calls[len(e.calls)-1]
}

// observer counts answers by reason.
type observer struct {
	mu    sync.Mutex
	count map[exchange.Reason]int
}

func (o *observer) Observe(err *exchange.Error, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count == nil {
		o.count = map[exchange.Reason]int{}
	}
	reason := exchange.Reason("")
	if err != nil {
		reason = err.Reason
	}
	o.count[reason]++
}

func (o *observer) of(reason exchange.Reason) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count[reason]
}

// bench is an API that is served both ways.
type bench struct {
	exchanger  *exchanger
	grpc, json *observer

	introspected, revoked *observer

	api     *rpc.API
	server  *rpc.Server
	conn    *grpc.ClientConn
	client  stsv1.TokenServiceClient
	web     *httptest.Server
	address string          // of the server
	h2      *http.Transport // for calls by hand
}

func newBench(t *testing.T, change ...func(*rpc.Config, *rpc.ServerConfig)) *bench {
	t.Helper()
	registry, err := clients.New(clients.Config{})
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := clients.Prepare([]clients.Registration{{
		Client: exchange.Client{ID: "kong", ForwardsSource: true}, Method: clients.MethodBasic, SecretSHA256: [][32]byte{sha256.Sum256([]byte("secret"))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	registry.Commit(snapshot)
	b := &bench{exchanger: &exchanger{}, grpc: &observer{}, json: &observer{}, introspected: &observer{}, revoked: &observer{}}
	c := rpc.Config{
		Exchanger: b.exchanger, Inquirer: b.exchanger, Introspections: b.introspected, Revocations: b.revoked, Clients: registry, GRPC: b.grpc, JSON: b.json, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	sc := rpc.ServerConfig{Calls: 100}
	for _, f := range change {
		f(&c, &sc)
	}
	api, err := rpc.New(c)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := api.JSON()
	if err != nil {
		t.Fatal(err)
	}
	b.api, b.web = api, httptest.NewServer(handler)
	t.Cleanup(b.web.Close)
	b.serve(t, api.Server(sc))
	return b
}

func (b *bench) serve(t *testing.T, s *rpc.Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	b.server, b.address = s, l.Addr().String()
	b.h2 = &http.Transport{Protocols: new(http.Protocols)}
	b.h2.Protocols.SetUnencryptedHTTP2(true)
	b.conn, err = grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	b.client = stsv1.NewTokenServiceClient(b.conn)
	t.Cleanup(func() {
		b.h2.CloseIdleConnections()
		_ = b.conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if !s.Stop(ctx) {
			t.Error("calls were cut off")
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// kong is the credential of the one client.
const kong = "Basic a29uZzpzZWNyZXQ="

func withMetadata(ctx context.Context, pairs ...string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// as is a context with this metadata.
func as(t *testing.T, pairs ...string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), pairs...)
}

// post is a good JSON request with another body.
func (b *bench) post(t *testing.T, path, body string) *http.Request {
	t.Helper()
	u, err := url.Parse(b.web.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path, u.RawPath = path, ""
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u.String(), bodyOf(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", kong)
	return r
}
