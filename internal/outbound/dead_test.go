package outbound_test

import (
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lakegate/sts/internal/outbound"
)

// An HTTP/2 connection that a firewall has forgotten, so that nothing comes back and nobody says so, is given up soon.
func TestForgottenConnection(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	firewall := newFirewall(t, s.Listener.Addr().String())
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c := outbound.New(outbound.Config{RootCAs: roots, Timeout: 100 * time.Millisecond})
	outbound.Hasten(c)
	url := "https://" + firewall.address
	if text, err := get(t.Context(), c, url); err != nil || text != "HTTP/2.0" {
		t.Fatalf("%q, %v", text, err)
	}
	firewall.forget()
	for end := time.Now().Add(5 * time.Second); ; {
		if _, err := get(t.Context(), c, url); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the dead connection is still in use")
		}
	}
}

// firewall passes connections on.
type firewall struct {
	address string
	passed  atomic.Int64 // connections so far
	dead    atomic.Int64 // how many of the first are forgotten
}

func newFirewall(t *testing.T, to string) *firewall {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	f := &firewall{address: l.Addr().String()}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := (&net.Dialer{}).Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			n := f.passed.Add(1)
			go f.pass(n, in, out)
			go f.pass(n, out, in)
		}
	}()
	return f
}

// forget drops, from now on and without a word, whatever belongs to the connections that there are.
func (f *firewall) forget() { f.dead.Store(f.passed.Load()) }

func (f *firewall) pass(n int64, from, to net.Conn) {
	defer func() { _ = to.Close() }()
	_, _ = io.Copy(writer(func(p []byte) (int, error) {
		if n <= f.dead.Load() {
			return len(p), nil
		}
		return to.Write(p)
	}), from)
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
