package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server"
	"github.com/lakegate/sts/server/clients"
)

func dial(t *testing.T, r *running) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+r.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// All entrances count under their names, and sampled calls have spans.
func TestEntrances(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	metrics := prometheus.NewRegistry()
	c := config(t, &service{})
	c.GRPC, c.Metrics, c.Gatherer = "127.0.0.1:0", metrics, metrics
	c.Tracing, c.SampleRatio = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)), 1
	r := start(t, c)
	request := &stsv1.ExchangeRequest{SubjectToken: "subject-token", SubjectTokenType: string(exchange.TypeJWT)}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Basic a29uZzpzZWNyZXQ=",
		"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if _, err := stsv1.NewTokenServiceClient(dial(t, r)).Exchange(ctx, request); err != nil {
		t.Fatal(err)
	}
	asJSON, err := http.NewRequest(http.MethodPost, r.http+"/v1/exchange", strings.NewReader(`{"subject_token":"subject-token","subject_token_type":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	asJSON.Header.Set("Content-Type", "application/json")
	asJSON.SetBasicAuth("kong", "secret")
	if answer, body := r.do(t, asJSON); answer.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	_, body := r.get(t, r.admin+"/metrics")
	for _, entrance := range []string{"grpc", "json"} {
		if want := `sts_requests_total{entrance="` + entrance + `",outcome="granted",reason=""} 1`; !strings.Contains(body, want+"\n") {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	names := map[string]string{}
	for _, s := range spans.Ended() {
		names[s.Name()] = s.SpanContext().TraceID().String()
		for _, a := range s.Attributes() {
			if strings.Contains(a.Value.String(), "subject-token") {
				t.Errorf("a span tells %v", a)
			}
		}
	}
	if names[stsv1.TokenService_Exchange_FullMethodName] != "4bf92f3577b34da6a3ce929d0e0e4736" || names["/v1/exchange"] == "" {
		t.Errorf("spans %v", names)
	}
}

// gRPC's health is that of /readyz.
func TestGRPCHealth(t *testing.T) {
	c := config(t, &service{})
	c.GRPC = "127.0.0.1:0"
	r := start(t, c)
	client := healthv1.NewHealthClient(dial(t, r))
	is, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || is.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", is, err)
	}
}

func TestGRPCPlaintext(t *testing.T) {
	c := config(t, &service{})
	c.GRPC = "0.0.0.0:0"
	if _, err := server.New(c); err == nil || !strings.Contains(err.Error(), "listen.grpc") {
		t.Errorf("plaintext at all hosts: %v", err)
	}
}

func TestOpenAPI(t *testing.T) {
	r := start(t, config(t, &service{}))
	answer, body := r.get(t, r.http+"/openapi.json")
	var document struct {
		Swagger string
		Paths   map[string]map[string]struct{ Responses map[string]any }
	}
	if err := json.Unmarshal([]byte(body), &document); err != nil || answer.StatusCode != http.StatusOK || document.Swagger != "2.0" {
		t.Fatalf("%d, %v", answer.StatusCode, err)
	}
	for _, path := range []string{"/v1/exchange", "/v1/exchange:batch"} {
		if post, there := document.Paths[path]["post"]; !there || post.Responses["default"] == nil {
			t.Errorf("%s is not described", path)
		}
	}
	post, err := http.NewRequest(http.MethodPost, r.http+"/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer, _ := r.do(t, post); answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", answer.StatusCode, answer.Header)
	}
}

// gRPC has the certificate of HTTP, asks for those of clients as HTTP does, and hands them to the same authentication.
func TestGRPCOverTLS(t *testing.T) {
	now := newClock()
	c := config(t, &service{})
	var seen clients.Credentials
	c.Clients = authenticator(func(credentials clients.Credentials) { seen = credentials })
	c.GRPC, c.Now = "127.0.0.1:0", now.now
	c.CertFile, c.KeyFile = writeCertificate(t, t.TempDir(), 1, now.now())
	c.ClientCAs = x509.NewCertPool
	r := start(t, c)
	r.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	certFile, keyFile := writeCertificate(t, t.TempDir(), 7, now.now())
	own, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	secure := credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}})
	conn, err := grpc.NewClient("passthrough:///"+r.grpc, grpc.WithTransportCredentials(secure))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := stsv1.NewTokenServiceClient(conn).Exchange(t.Context(), &stsv1.ExchangeRequest{SubjectToken: "s", ClientId: "kong"}); err != nil {
		t.Fatal(err)
	}
	if len(seen.Certificates) != 1 || seen.Certificates[0].SerialNumber.Int64() != 7 || seen.ClientID != "kong" {
		t.Errorf("authenticated by %d certificates as %q", len(seen.Certificates), seen.ClientID)
	}
	if got := serial(t, r.grpc); got != 1 {
		t.Errorf("certificate %d", got)
	}
	plain := dial(t, r)
	if _, err := healthv1.NewHealthClient(plain).Check(t.Context(), &healthv1.HealthCheckRequest{}); err == nil {
		t.Error("plaintext is answered")
	}
}

// authenticator takes everybody for kong, and shows what he came with.
type authenticator func(clients.Credentials)

func (a authenticator) Authenticate(_ context.Context, c clients.Credentials) (*exchange.Client, error) {
	a(c)
	return &exchange.Client{ID: "kong"}, nil
}

// The API describes itself as a protected resource where RFC 9728 looks, and where a proxy that takes the issuer's path
// off would.
func TestResourceMetadata(t *testing.T) {
	issuers := []string{"https://okta.example"}
	c := config(t, &service{})
	c.BearerIssuers = func() []string { return issuers }
	r := start(t, c)
	for _, path := range []string{"/.well-known/oauth-protected-resource/base/v1", "/.well-known/oauth-protected-resource/v1"} {
		answer, body := r.get(t, r.http+path)
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/json" ||
			!strings.Contains(body, `"resource":"https://sts.example/base/v1"`) || !strings.Contains(body, `"authorization_servers":["https://okta.example"]`) {
			t.Errorf("%s: %d %v %s", path, answer.StatusCode, answer.Header, body)
		}
	}
	issuers = nil
	if _, body := r.get(t, r.http+"/.well-known/oauth-protected-resource/v1"); strings.Contains(body, "authorization_servers") {
		t.Errorf("policy lets nobody in any more: %s", body)
	}
}
