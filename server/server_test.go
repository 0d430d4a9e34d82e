package server_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/server"
	"github.com/lakegate/sts/server/fault"
)

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
