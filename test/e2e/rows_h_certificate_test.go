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
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
)

// pair is a certificate and its key.
type pair struct {
	leaf *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newPair makes a certificate that lives for these hours, signed by ca, or by itself where that is nil.
func newPair(t *testing.T, ca *pair, subject pkix.Name, uri string, from, to int) *pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: subject, BasicConstraintsValid: true,
		NotBefore: now.Add(time.Duration(from) * time.Hour), NotAfter: now.Add(time.Duration(to) * time.Hour),
	}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{u}
	}
	parent := &pair{template, key}
	if ca == nil {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	} else {
		parent, template.ExtKeyUsage = ca, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.leaf, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &pair{leaf, key}
}

func (p *pair) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.leaf.Raw}))
}

// present makes an HTTP client that presents this certificate, whatever the server says it wants; nil presents none.
func (p *pair) present(t *testing.T) *http.Client {
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, // the server's certificate is another test's
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if p == nil {
				return &tls.Certificate{}, nil
			}
			return &tls.Certificate{Certificate: [][]byte{p.leaf.Raw}, PrivateKey: p.key}, nil
		},
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// askTLS asks through an HTTP client at a service that speaks TLS, for a principal that is minted by client secret: the
// workspace's emulator doesn't trust the service's certificate, and so can't fetch its keys.
func (w *world) askTLS(client *http.Client, ask func(*world) request) answer {
	w.t.Helper()
	r := ask(w)
	r.Params.Set("subject_token", w.Token(object{"groups": []string{"legacy"}}))
	req := w.FormRequest(r.Params.Encode())
	req.URL.Scheme = "https"
	if r.Client != "" {
		req.Header.Set("Authorization", w.basicAuth(r.Client))
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	through := *w
	through.http = client
	return through.Do(req)
}

var acme = pkix.Name{CommonName: "nightly-etl", OrganizationalUnit: []string{"Data"}, Organization: []string{"Acme, Inc."}}

const nightly = "spiffe://acme.example/nightly-etl"

// certifiedClients are clients that authenticate by certificate: one by its subject, one by its URI.
func (w *world) certifiedClients(s *setup) {
	how := func(name, value string) object {
		return w.clientWithoutSecret(object{"auth_method": "tls_client_auth", name: value}, nil)
	}
	c := s.config["clients"].(object)
	c["by-subject"] = how("tls_client_auth_subject_dn", `CN=nightly-etl,OU=Data,O=Acme\, Inc.`)
	c["by-uri"] = how("tls_client_auth_san_uri", nightly)
}

// forwardedHeader is what Envoy writes.
func forwardedHeader(p *pair) http.Header {
	return http.Header{clients.HeaderForwarded: {`Hash=00;Cert="` + url.PathEscape(p.pem()) + `";Subject="CN=nightly-etl"`}}
}

// TestRowsHCertificate runs the rows about tls_client_auth by the service's own TLS.
func TestRowsHCertificate(t *testing.T) {
	t.Parallel()
	ca, otherCA := newPair(t, nil, pkix.Name{CommonName: "clients"}, "", -1, 100), newPair(t, nil, pkix.Name{CommonName: "clients"}, "", -1, 100)
	w := newWorld(t, func(w *world, s *setup) {
		cert, key := certificate(t, 1)
		w.WriteFile("server.crt", cert)
		w.WriteFile("server.key", key)
		w.WriteFile("clients.crt", ca.pem())
		s.config["listen"].(object)["tls"] = object{"cert_file": "server.crt", "key_file": "server.key", "client_ca_file": "clients.crt"}
		w.certifiedClients(s)
	})
	id := func(client string, more ...func(*request)) func(*world) request {
		return change(append(more, as(""), with("client_id", client))...)
	}
	good := newPair(t, ca, acme, nightly, -1, 100)
	stranger := newPair(t, otherCA, acme, nightly, -1, 100)
	header := func(p *pair) func(*request) { return func(r *request) { r.Header = forwardedHeader(p) } }
	for _, row := range []struct {
		id      string
		present *pair
		ask     func(*world) request
		status  int
	}{
		{"H19 twin by subject", good, id("by-subject"), 200},
		{"H19 twin by URI", good, id("by-uri"), 200},
		{"H19 unregistered", stranger, id("by-subject"), 401},
		{"H19 registered for nobody", newPair(t, ca, pkix.Name{CommonName: "somebody"}, "", -1, 100), id("by-subject"), 401},
		{"H19 expired", newPair(t, ca, acme, nightly, -10, -1), id("by-subject"), 401},
		{"H19 not yet valid", newPair(t, ca, acme, nightly, 1, 100), id("by-subject"), 401},
		{"H19 wrong SAN", newPair(t, ca, acme, "spiffe://acme.example/other", -1, 100), id("by-uri"), 401},
		{"H19 no certificate", nil, id("by-subject"), 401},
		{"H19 no client_id", good, id(""), 401},
		{"H19 unknown client", good, id("nobody"), 401},
		{"H18 a certificate for a secret", good, id("kong"), 401},
		{"H18 a secret for a certificate", good, change(as("by-subject")), 401},
		{"a secret beside any certificate", stranger, change(), 200},
		{"H20 the header", nil, id("by-subject", header(good)), 401},
		{"H20 the header beside another certificate", stranger, id("by-subject", header(good)), 401},
		{"H20 twin: it changes nothing", good, id("by-subject", header(stranger)), 200},
	} {
		t.Run(row.id, func(t *testing.T) {
			a := w.askTLS(row.present.present(t), row.ask)
			if row.status == http.StatusOK {
				mustGrant(t, a, 10*time.Minute)
				return
			}
			mustRefuse(t, a, row.status, "invalid_client", exchange.ReasonClientAuthenticationFailed)
			wantsBasic(t, w, a)
		})
	}

	// One connection, which outlives the CA, and then the certificate.
	kept := good.present(t)
	status := func() int { return w.askTLS(kept, id("by-subject")).Status }
	if got := status(); got != http.StatusOK {
		t.Fatalf("before the CA is exchanged: %d", got)
	}
	w.WriteFile("clients.crt", otherCA.pem())
	w.Eventually("the old CA is forgotten", func() bool { return status() == http.StatusUnauthorized })
	if a := w.askTLS(stranger.present(t), id("by-subject")); a.Status != http.StatusOK {
		t.Errorf("under the new CA: %s", a.Body)
	}
	w.WriteFile("clients.crt", "nonsense")
	w.Eventually("the bad file is noticed", func() bool { return w.Ready().Status == "degraded" })
	if a := w.askTLS(stranger.present(t), id("by-subject")); a.Status != http.StatusOK {
		t.Errorf("under a bad file: %s", a.Body)
	}
	w.WriteFile("clients.crt", otherCA.pem()+ca.pem())
	w.Eventually("both CAs are in force", func() bool { return status() == http.StatusOK })
	short := newPair(t, ca, acme, nightly, -1, 2).present(t)
	if a := w.askTLS(short, id("by-subject")); a.Status != http.StatusOK {
		t.Fatalf("a certificate of two hours: %s", a.Body)
	}
	w.Move(3 * time.Hour)
	if a := w.askTLS(short, id("by-subject")); a.Status != http.StatusUnauthorized {
		t.Errorf("its connection, after three: %d", a.Status)
	}
	if methods := w.metadataList("https", kept, "token_endpoint_auth_methods_supported"); !strings.Contains(methods, "tls_client_auth") {
		t.Errorf("methods: %s", methods)
	}
}

// TestRowH20Proxy forwards certificates through a proxy that is trusted, and from one that isn't.
func TestRowH20Proxy(t *testing.T) {
	t.Parallel()
	ca, otherCA := newPair(t, nil, pkix.Name{CommonName: "clients"}, "", -1, 100), newPair(t, nil, pkix.Name{CommonName: "clients"}, "", -1, 100)
	good := newPair(t, ca, acme, nightly, -1, 100)
	behind := func(networks ...any) *world {
		return newWorld(t, func(w *world, s *setup) {
			w.WriteFile("clients.crt", ca.pem())
			listen := s.config["listen"].(object)
			listen["tls"], listen["trusted_proxies"] = object{"client_ca_file": "clients.crt"}, networks
			w.certifiedClients(s)
		})
	}
	ask := func(w *world, h http.Header) answer {
		return w.Ask(as(""), with("client_id", "by-subject"), func(r *request) { r.Header = h })
	}
	refused := func(t *testing.T, a answer) {
		t.Helper()
		mustRefuse(t, a, 401, "invalid_client", exchange.ReasonClientAuthenticationFailed)
	}
	trusted := behind("127.0.0.0/8", "192.0.2.1")
	mustGrant(t, ask(trusted, forwardedHeader(good)), 10*time.Minute)
	refused(t, ask(trusted, nil))
	refused(t, ask(trusted, forwardedHeader(newPair(t, otherCA, acme, nightly, -1, 100))))
	refused(t, ask(trusted, forwardedHeader(newPair(t, ca, acme, nightly, -10, -1))))
	twice := forwardedHeader(good)
	twice[clients.HeaderForwarded] = append(twice[clients.HeaderForwarded], twice[clients.HeaderForwarded]...)
	refused(t, ask(trusted, twice))
	mustGrant(t, trusted.Ask(func(r *request) { r.Header = forwardedHeader(good) }), 10*time.Minute)

	untrusted := behind("192.0.2.0/24")
	refused(t, ask(untrusted, forwardedHeader(good)))
	mustGrant(t, untrusted.Ask(func(r *request) { r.Header = forwardedHeader(good) }), 10*time.Minute)
}

// metadataList is a list of the server's metadata, joined.
func (w *world) metadataList(scheme string, client *http.Client, name string) string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, scheme+"://"+w.sts.http+"/.well-known/oauth-authorization-server", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	through := *w
	through.http = client
	_, list, _ := strings.Cut(string(through.Do(req).Body), `"`+name+`":[`)
	list, _, _ = strings.Cut(list, "]")
	return list
}
