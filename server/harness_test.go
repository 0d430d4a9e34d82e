package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server"
	"github.com/lakegate/sts/server/clients"
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

func (s *service) Introspect(context.Context, *exchange.Inquiry) (exchange.Introspection, error) {
	return exchange.Introspection{}, nil
}

func (s *service) Revoke(context.Context, *exchange.Inquiry) error { return nil }

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
	r, err := clients.New(clients.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r.Commit(snapshot)
	return r
}

// config is one that works, for tests to change.
func config(t *testing.T, s *service) server.Config {
	return server.Config{
		HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Issuer: "https://sts.example/base",
		JWKS:      func() []byte { return []byte(`{"keys":[]}`) },
		Exchanger: s, Inquirer: s, Clients: registry(t), Now: newClock().now, Log: slog.New(slog.DiscardHandler),
	}
}

// running is a server at work.
type running struct {
	http, grpc, admin string
	client            *http.Client
	stop              context.CancelFunc
	stopped           chan error
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
		http: "http://" + at.HTTP.String(), grpc: at.GRPC.String(), admin: "http://" + at.Admin.String(), stop: cancel, stopped: make(chan error, 1),
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
