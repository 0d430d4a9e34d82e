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

	"google.golang.org/grpc/credentials"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
)

// pair is a certificate and its key.
type pair struct {
	leaf *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newPair makes a certificate that lives for these hours of the world, signed by ca, or by itself where that is nil.
func (w *world) newPair(ca *pair, subject pkix.Name, uri string, from, to int) *pair {
	t := w.t
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := w.Now()
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

// tls is the pair as it is presented; that of nobody is empty.
func (p *pair) tls() *tls.Certificate {
	if p == nil {
		return &tls.Certificate{}
	}
	return &tls.Certificate{Certificate: [][]byte{p.leaf.Raw}, PrivateKey: p.key}
}

// Presenting is the same world, whose connections present this certificate, whatever the server says it wants.
func (w *world) Presenting(c *tls.Certificate) *world {
	config := &tls.Config{
		InsecureSkipVerify:   true, // the server's certificate is another test's
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c, nil },
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: config}
	w.t.Cleanup(transport.CloseIdleConnections)
	presenting := *w
	presenting.scheme, presenting.http = "https", &http.Client{Transport: transport, Timeout: patience}
	presenting.credentials = credentials.NewTLS(config)
	return &presenting
}

// byItself is the request of a client that no other way authenticates, for a principal that is minted by client secret:
// the workspace's emulator doesn't trust the service's certificate, and so can't fetch its keys.
func (w *world) byItself(client string, more ...func(*request)) []func(*request) {
	return append([]func(*request){as(""), with("client_id", client), token(w.lasting("ada", "legacy"))}, more...)
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
	var ca, otherCA *pair
	serving := newWorld(t, func(w *world, s *setup) {
		ca, otherCA = w.newPair(nil, pkix.Name{CommonName: "clients"}, "", -1, 1000), w.newPair(nil, pkix.Name{CommonName: "clients"}, "", -1, 1000)
		cert, key := certificate(t, 1)
		w.WriteFile("server.crt", cert)
		w.WriteFile("server.key", key)
		w.WriteFile("clients.crt", ca.pem())
		s.config["listen"].(object)["tls"] = object{"cert_file": "server.crt", "key_file": "server.key", "client_ca_file": "clients.crt"}
		w.certifiedClients(s)
	})
	eachEntrance(t, serving, "H18 H19 H20", func(t *testing.T, w *world) {
		certificateRows(t, w, ca, otherCA)
	})
	eachOf(t, singles, serving, "H19", func(t *testing.T, w *world) {
		certificateLife(t, w, ca, otherCA)
	})
	if methods := serving.Presenting((*pair)(nil).tls()).metadataList("token_endpoint_auth_methods_supported"); !strings.Contains(methods, "tls_client_auth") {
		t.Errorf("methods: %s", methods)
	}
}

func certificateRows(t *testing.T, w *world, ca, otherCA *pair) {
	good, stranger := w.newPair(ca, acme, nightly, -1, 100), w.newPair(otherCA, acme, nightly, -1, 100)
	header := func(p *pair) func(*request) { return func(r *request) { r.Header = forwardedHeader(p) } }
	for _, row := range []struct {
		id      string
		present *pair
		ask     []func(*request)
		status  int
	}{
		{"H19 twin by subject", good, w.byItself("by-subject"), 200},
		{"H19 twin by URI", good, w.byItself("by-uri"), 200},
		{"H19 unregistered", stranger, w.byItself("by-subject"), 401},
		{"H19 registered for nobody", w.newPair(ca, pkix.Name{CommonName: "somebody"}, "", -1, 100), w.byItself("by-subject"), 401},
		{"H19 expired", w.newPair(ca, acme, nightly, -10, -1), w.byItself("by-subject"), 401},
		{"H19 not yet valid", w.newPair(ca, acme, nightly, 1, 100), w.byItself("by-subject"), 401},
		{"H19 wrong SAN", w.newPair(ca, acme, "spiffe://acme.example/other", -1, 100), w.byItself("by-uri"), 401},
		{"H19 no certificate", nil, w.byItself("by-subject"), 401},
		{"H19 no client_id", good, w.byItself(""), 401},
		{"H19 unknown client", good, w.byItself("nobody"), 401},
		{"H18 a certificate for a secret", good, w.byItself("kong"), 401},
		{"H18 a secret for a certificate", good, w.byItself("", as("by-subject")), 401},
		{"a secret beside any certificate", stranger, w.byItself("", as("kong")), 200},
		{"H20 the header", nil, w.byItself("by-subject", header(good)), 401},
		{"H20 the header beside another certificate", stranger, w.byItself("by-subject", header(good)), 401},
		{"H20 twin: it changes nothing", good, w.byItself("by-subject", header(stranger)), 200},
	} {
		t.Run(row.id, func(t *testing.T) {
			a := w.Presenting(row.present.tls()).Ask(row.ask...)
			if row.status == http.StatusOK {
				mustGrant(t, a, tenMinutes)
				return
			}
			mustRefuse(t, a, row.status, "invalid_client", exchange.ReasonClientAuthenticationFailed)
			wantsBasic(t, w, a)
		})
	}
}

// certificateLife keeps connections which outlive the CA of their certificate, and then the certificate.
func certificateLife(t *testing.T, w *world, ca, otherCA *pair) {
	w.WriteFile("clients.crt", ca.pem())
	kept := w.Presenting(w.newPair(ca, acme, nightly, -1, 100).tls()).Keeping()
	stranger := w.Presenting(w.newPair(otherCA, acme, nightly, -1, 100).tls())
	is := func(status int) func() bool {
		return func() bool { return kept.Probe(w.byItself("by-subject")...).Status == status }
	}
	granted := func(w *world) { t.Helper(); mustGrant(t, w.Ask(w.byItself("by-subject")...), tenMinutes) }
	w.Eventually("the CA is known", is(http.StatusOK))
	granted(kept)
	w.WriteFile("clients.crt", otherCA.pem())
	w.Eventually("the old CA is forgotten", is(http.StatusUnauthorized))
	granted(stranger)
	w.WriteFile("clients.crt", "nonsense")
	w.Eventually("the bad file is noticed", func() bool { return w.Ready().Status == "degraded" })
	granted(stranger)
	w.WriteFile("clients.crt", otherCA.pem()+ca.pem())
	w.Eventually("both CAs are in force", is(http.StatusOK))
	short := w.Presenting(w.newPair(ca, acme, nightly, -1, 2).tls()).Keeping()
	granted(short)
	w.Move(3 * time.Hour)
	mustRefuse(t, short.Ask(w.byItself("by-subject")...), 401, "invalid_client", exchange.ReasonClientAuthenticationFailed)
}

// TestRowH20Proxy forwards certificates through a proxy that is trusted, and from one that isn't.
func TestRowH20Proxy(t *testing.T) {
	t.Parallel()
	var ca, otherCA *pair
	behind := func(networks ...any) *world {
		return newWorld(t, func(w *world, s *setup) {
			ca, otherCA = w.newPair(nil, pkix.Name{CommonName: "clients"}, "", -1, 1000), w.newPair(nil, pkix.Name{CommonName: "clients"}, "", -1, 1000)
			w.WriteFile("clients.crt", ca.pem())
			listen := s.config["listen"].(object)
			listen["tls"], listen["trusted_proxies"] = object{"client_ca_file": "clients.crt"}, networks
			w.certifiedClients(s)
		})
	}
	forwarding := func(w *world, h http.Header) answer {
		return w.Ask(as(""), with("client_id", "by-subject"), func(r *request) { r.Header = h })
	}
	refused := func(t *testing.T, a answer) {
		t.Helper()
		mustRefuse(t, a, 401, "invalid_client", exchange.ReasonClientAuthenticationFailed)
	}
	eachEntrance(t, behind("127.0.0.0/8", "192.0.2.1"), "H20", func(t *testing.T, w *world) {
		good := w.newPair(ca, acme, nightly, -1, 100)
		mustGrant(t, forwarding(w, forwardedHeader(good)), tenMinutes)
		refused(t, forwarding(w, nil))
		refused(t, forwarding(w, forwardedHeader(w.newPair(otherCA, acme, nightly, -1, 100))))
		refused(t, forwarding(w, forwardedHeader(w.newPair(ca, acme, nightly, -10, -1))))
		twice := forwardedHeader(good)
		twice[clients.HeaderForwarded] = append(twice[clients.HeaderForwarded], twice[clients.HeaderForwarded]...)
		refused(t, forwarding(w, twice))
		mustGrant(t, w.Ask(func(r *request) { r.Header = forwardedHeader(good) }), tenMinutes)
	})
	eachEntrance(t, behind("192.0.2.0/24"), "H20", func(t *testing.T, w *world) {
		good := w.newPair(ca, acme, nightly, -1, 100)
		refused(t, forwarding(w, forwardedHeader(good)))
		mustGrant(t, w.Ask(func(r *request) { r.Header = forwardedHeader(good) }), tenMinutes)
	})
}

// metadataList is a list of the server's metadata, joined.
func (w *world) metadataList(name string) string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.scheme+"://"+w.sts.http+"/.well-known/oauth-authorization-server", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(w.Do(req).Body), `"`+name+`":[`)
	list, _, _ = strings.Cut(list, "]")
	return list
}
