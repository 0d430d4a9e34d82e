package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// certificate is a self-signed certificate for the loopback, as PEM.
func certificate(t *testing.T, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "sts"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// TestTLS holds that the service takes TLS alone where it is configured, and picks up a new certificate by itself.
func TestTLS(t *testing.T) {
	t.Parallel()
	w := prepareWorld(t, func(w *world, s *setup) {
		cert, key := certificate(t, 1)
		w.WriteFile("server.crt", cert)
		w.WriteFile("server.key", key)
		s.config["listen"].(object)["tls"] = object{"cert_file": "server.crt", "key_file": "server.key"}
	})
	w.Start()
	serial := func(version uint16) (int64, error) {
		dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MaxVersion: version, MinVersion: tls.VersionTLS10}}
		conn, err := dialer.DialContext(t.Context(), "tcp", w.sts.http)
		if err != nil {
			return 0, err
		}
		defer func() { _ = conn.Close() }()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
	}
	if got, err := serial(0); err != nil || got != 1 {
		t.Fatalf("certificate %d, %v", got, err)
	}
	if _, err := serial(tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 is spoken")
	}

	// Row A17: plain HTTP is refused, and never redirected to where it would repeat the credential.
	req := w.FormRequest(b0(w).Params.Encode())
	req.Header.Set("Authorization", w.basicAuth("kong"))
	if a, err := w.try(req); err == nil && (a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" || strings.Contains(string(a.Body), "access_token")) {
		t.Errorf("plain HTTP is answered %d: %s", a.Status, a.Body)
	}

	cert, key := certificate(t, 2)
	w.WriteFile("server.crt", cert)
	w.WriteFile("server.key", key)
	w.Eventually("the new certificate is served", func() bool { got, err := serial(0); return err == nil && got == 2 })

	// A file that is no certificate leaves the good one in force.
	w.WriteFile("server.crt", "nonsense")
	w.Eventually("the bad file is noticed", func() bool { return w.Ready().Status == "degraded" })
	if got, err := serial(0); err != nil || got != 2 {
		t.Errorf("certificate %d, %v", got, err)
	}
	w.WriteFile("server.crt", cert)
	w.Eventually("all is well", func() bool { return w.Ready().Status == "ok" })
}

// TestRowA17 holds that plain HTTP, or gRPC in the clear, isn't offered to a network unless somebody says so.
func TestRowA17(t *testing.T) {
	t.Parallel()
	for listener, entrance := range map[string]string{"http": "form", "grpc": "grpc"} {
		t.Run(listener, func(t *testing.T) {
			t.Parallel()
			covered.note("A17", entrance)
			if listener == "http" {
				covered.note("A17", "json")
			}
			w := prepareWorld(t, func(_ *world, s *setup) { s.config["listen"].(object)[listener] = "0.0.0.0:0" })
			p, listening := launch(t, w.dir, w.clock)
			select {
			case <-p.done:
			case <-listening:
				t.Fatal("the service offers plaintext to the network")
			case <-time.After(patience):
				t.Fatal("the service neither listens nor ends")
			}
			if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(p.Log(), "plaintext") {
				t.Errorf("exit code %d:\n%s", code, p.Log())
			}
		})
	}
}
