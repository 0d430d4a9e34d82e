package clients

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/lakegate/sts/internal/jwt"
)

// CertificateName is what a client's certificate must say (RFC 8705 §2.1.2). Exactly one of its fields is set.
type CertificateName struct {
	// SubjectDN is the whole subject, as RFC 4514 writes it: CN=nightly-etl,OU=Data,O=Acme.
	SubjectDN string
	// SANDNS is one of the alternative names of type dNSName, in any case; a wildcard stands for itself alone.
	SANDNS string
	// SANURI is one of type uniformResourceIdentifier, letter for letter. Where it is a SPIFFE ID, the certificate must be an
	// X.509-SVID, which has no other.
	SANURI string
}

// maxChain bounds how many certificates a caller may make us look at.
const maxChain = 5

// nameMatcher is a CertificateName that was checked; its zero value matches none.
type nameMatcher struct {
	subject dn
	dns     string
	uri     string
	spiffe  bool // uri is a SPIFFE ID
}

func newNameMatcher(n CertificateName) (m nameMatcher, err error) {
	set := 0
	for _, text := range []string{n.SubjectDN, n.SANDNS, n.SANURI} {
		if text != "" {
			set++
		}
	}
	if set != 1 {
		return m, errors.New("it needs exactly one of tls_client_auth_subject_dn, tls_client_auth_san_dns and tls_client_auth_san_uri")
	}
	if n.SubjectDN != "" {
		if m.subject, err = parseDN(n.SubjectDN); err != nil {
			return m, fmt.Errorf("tls_client_auth_subject_dn: %w", err)
		}
	}
	if n.SANURI != "" {
		// A certificate's names are read as URLs: what another text results from could never match.
		if u, err := url.Parse(n.SANURI); err != nil || !u.IsAbs() || u.String() != n.SANURI {
			return m, errors.New("tls_client_auth_san_uri must be an absolute URI in its usual form, like spiffe://acme.example/nightly-etl")
		}
		if m.spiffe = strings.HasPrefix(n.SANURI, "spiffe:"); m.spiffe {
			if _, err := jwt.ParseSPIFFEID(n.SANURI); err != nil {
				return m, fmt.Errorf("tls_client_auth_san_uri is not the SPIFFE ID of a workload: it %w", err)
			}
		}
	}
	m.dns, m.uri = n.SANDNS, n.SANURI
	return m, nil
}

func (m *nameMatcher) matches(c *x509.Certificate) bool {
	switch {
	case m.subject != nil:
		name, ok := certificateDN(c.RawSubject)
		return ok && m.subject.equal(name)
	case m.dns != "":
		for _, name := range c.DNSNames {
			if strings.EqualFold(name, m.dns) {
				return true
			}
		}
	case m.spiffe && (len(c.URIs) != 1 || c.IsCA || c.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0):
		return false // X509-SVID §2, §4: one URI, and a workload signs nothing for others
	case m.uri != "":
		for _, name := range c.URIs {
			if name.String() == m.uri {
				return true
			}
		}
	}
	return false
}

// verified is the caller's certificate, nil unless it leads to one of our authorities now. It is verified at each
// request, not only in the handshake: a connection outlives certificates, and authorities that are taken out.
func (r *Registry) verified(c *Credentials) *x509.Certificate {
	chain := c.Certificates
	if c.Forwarded != "" {
		forwarded, ok := ParseForwarded(c.Forwarded)
		if !ok {
			return nil
		}
		chain = []*x509.Certificate{forwarded}
	}
	if r.authorities == nil || len(chain) == 0 || len(chain) > maxChain {
		return nil
	}
	between := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		between.AddCert(certificate)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: r.authorities(), Intermediates: between, CurrentTime: r.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil
	}
	return chain[0]
}
