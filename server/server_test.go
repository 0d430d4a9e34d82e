package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/fault"
)

const decisionID, summaryID = "decision", "summary"

// service grants all, unless told to do otherwise.
type service struct {
	do func(ctx context.Context)

	mu       sync.Mutex
	failures []exchange.Failure
}

func (s *service) Exchange(ctx context.Context, _ *exchange.Call) (exchange.Answer, error) {
	if s.do != nil {
		s.do(ctx)
	}
	return exchange.Answer{AccessToken: "token", IssuedTokenType: exchange.TypeAccessToken, ExpiresIn: 60, Scopes: []string{"a"}, DecisionID: decisionID}, nil
}

func (s *service) RefuseUnknown(f exchange.Failure) *exchange.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, f)
	refused := *f.Err
	refused.DecisionID = summaryID
	return &refused
}

// clock is moved by tests.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// logs collects what is logged.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logs) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: level}))
}

func registry(t *testing.T) *clients.Registry {
	t.Helper()
	snapshot, err := clients.Prepare([]clients.Registration{{
		Client: exchange.Client{ID: "kong"}, Method: clients.MethodBasic, SecretSHA256: [][32]byte{sha256.Sum256([]byte("secret"))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := clients.New()
	r.Commit(snapshot)
	return r
}

// config is one that works, for tests to change.
func config(t *testing.T, s *service) server.Config {
	return server.Config{
		HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Issuer: "https://sts.example/base",
		JWKS:      func() []byte { return []byte(`{"keys":[]}`) },
		Exchanger: s, Clients: registry(t), Now: newClock().now, Log: slog.New(slog.DiscardHandler),
	}
}

// running is a server at work.
type running struct {
	http, admin string
	client      *http.Client
	stop        context.CancelFunc
	stopped     chan error
}

func start(t *testing.T, c server.Config) *running {
	t.Helper()
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	at, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{
		http: "http://" + at.HTTP.String(), admin: "http://" + at.Admin.String(), stop: cancel, stopped: make(chan error, 1),
		client: &http.Client{Transport: &http.Transport{}},
	}
	go func() { r.stopped <- s.Serve(ctx) }()
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		cancel()
		if err := <-r.stopped; err != nil {
			t.Errorf("stopping: %v", err)
		}
		r.stopped <- nil
	})
	return r
}

func tokenRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url+"/oauth2/token", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("kong", "secret")
	return r
}

var form = url.Values{"grant_type": {exchange.GrantTypeTokenExchange}, "subject_token": {"subject-token"}, "subject_token_type": {string(exchange.TypeJWT)}}.Encode()

func (r *running) do(t *testing.T, request *http.Request) (*http.Response, string) {
	t.Helper()
	answer, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func (r *running) get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.do(t, request)
}

func TestRoutes(t *testing.T) {
	r := start(t, config(t, &service{}))
	for _, row := range []struct {
		url    string
		status int
	}{
		{r.http + "/.well-known/oauth-authorization-server", 200},
		{r.http + "/.well-known/oauth-authorization-server/base", 200},
		{r.http + "/base/.well-known/openid-configuration", 200},
		{r.http + "/.well-known/jwks.json", 200},
		{r.http + "/oauth2/token", 405},
		{r.http + "/base/oauth2/token", 405},
		{r.http + "/oauth2/token/", 404},
		{r.http + "/", 404},
		{r.http + "/metrics", 404},
		{r.http + "/readyz", 404},
		{r.admin + "/livez", 200},
		{r.admin + "/readyz", 200},
		{r.admin + "/metrics", 200},
		{r.admin + "/oauth2/token", 404},
	} {
		if answer, body := r.get(t, row.url); answer.StatusCode != row.status {
			t.Errorf("%s: %d %s", row.url, answer.StatusCode, body)
		}
	}
	if answer, body := r.do(t, tokenRequest(t, r.http)); answer.StatusCode != 200 || !strings.Contains(body, `"access_token":"token"`) {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

func TestUnknownPath(t *testing.T) {
	s := &service{}
	r := start(t, config(t, s))
	answer, body := r.get(t, r.http+"/nothing?subject_token=x")
	var got fault.Body
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != 404 || got.Reason != "not_found" || got.DecisionID != summaryID || len(s.failures) != 1 {
		t.Errorf("%d %+v, %d failures", answer.StatusCode, got, len(s.failures))
	}
	if peer := s.failures[0].Source.Peer; peer != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("peer %v", peer)
	}
}

// I09.
func TestPanic(t *testing.T) {
	var log logs
	s := &service{do: func(context.Context) { panic("boom") }}
	c := config(t, s)
	c.Log = log.logger(slog.LevelInfo)
	r := start(t, c)
	answer, body := r.do(t, tokenRequest(t, r.http))
	var got fault.Body
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != 500 || got.Error != "server_error" || got.Reason != "internal" || got.DecisionID != summaryID || strings.Contains(body, "boom") {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	if len(s.failures) != 1 || !strings.Contains(log.String(), "boom") || !strings.Contains(log.String(), summaryID) {
		t.Errorf("%d failures, log %s", len(s.failures), log.String())
	}
	s.do = nil
	if answer, _ := r.do(t, tokenRequest(t, r.http)); answer.StatusCode != 200 {
		t.Errorf("the next request got %d", answer.StatusCode)
	}
}

func TestMetrics(t *testing.T) {
	c := config(t, &service{})
	metrics := prometheus.NewRegistry()
	c.Metrics, c.Gatherer = metrics, metrics
	r := start(t, c)
	r.do(t, tokenRequest(t, r.http))
	wrong := tokenRequest(t, r.http)
	wrong.SetBasicAuth("kong", "wrong")
	r.do(t, wrong)
	r.get(t, r.admin+"/readyz")
	_, body := r.get(t, r.admin+"/metrics")
	for _, want := range []string{
		`sts_requests_total{entrance="form",outcome="granted",reason=""} 1`,
		`sts_requests_total{entrance="form",outcome="denied",reason="client_authentication_failed"} 1`,
		`sts_request_seconds_count{entrance="form",outcome="granted"} 1`,
		`sts_request_seconds_count{entrance="form",outcome="denied"} 1`,
		`sts_part_ok{part="server"} 1`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	if _, err := server.New(c); err == nil {
		t.Error("registered twice")
	}
}

// A sampled request has a span with what an operator looks for, and no text of the caller's.
func TestTracing(t *testing.T) {
	const trace = "00-4bf92f3577b34da6ffffffffffffffff-00f067aa0ba902b7-01"
	for _, row := range []struct {
		name        string
		ratio       float64
		traceparent string
		spans       int
	}{
		{"all", 1, "", 1},
		{"none", 0, "", 0},
		{"none, whatever the caller says", 0, trace, 0},
		{"a trace that the ratio leaves out", 0.5, trace, 0},
		{"a trace that it takes", 0.5, strings.Replace(trace, "ffffffff", "0fffffff", 1), 1},
		{"all, a malformed parent", 1, "00-zz", 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			exporter := tracetest.NewInMemoryExporter()
			c := config(t, &service{})
			c.Tracing = sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter), sdktrace.WithSampler(sdktrace.AlwaysSample()))
			c.SampleRatio = row.ratio
			r := start(t, c)
			request := tokenRequest(t, r.http)
			request.URL.RawQuery = "q=private"
			if row.traceparent != "" {
				request.Header.Set("traceparent", row.traceparent)
			}
			r.do(t, request)
			r.stop() // the span ends after its answer
			if err := <-r.stopped; err != nil {
				t.Fatal(err)
			}
			r.stopped <- nil
			spans := exporter.GetSpans()
			if len(spans) != row.spans {
				t.Fatalf("%d spans, want %d", len(spans), row.spans)
			}
			for _, span := range spans {
				want := []attribute.KeyValue{attribute.String("decision_id", decisionID), attribute.Int("http.response.status_code", 200)}
				if span.Name != "/oauth2/token" || fmt.Sprint(span.Attributes) != fmt.Sprint(want) {
					t.Errorf("%s %v", span.Name, span.Attributes)
				}
				if row.ratio < 1 && span.Parent.SpanID().String() != "00f067aa0ba902b7" {
					t.Errorf("parent %v", span.Parent)
				}
			}
		})
	}
}

func TestDebugLog(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo} {
		var log logs
		c := config(t, &service{})
		c.Log = log.logger(level)
		r := start(t, c)
		request := tokenRequest(t, r.http)
		request.URL.RawQuery = "q=private"
		r.do(t, request)
		r.get(t, r.http+"/private")
		r.stop()
		if err := <-r.stopped; err != nil {
			t.Fatal(err)
		}
		r.stopped <- nil
		if logged := strings.Contains(log.String(), `"route":"/oauth2/token","status":200`); logged != (level == slog.LevelDebug) {
			t.Errorf("level %v: %s", level, log.String())
		}
		if strings.Contains(log.String(), "private") || strings.Contains(log.String(), "subject-token") {
			t.Errorf("the log holds what a caller wrote: %s", log.String())
		}
	}
}

// A stop lets what is under way finish, takes nothing new, and says so on /readyz.
func TestGracefulStop(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := &service{do: func(ctx context.Context) {
		close(entered)
		<-leave
		if ctx.Err() != nil {
			panic("the request was cancelled")
		}
	}}
	r := start(t, config(t, s))
	type result struct {
		status int
		err    error
	}
	done := make(chan result, 1)
	go func() {
		answer, err := r.client.Do(tokenRequest(t, r.http))
		if err != nil {
			done <- result{err: err}
			return
		}
		done <- result{answer.StatusCode, answer.Body.Close()}
	}()
	<-entered
	r.stop()
	for {
		answer, body := r.get(t, r.admin+"/readyz")
		if answer.StatusCode == http.StatusServiceUnavailable {
			if !strings.Contains(body, `"status":"unready"`) || !strings.Contains(body, "stopping") {
				t.Error(body)
			}
			break
		}
	}
	for { // until the listener is closed, which a stop does next
		c, err := net.Dial("tcp", strings.TrimPrefix(r.http, "http://"))
		if err != nil {
			break
		}
		_ = c.Close()
	}
	close(leave)
	if got := <-done; got.err != nil || got.status != 200 {
		t.Errorf("the request under way ended with %d, %v", got.status, got.err)
	}
	if err := <-r.stopped; err != nil {
		t.Error(err)
	}
	r.stopped <- nil
}

// Over the bound, connections wait; they are not dropped.
func TestConnectionsAreBounded(t *testing.T) {
	c := config(t, &service{})
	c.Connections = 1
	r := start(t, c)
	addr := strings.TrimPrefix(r.http, "http://")
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(c net.Conn) (*bufio.Reader, error) {
		_, err := io.WriteString(c, "GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n")
		return bufio.NewReader(c), err
	}
	answers, err := ask(first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadResponse(answers, nil); err != nil {
		t.Fatal(err)
	}
	second, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	if answers, err = ask(second); err != nil {
		t.Fatal(err)
	}
	if err := second.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := answers.Peek(1); err == nil {
		t.Fatal("a second connection was served beside the first")
	}
	_ = first.Close()
	if err := second.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadResponse(answers, nil); err != nil {
		t.Errorf("once the first was gone: %v", err)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	s := &service{do: func(context.Context) { t.Error("the request came through") }}
	r := start(t, config(t, s))
	request := tokenRequest(t, r.http)
	request.Header.Set("X-Large", strings.Repeat("x", 100<<10))
	answer, err := r.client.Do(request)
	if err != nil {
		return // the server hung up on what it didn't read
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d", answer.StatusCode)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*server.Config)
		want   string
	}{
		{"plaintext to the network", func(c *server.Config) { c.HTTP = "0.0.0.0:0" }, "plaintext"},
		{"plaintext to every address", func(c *server.Config) { c.HTTP = ":0" }, "plaintext"},
		{"no address", func(c *server.Config) { c.HTTP = "" }, "HTTP is missing"},
		{"no key set", func(c *server.Config) { c.JWKS = nil }, "JWKS is missing"},
		{"a certificate that isn't there", func(c *server.Config) { c.CertFile, c.KeyFile = "/nonexistent", "/nonexistent" }, "certificate"},
		{"a bad issuer", func(c *server.Config) { c.Issuer = "sts" }, "issuer"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := config(t, &service{})
			row.change(&c)
			if _, err := server.New(c); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, address := range []string{"localhost:0", "[::1]:0", "127.0.0.2:0"} {
		c := config(t, &service{})
		c.HTTP = address
		if _, err := server.New(c); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	c := config(t, &service{})
	c.HTTP, c.Plaintext = "0.0.0.0:0", true
	if _, err := server.New(c); err != nil {
		t.Error(err)
	}
}

func TestServingBeforeListening(t *testing.T) {
	s, err := server.New(config(t, &service{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context()); err == nil {
		t.Error("served without a listener")
	}
}

func TestAddressInUse(t *testing.T) {
	r := start(t, config(t, &service{}))
	for _, change := range []func(*server.Config){
		func(c *server.Config) { c.HTTP = strings.TrimPrefix(r.http, "http://") },
		func(c *server.Config) { c.Admin = strings.TrimPrefix(r.http, "http://") },
	} {
		c := config(t, &service{})
		change(&c)
		s, err := server.New(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Listen(t.Context()); err == nil {
			t.Error("listened at an address in use")
		}
	}
}

// The endpoint takes what a plain HTTP client sends by hand.
func TestBasicByHand(t *testing.T) {
	r := start(t, config(t, &service{}))
	request := tokenRequest(t, r.http)
	request.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("kong:secret")))
	if answer, body := r.do(t, request); answer.StatusCode != 200 {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

var errPart = errors.New("it is not well")

func TestHealth(t *testing.T) {
	now := newClock()
	var mu sync.Mutex
	var policy, ledger error
	set := func(p, l error) {
		mu.Lock()
		defer mu.Unlock()
		policy, ledger = p, l
	}
	var log logs
	c := config(t, &service{})
	c.Now, c.Log = now.now, log.logger(slog.LevelInfo)
	c.Parts = []server.Part{
		{Name: "policy", Check: func() error { mu.Lock(); defer mu.Unlock(); return policy }},
		{Name: "ledger", Fatal: true, Check: func() error { mu.Lock(); defer mu.Unlock(); return ledger }},
	}
	r := start(t, c)
	began := now.now()
	check := func(status int, whole server.Status, name string, part server.PartHealth) {
		t.Helper()
		answer, body := r.get(t, r.admin+"/readyz")
		var got server.Health
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != status || got.Status != whole || got.Parts[name] != part {
			t.Errorf("%d %s", answer.StatusCode, body)
		}
	}
	check(200, "ok", "policy", server.PartHealth{Status: "ok", Since: began})
	now.forward(time.Minute)
	set(errPart, nil)
	check(200, "degraded", "policy", server.PartHealth{Status: "degraded", Reason: "it is not well", Since: began.Add(time.Minute)})
	now.forward(time.Minute)
	check(200, "degraded", "policy", server.PartHealth{Status: "degraded", Reason: "it is not well", Since: began.Add(time.Minute)})
	set(errPart, errPart)
	check(503, "unready", "ledger", server.PartHealth{Status: "unready", Reason: "it is not well", Since: began.Add(2 * time.Minute)})
	if answer, body := r.get(t, r.admin+"/livez"); answer.StatusCode != 200 || body != `{"status":"ok","parts":{}}`+"\n" {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	now.forward(time.Minute)
	set(nil, nil)
	check(200, "ok", "ledger", server.PartHealth{Status: "ok", Since: began.Add(3 * time.Minute)})
	if n := strings.Count(log.String(), "a part is not well"); n != 2 {
		t.Errorf("%d alarms, want one for each change:\n%s", n, log.String())
	}
}
