package server_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// writeCertificate writes a self-signed pair that is valid for a day of the clock.
func writeCertificate(t *testing.T, folder string, serial int64, now time.Time) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "sts"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	write := func(name, kind string, bytes []byte) {
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		// So that two files of one size differ also where the file system's clock is coarse.
		if err := os.Chtimes(name, time.Time{}, now.Add(time.Duration(serial)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	write(certFile, "CERTIFICATE", der)
	write(keyFile, "PRIVATE KEY", private)
	return certFile, keyFile
}

// serial is that of the certificate which a server shows.
func serial(t *testing.T, addr string) int64 {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestTLS(t *testing.T) {
	now := newClock()
	folder := t.TempDir()
	c := config(t, &service{})
	c.Now = now.now
	c.CertFile, c.KeyFile = writeCertificate(t, folder, 1, now.now())
	r := start(t, c)
	addr := strings.TrimPrefix(r.http, "http://")

	t.Run("serves", func(t *testing.T) {
		r.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
		answer, body := r.do(t, tokenRequest(t, "https://"+addr))
		if answer.StatusCode != 200 || answer.ProtoMajor != 2 {
			t.Errorf("%s %d %s", answer.Proto, answer.StatusCode, body)
		}
	})
	t.Run("requests in one connection are bounded too", func(t *testing.T) {
		c := config(t, &service{})
		var served atomic.Int64
		entered, leave := make(chan struct{}, 2), make(chan struct{})
		s := &service{do: func(context.Context) { entered <- struct{}{}; <-leave }}
		c.Exchanger, c.Connections = s, 2
		c.CertFile, c.KeyFile = writeCertificate(t, t.TempDir(), 1, newClock().now())
		r := start(t, c)
		r.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true, MaxConnsPerHost: 1}
		url := strings.Replace(r.http, "http:", "https:", 1)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				answer, err := r.client.Do(tokenRequest(t, url))
				if err != nil {
					t.Error(err)
					return
				}
				_ = answer.Body.Close()
				if answer.StatusCode == http.StatusOK {
					served.Add(1)
				}
			})
		}
		<-entered
		<-entered
		answer, body := r.do(t, tokenRequest(t, url))
		if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") != "1" || !strings.Contains(body, "overloaded") {
			t.Errorf("%d %s", answer.StatusCode, body)
		}
		close(leave)
		wg.Wait()
		if served.Load() != 2 {
			t.Errorf("%d of 2 were served", served.Load())
		}
		s.do = nil
		for range 3 {
			if answer, _ := r.do(t, tokenRequest(t, url)); answer.StatusCode != http.StatusOK {
				t.Errorf("one after another: %d", answer.StatusCode)
			}
		}
	})
	t.Run("A17 plain HTTP is refused, not redirected", func(t *testing.T) {
		plain, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = plain.Close() }()
		if _, err := io.WriteString(plain, "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(plain), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest || answer.Header.Get("Location") != "" {
			t.Errorf("%d %v", answer.StatusCode, answer.Header)
		}
	})
	t.Run("TLS 1.1 is refused", func(t *testing.T) {
		old, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
		if err == nil {
			_ = old.Close()
			t.Error("a handshake of TLS 1.1 succeeded")
		}
	})
	t.Run("a new certificate is used within a second", func(t *testing.T) {
		writeCertificate(t, folder, 2, now.now())
		if got := serial(t, addr); got != 1 {
			t.Errorf("read again at once: %d", got)
		}
		now.forward(time.Second)
		if got := serial(t, addr); got != 2 {
			t.Errorf("a second later: %d", got)
		}
	})
	t.Run("a bad pair keeps the old, and is told", func(t *testing.T) {
		if err := os.WriteFile(c.KeyFile, []byte("not a key"), 0o600); err != nil {
			t.Fatal(err)
		}
		now.forward(time.Second)
		if got := serial(t, addr); got != 2 {
			t.Errorf("%d is in use", got)
		}
		if answer, body := r.get(t, r.admin+"/readyz"); answer.StatusCode != 200 || !strings.Contains(body, `"tls":{"status":"degraded"`) {
			t.Errorf("%d %s", answer.StatusCode, body)
		}
		writeCertificate(t, folder, 3, now.now())
		now.forward(time.Second)
		if _, body := r.get(t, r.admin+"/readyz"); !strings.Contains(body, `"tls":{"status":"ok"`) {
			t.Errorf("mended: %s", body)
		}
	})
	t.Run("files that come back as they were are well again", func(t *testing.T) {
		aside := c.KeyFile + ".aside"
		for _, move := range []struct{ from, to, status string }{{c.KeyFile, aside, "degraded"}, {aside, c.KeyFile, "ok"}} {
			if err := os.Rename(move.from, move.to); err != nil {
				t.Fatal(err)
			}
			now.forward(time.Second)
			if _, body := r.get(t, r.admin+"/readyz"); !strings.Contains(body, `"tls":{"status":"`+move.status+`"`) {
				t.Errorf("want %s: %s", move.status, body)
			}
		}
	})
	t.Run("an expired certificate is told", func(t *testing.T) {
		now.forward(48 * time.Hour)
		if _, body := r.get(t, r.admin+"/readyz"); !strings.Contains(body, "expired") {
			t.Error(body)
		}
	})
	t.Run("one that is not valid yet is told", func(t *testing.T) {
		writeCertificate(t, folder, 4, now.now().Add(48*time.Hour))
		now.forward(time.Second)
		if _, body := r.get(t, r.admin+"/readyz"); !strings.Contains(body, "not valid before") {
			t.Error(body)
		}
	})
}
