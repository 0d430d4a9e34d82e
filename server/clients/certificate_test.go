package clients_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
)

// authority is a CA.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	return (*authority)(nil).issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
}

// issue makes a certificate, and its key; nil signs for itself.
func (a *authority) issue(t testing.TB, template *x509.Certificate) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.Add(time.Hour)
	}
	parent := &authority{template, key}
	if a != nil {
		parent = a
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.certificate, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate, key}
}

// leaf is a client's certificate with this subject and these names.
func (a *authority) leaf(t testing.TB, subject pkix.Name, names ...string) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{Subject: subject, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, name := range names {
		if u, err := url.Parse(name); err == nil && u.IsAbs() {
			template.URIs = append(template.URIs, u)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return a.issue(t, template).certificate
}

func toPEM(certificates ...*x509.Certificate) string {
	var text strings.Builder
	for _, c := range certificates {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return text.String()
}

func forwarded(c *x509.Certificate) string {
	return `Hash=00;Cert="` + url.PathEscape(toPEM(c)) + `";Subject="CN=x,O=\"y\"";URI=spiffe://a/b`
}

func certified(id string, name clients.CertificateName) clients.Registration {
	return clients.Registration{Client: exchange.Client{ID: id}, Method: clients.MethodTLS, Name: name}
}

// certificates is a registry of clients that have certificates of the CAs.
func certificates(t testing.TB, registrations []clients.Registration, cas ...*authority) *clients.Registry {
	t.Helper()
	pool := x509.NewCertPool()
	for _, ca := range cas {
		pool.AddCert(ca.certificate)
	}
	r := newRegistry(t, clients.Config{Authorities: func() *x509.CertPool { return pool }, Now: func() time.Time { return now }})
	snapshot, err := clients.Prepare(registrations)
	if err != nil {
		t.Fatal(err)
	}
	r.Commit(snapshot)
	return r
}

func TestCertificate(t *testing.T) {
	ca, other := newAuthority(t, "clients"), newAuthority(t, "clients")
	between := ca.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "between"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	acme := pkix.Name{CommonName: "etl", Organization: []string{"Acme, Inc."}, OrganizationalUnit: []string{"Data"}}
	registry := certificates(t, []clients.Registration{
		certified("subject", clients.CertificateName{SubjectDN: `CN=etl,OU=Data,O=Acme\, Inc.`}),
		certified("dns", clients.CertificateName{SANDNS: "etl.acme.example"}),
		certified("uri", clients.CertificateName{SANURI: "spiffe://acme.example/etl"}),
		certified("plain", clients.CertificateName{SANURI: "urn:acme:etl"}),
		client("kong", clients.MethodBasic, "secret"),
	}, ca)
	signingSVID := ca.issue(t, &x509.Certificate{
		Subject: acme, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, URIs: []*url.URL{{Scheme: "spiffe", Host: "acme.example", Path: "/etl"}},
	}).certificate
	revokingSVID := ca.issue(t, &x509.Certificate{
		Subject: acme, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs: []*url.URL{{Scheme: "spiffe", Host: "acme.example", Path: "/etl"}},
	}).certificate
	good := ca.leaf(t, acme, "etl.acme.example", "spiffe://acme.example/etl")
	expired := ca.issue(t, &x509.Certificate{Subject: acme, NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Second)}).certificate
	early := ca.issue(t, &x509.Certificate{Subject: acme, NotBefore: now.Add(time.Second), NotAfter: now.Add(time.Hour)}).certificate
	forServers := ca.issue(t, &x509.Certificate{Subject: acme, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}).certificate
	anyName := pkix.Name{CommonName: "x"}
	chain := func(c ...*x509.Certificate) []*x509.Certificate { return c }
	for _, row := range []struct {
		name string
		id   string
		c    clients.Credentials
		ok   bool
	}{
		{"by subject", "subject", clients.Credentials{Certificates: chain(good)}, true},
		{"by DNS name", "dns", clients.Credentials{Certificates: chain(good)}, true},
		{"by DNS name in other case", "dns", clients.Credentials{Certificates: chain(ca.leaf(t, anyName, "ETL.acme.example"))}, true},
		{"by the second DNS name", "dns", clients.Credentials{Certificates: chain(ca.leaf(t, anyName, "a.example", "etl.acme.example"))}, true},
		{"by URI", "uri", clients.Credentials{Certificates: chain(good)}, true},
		{"through an intermediate", "subject", clients.Credentials{Certificates: chain(between.leaf(t, acme), between.certificate)}, true},
		{"forwarded", "subject", clients.Credentials{Forwarded: forwarded(good)}, true},
		{"H19 no certificate", "subject", clients.Credentials{}, false},
		{"H19 another CA of that name", "subject", clients.Credentials{Certificates: chain(other.leaf(t, acme))}, false},
		{"H19 another CA's, forwarded", "subject", clients.Credentials{Forwarded: forwarded(other.leaf(t, acme))}, false},
		{"H19 the CA sent along", "subject", clients.Credentials{Certificates: chain(other.leaf(t, acme), other.certificate)}, false},
		{"H19 a missing intermediate", "subject", clients.Credentials{Certificates: chain(between.leaf(t, acme))}, false},
		{"H19 behind a stranger's leaf", "subject", clients.Credentials{Certificates: chain(other.leaf(t, acme), good)}, false},
		{"H19 too long a chain", "subject", clients.Credentials{Certificates: chain(good, good, good, good, good, good)}, false},
		{"H19 expired", "subject", clients.Credentials{Certificates: chain(expired)}, false},
		{"H19 expired, forwarded", "subject", clients.Credentials{Forwarded: forwarded(expired)}, false},
		{"H19 not yet valid", "subject", clients.Credentials{Certificates: chain(early)}, false},
		{"H19 a server's", "subject", clients.Credentials{Certificates: chain(forServers)}, false},
		{"H19 another subject", "subject", clients.Credentials{Certificates: chain(ca.leaf(t, pkix.Name{CommonName: "etl"}))}, false},
		{"H19 the name as a DNS name", "subject", clients.Credentials{Certificates: chain(ca.leaf(t, anyName, "etl"))}, false},
		{"H19 wrong SAN", "dns", clients.Credentials{Certificates: chain(ca.leaf(t, acme, "evil.acme.example"))}, false},
		{"H19 the SAN as common name", "dns", clients.Credentials{Certificates: chain(ca.leaf(t, pkix.Name{CommonName: "etl.acme.example"}))}, false},
		{"H19 a wildcard is no match", "dns", clients.Credentials{Certificates: chain(ca.leaf(t, acme, "*.acme.example"))}, false},
		{"H19 wrong URI", "uri", clients.Credentials{Certificates: chain(ca.leaf(t, acme, "spiffe://acme.example/etl/x"))}, false},
		{"H19 an X.509-SVID with a second URI", "uri", clients.Credentials{Certificates: chain(ca.leaf(t, acme, "spiffe://acme.example/etl", "spiffe://acme.example/other"))}, false},
		{"H19 an X.509-SVID with another URI first", "uri", clients.Credentials{Certificates: chain(ca.leaf(t, acme, "https://acme.example/x", "spiffe://acme.example/etl"))}, false},
		{"H19 an X.509-SVID of a CA", "uri", clients.Credentials{Certificates: chain(signingSVID)}, false},
		{"H19 an X.509-SVID that signs lists of the revoked", "uri", clients.Credentials{Certificates: chain(revokingSVID)}, false},
		{"by the second URI where it is no SPIFFE ID", "plain", clients.Credentials{Certificates: chain(ca.leaf(t, acme, "https://acme.example/x", "urn:acme:etl"))}, true},
		{"H19 no client_id", "", clients.Credentials{Certificates: chain(good)}, false},
		{"H03 unknown", "nobody", clients.Credentials{Certificates: chain(good)}, false},
		{"H18 a client with a secret", "kong", clients.Credentials{Certificates: chain(good)}, false},
		{"H18 a secret beside the certificate", "subject", clients.Credentials{Certificates: chain(good), ClientSecret: "x"}, false},
		{"forwarded nonsense", "subject", clients.Credentials{Forwarded: "Cert=x"}, false},
		{"forwarded without the certificate", "subject", clients.Credentials{Forwarded: `Hash=00;Subject="CN=etl,OU=Data,O=Acme\, Inc."`}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.c.ClientID = row.id
			c, err := registry.Authenticate(t.Context(), row.c)
			if row.ok {
				if err != nil || c.ID != row.id {
					t.Fatalf("%+v, %v", c, err)
				}
				return
			}
			_, want := registry.Authenticate(t.Context(), clients.Credentials{Authorization: basic("nobody", "x")})
			if c != nil || !cmp.Equal(err, want) {
				t.Fatalf("%+v, %v", c, err)
			}
		})
	}
	// A certificate that a mesh gave to everybody doesn't stand in the way of another method.
	if c, err := registry.Authenticate(t.Context(), clients.Credentials{Authorization: basic("kong", "secret"), Certificates: chain(other.leaf(t, acme))}); err != nil || c.ID != "kong" {
		t.Errorf("a secret beside a certificate: %v", err)
	}
	none := newRegistry(t, clients.Config{Now: func() time.Time { return now }})
	snapshot, err := clients.Prepare([]clients.Registration{certified("uri", clients.CertificateName{SANURI: "spiffe://acme.example/etl"})})
	if err != nil {
		t.Fatal(err)
	}
	none.Commit(snapshot)
	if _, err := none.Authenticate(t.Context(), clients.Credentials{ClientID: "uri", Certificates: chain(good)}); err == nil {
		t.Error("a registry without CAs took a certificate")
	}
}

func TestPrepareRefusesNames(t *testing.T) {
	for _, row := range []struct {
		name clients.CertificateName
		want string
	}{
		{clients.CertificateName{}, "exactly one"},
		{clients.CertificateName{SubjectDN: "CN=a", SANDNS: "a"}, "exactly one"},
		{clients.CertificateName{SubjectDN: "etl"}, "CN=nightly-etl"},
		{clients.CertificateName{SubjectDN: "CN=etl,"}, "like CN="},
		{clients.CertificateName{SubjectDN: "XX=etl"}, "no attribute type"},
		{clients.CertificateName{SubjectDN: "CN="}, "no value"},
		{clients.CertificateName{SubjectDN: "CN=#0403"}, "hexadecimal"},
		{clients.CertificateName{SubjectDN: `CN=a"b`}, "escaped"},
		{clients.CertificateName{SubjectDN: `CN=a\x`}, "backslash"},
		{clients.CertificateName{SubjectDN: "2.05=a"}, "no attribute type"},
		{clients.CertificateName{SANURI: "acme/etl"}, "absolute URI"},
		{clients.CertificateName{SANURI: "spiffe://acme.example/a b"}, "absolute URI"},
		{clients.CertificateName{SANURI: "spiffe://Acme.example/a"}, "SPIFFE ID"},
		{clients.CertificateName{SANURI: "spiffe://acme.example"}, "SPIFFE ID"},
	} {
		if _, err := clients.Prepare([]clients.Registration{certified("etl", row.name)}); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%+v: %v", row.name, err)
		}
	}
}

// What openssl prints with `-subject -nameopt RFC2253` is taken as it is.
func TestParseDN(t *testing.T) {
	for _, row := range []struct {
		text string
		want [][]string
	}{
		{"CN=etl", [][]string{{"2.5.4.3=etl"}}},
		{"CN=etl,O=Acme,C=DE", [][]string{{"2.5.4.6=DE"}, {"2.5.4.10=Acme"}, {"2.5.4.3=etl"}}},
		{" cn = etl , o = Acme Inc ", [][]string{{"2.5.4.10=Acme Inc"}, {"2.5.4.3=etl"}}},
		{`CN=a\, b\+c\2C\20,O=x\ `, [][]string{{"2.5.4.10=x "}, {"2.5.4.3=a, b+c, "}}},
		{"CN=J\\C3\\BCrgen", [][]string{{"2.5.4.3=Jürgen"}}},
		{"CN=a=b", [][]string{{"2.5.4.3=a=b"}}},
		{"OU=b+CN=a,O=x", [][]string{{"2.5.4.10=x"}, {"2.5.4.11=b", "2.5.4.3=a"}}},
		{"1.2.3.4=x", [][]string{{"1.2.3.4=x"}}},
	} {
		got, err := clients.ParseDN(row.text)
		if err != nil {
			t.Errorf("%q: %v", row.text, err)
		} else if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%q: %s", row.text, diff)
		}
	}
}

// escape writes a value as RFC 4514 §2.4 has it, in the plainest way: every byte by its number.
func escape(value string) string {
	var b strings.Builder
	for i := range len(value) {
		fmt.Fprintf(&b, `\%02X`, value[i])
	}
	return b.String()
}

// A certificate's name, written down, is read as that name; and no text is read as a name that its own writing isn't.
func FuzzDN(f *testing.F) {
	f.Add("etl", "Acme, Inc.", "CN=etl,O=Acme")
	f.Add(" a+b ", "ä\\", `OU=a\,b+CN=c\2C, O = d`)
	f.Add("#", "\"<>;", "2.5.4.3=x")
	f.Fuzz(func(t *testing.T, common, organization, text string) {
		raw, err := asn1.Marshal(pkix.RDNSequence{
			{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: organization}}, {{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: common}},
		})
		if err == nil && common != "" && organization != "" {
			want, ok := clients.CertificateDN(raw)
			got, err := clients.ParseDN("CN=" + escape(common) + ",O=" + escape(organization))
			if !ok || err != nil || !cmp.Equal(want, got) {
				t.Fatalf("%q is read as %q, %v", want, got, err)
			}
		}
		first, err := clients.ParseDN(text)
		if err != nil {
			return
		}
		var written []string
		for _, set := range slices.Backward(first) {
			var parts []string
			for _, attribute := range set {
				oid, value, _ := strings.Cut(attribute, "=")
				parts = append(parts, oid+"="+escape(value))
			}
			written = append(written, strings.Join(parts, "+"))
		}
		if again, err := clients.ParseDN(strings.Join(written, ",")); err != nil || !cmp.Equal(first, again) {
			t.Fatalf("%q is read as %q, then as %q, %v", text, first, again, err)
		}
	})
}

func TestForwarded(t *testing.T) {
	ca := newAuthority(t, "clients")
	leaf := ca.leaf(t, pkix.Name{CommonName: "etl"})
	encoded := url.PathEscape(toPEM(leaf))
	envoys := strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D").Replace(toPEM(leaf))
	for _, row := range []struct {
		name, header string
		ok           bool
	}{
		{"alone", "Cert=" + encoded, true},
		{"in quotes", `Cert="` + encoded + `"`, true},
		{"as Envoy writes it", `By=spiffe://a;Hash=0f;Cert="` + envoys + `";Subject="CN=\"etl\",O=a;b";URI=;DNS=a.example`, true},
		{"as nginx writes it", `Cert="` + strings.ReplaceAll(url.QueryEscape(toPEM(leaf)), "+", "%20") + `"`, true},
		{"as nginx writes it where there is none", `Cert=""`, false},
		{"another case", "cert=" + encoded, true},
		{"empty", "", false},
		{"no Cert", "Hash=0f", false},
		{"two hops", "Cert=" + encoded + ",Cert=" + encoded, false},
		{"two hops, one certificate", "Hash=0f,Cert=" + encoded, false},
		{"two hops, the certificate first", "Cert=" + encoded + ",Hash=0f", false},
		{"two hops, in quotes", `Cert="` + encoded + `",Hash=0f`, false},
		{"two certificates", "Cert=" + encoded + ";Cert=" + encoded, false},
		{"two in one", "Cert=" + encoded + encoded, false},
		{"a subject that looks like one", `Subject="CN=x;Cert=` + encoded + `"`, false},
		{"an unclosed quote", `Cert="` + encoded, false},
		{"a bad escape", "Cert=%zz", false},
		{"not a certificate", "Cert=" + url.PathEscape("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), false},
		{"no equals sign", "Cert", false},
	} {
		c, ok := clients.ParseForwarded(row.header)
		if ok != row.ok || ok && !c.Equal(leaf) {
			t.Errorf("%s: %v", row.name, ok)
		}
	}
}

// Whatever a subject is, the certificate that comes out is the one that the proxy put into Cert.
func FuzzForwarded(f *testing.F) {
	ca := newAuthority(f, "clients")
	leaf, evil := ca.leaf(f, pkix.Name{CommonName: "etl"}), ca.leaf(f, pkix.Name{CommonName: "evil"})
	f.Add("CN=etl", "Hash=0f")
	f.Add(`x";Cert=`+url.PathEscape(toPEM(evil))+`;Y="`, forwarded(evil))
	f.Add(`x\";`, `Cert="`)
	f.Fuzz(func(t *testing.T, subject, header string) {
		// Envoy escapes quotes; a value that ends in a backslash would swallow its closing one, and is none of its own.
		if !strings.HasSuffix(subject, `\`) && !strings.Contains(subject, `\"`) {
			quoted := `Subject="` + strings.ReplaceAll(subject, `"`, `\"`) + `";Cert="` + url.PathEscape(toPEM(leaf)) + `"`
			if c, ok := clients.ParseForwarded(quoted); !ok || !c.Equal(leaf) {
				t.Fatalf("%q hides the certificate", subject)
			}
		}
		if c, ok := clients.ParseForwarded(header); ok && !strings.Contains(strings.ToLower(header), "cert=") {
			t.Fatalf("%q is read as %s", header, c.Subject)
		}
	})
}

// H20: only a trusted proxy's header counts, and never its own certificate.
func TestProxies(t *testing.T) {
	proxies := clients.Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128")}
	handshake := []*x509.Certificate{{}}
	for _, row := range []struct {
		peer      string
		header    []string
		handshake bool
		forwarded string
	}{
		{"10.1.2.3", []string{"h"}, false, "h"},
		{"::ffff:10.1.2.3", []string{"h"}, false, "h"},
		{"2001:db8::1", []string{"h"}, false, "h"},
		{"10.1.2.3", nil, false, ""},
		{"10.1.2.3", []string{"h", "i"}, false, ""},
		{"192.0.2.1", []string{"h"}, true, ""},
		{"2001:db8::2", nil, true, ""},
	} {
		var c clients.Credentials
		proxies.Certify(&c, netip.MustParseAddr(row.peer), handshake, row.header)
		if (c.Certificates != nil) != row.handshake || c.Forwarded != row.forwarded {
			t.Errorf("%s %q: %d certificates, %q", row.peer, row.header, len(c.Certificates), c.Forwarded)
		}
	}
	var c clients.Credentials
	clients.Proxies(nil).Certify(&c, netip.Addr{}, handshake, []string{"h"})
	if c.Forwarded != "" {
		t.Error("a header is believed without proxies")
	}
}

func TestParseAuthorities(t *testing.T) {
	ca, other := newAuthority(t, "a"), newAuthority(t, "b")
	both := toPEM(ca.certificate, other.certificate)
	for _, row := range []struct{ name, text, want string }{
		{"two with comments", "# ours\n" + both, ""},
		{"none", "nothing", "no certificate"},
		{"a leaf", toPEM(ca.leaf(t, pkix.Name{CommonName: "etl"})), "not a CA's"},
		{"a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "certificates alone"},
		{"damaged", strings.Replace(both, "M", "!", 1), "damaged"},
		{"cut off", both[:len(both)-40], "damaged"},
		{"no certificate within", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1"},
	} {
		if _, err := clients.ParseAuthorities([]byte(row.text)); row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// The CAs follow their file; a bad one keeps the old ones in force.
func TestAuthoritiesFollowTheirFile(t *testing.T) {
	clock := now
	ca, other := newAuthority(t, "a"), newAuthority(t, "b")
	file := filepath.Join(t.TempDir(), "ca.crt")
	write := func(text string) {
		clock = clock.Add(2 * time.Second)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Time{}, clock); err != nil {
			t.Fatal(err)
		}
	}
	open := func() (*clients.Authorities, error) {
		return clients.OpenAuthorities(file, func() time.Time { return clock }, slog.New(slog.DiscardHandler))
	}
	if _, err := open(); err == nil {
		t.Error("a file that isn't there is no fault")
	}
	write(toPEM(ca.certificate))
	a, err := open()
	if err != nil {
		t.Fatal(err)
	}
	trusts := func(ca *authority) bool {
		_, err := ca.leaf(t, pkix.Name{CommonName: "x"}).Verify(x509.VerifyOptions{Roots: a.Pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		return err == nil
	}
	if !trusts(ca) || trusts(other) || a.Health() != nil {
		t.Error("the first CA is not in force alone")
	}
	write(toPEM(ca.certificate, other.certificate))
	if !trusts(ca) || !trusts(other) {
		t.Error("two CAs are not in force")
	}
	write("nonsense")
	if !trusts(ca) || !trusts(other) || a.Health() == nil {
		t.Error("a bad file took the CAs with it, or isn't told")
	}
	write(toPEM(other.certificate))
	if trusts(ca) || !trusts(other) || a.Health() != nil {
		t.Error("the second CA is not in force alone")
	}
}
