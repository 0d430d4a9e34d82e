package outbound_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/internal/outbound"
)

// serve answers every request by handle.
func serve(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.URL
}

// get reads url to the end.
func get(ctx context.Context, c *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func TestBodyBound(t *testing.T) {
	for _, test := range []struct {
		name   string
		bytes  int
		length bool // says Content-Length
		want   error
	}{
		{"below the bound", 99, true, nil},
		{"at the bound", 100, true, nil},
		{"at the bound, chunked", 100, false, nil},
		{"past the bound", 101, true, outbound.ErrTooLarge},
		{"past the bound, chunked", 101, false, outbound.ErrTooLarge},
		{"far past the bound, chunked", 1 << 20, false, outbound.ErrTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if !test.length {
					w.(http.Flusher).Flush()
				}
				_, _ = io.WriteString(w, strings.Repeat("x", test.bytes))
			})
			text, err := get(t.Context(), outbound.New(outbound.Config{MaxBytes: 100}), url)
			if !errors.Is(err, test.want) || (test.want == nil && len(text) != test.bytes) || len(text) > 100 {
				t.Errorf("read %d bytes and %v, want %v", len(text), err, test.want)
			}
		})
	}
}

func TestRedirectsAreRefused(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		followed := false
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/next" {
				followed = true
				return
			}
			http.Redirect(w, r, "/next", status)
		})
		if _, err := get(t.Context(), outbound.New(outbound.Config{}), url); !errors.Is(err, outbound.ErrRedirect) || followed {
			t.Errorf("%d: followed %t, error %v; want ErrRedirect", status, followed, err)
		}
		// A library may wrap a client of its own around the transport.
		own := &http.Client{Transport: outbound.New(outbound.Config{}).Transport}
		if _, err := get(t.Context(), own, url); !errors.Is(err, outbound.ErrRedirect) || followed {
			t.Errorf("%d, own client: followed %t, error %v; want ErrRedirect", status, followed, err)
		}
	}
}

func TestTimeoutIsOurs(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	for _, test := range []struct {
		name   string
		handle http.HandlerFunc
	}{
		{"no header", func(_ http.ResponseWriter, r *http.Request) { wait(r, release) }},
		{"no end of body", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			wait(r, release)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := get(t.Context(), outbound.New(outbound.Config{Timeout: 50 * time.Millisecond}), serve(t, test.handle))
			var timeout net.Error
			if !errors.Is(err, outbound.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("error %v, want ErrTimeout and not the caller's deadline", err)
			}
		})
	}
}

func TestDeadlineIsTheCallers(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { wait(r, release) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := get(ctx, outbound.New(outbound.Config{}), url)
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, outbound.ErrTimeout) {
		t.Errorf("error %v, want the caller's deadline", err)
	}
}

func wait(r *http.Request, release <-chan struct{}) {
	select {
	case <-release:
	case <-r.Context().Done():
	}
}

func TestEnvironmentNamesNoProxy(t *testing.T) {
	proxied := false
	t.Setenv("HTTP_PROXY", serve(t, func(http.ResponseWriter, *http.Request) { proxied = true }))
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	// Not a loopback name, since those never go through a proxy.
	_, err := get(t.Context(), outbound.New(outbound.Config{Timeout: time.Second}), "http://sts.invalid/")
	var dns *net.DNSError
	if proxied || !errors.As(err, &dns) {
		t.Errorf("proxied %t, error %v; want a name that is looked up here", proxied, err)
	}
}

func TestRedact(t *testing.T) {
	_, err := get(t.Context(), outbound.New(outbound.Config{Timeout: time.Second}), "http://user:hush1@127.0.0.1:1/hush2?q=hush3#hush4")
	if err == nil {
		t.Fatal("port 1 answered")
	}
	redacted := outbound.Redact(err)
	if strings.Contains(redacted.Error(), "hush") || !strings.Contains(redacted.Error(), "http://127.0.0.1:1") {
		t.Errorf("Redact gave %q", redacted)
	}
	var op *net.OpError
	if !errors.As(redacted, &op) {
		t.Errorf("the cause is lost in %q", redacted)
	}
	if plain := errors.New("plain"); !errors.Is(outbound.Redact(plain), plain) || outbound.Redact(nil) != nil {
		t.Error("Redact changed an error without a URL")
	}
}
