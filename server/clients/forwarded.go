package clients

import (
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"net/url"
	"strings"
)

// HeaderForwarded is the header in which a trusted proxy says which certificate its own caller has proved: Envoy's.
//
//	X-Forwarded-Client-Cert: Hash=4f…;Cert="-----BEGIN%20CERTIFICATE-----%0AMIIB…%3D%0A-----END%20CERTIFICATE-----%0A";URI=…
//
// Only Cert is read, the certificate in URL-encoded PEM; the rest would be the proxy's word for what stands in it.
const HeaderForwarded = "X-Forwarded-Client-Cert"

// Proxies are the networks of the proxies whose forwarded certificates are believed.
type Proxies []netip.Prefix

// Trusts reports whether a peer is such a proxy.
func (p Proxies) Trusts(peer netip.Addr) bool {
	peer = peer.Unmap().WithZone("")
	for _, network := range p {
		if network.Contains(peer) {
			return true
		}
	}
	return false
}

// Certify says which certificate c's caller has proved to hold. From a trusted proxy that is what its header says, and
// never the proxy's own certificate, with which each of its callers could name itself; from anybody else it is what was
// proved in the handshake, and the header is ignored.
func (p Proxies) Certify(c *Credentials, peer netip.Addr, handshake []*x509.Certificate, header []string) {
	switch {
	case !p.Trusts(peer):
		c.Certificates = handshake
	case len(header) == 1:
		c.Forwarded = header[0]
	}
}

// ParseForwarded reads the certificate out of the header. There must be exactly one element, and one Cert in it: of
// several hops it can't be told here which is whose, so the proxy has to replace what it receives
// (forward_client_cert_details: SANITIZE_SET).
func ParseForwarded(header string) (*x509.Certificate, bool) {
	encoded, found := "", false
	for rest := header; rest != ""; {
		key, value, after, ok := cutPair(rest)
		if !ok || strings.EqualFold(key, "Cert") && found {
			return nil, false
		}
		if strings.EqualFold(key, "Cert") {
			encoded, found = value, true
		}
		rest = after
	}
	// A plus sign in a path is itself, as it is in PEM.
	text, err := url.PathUnescape(encoded)
	if err != nil || !found {
		return nil, false
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
		return nil, false
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	return certificate, err == nil
}

// cutPair takes the first key=value off an element. The value may stand in quotes, with a backslash before a quote in it.
// A comma outside of quotes begins another element, which is refused.
func cutPair(text string) (key, value, rest string, ok bool) {
	key, text, ok = strings.Cut(text, "=")
	if !ok || strings.ContainsAny(key, `,;"`) {
		return "", "", "", false
	}
	if !strings.HasPrefix(text, `"`) {
		value, rest, _ = strings.Cut(text, ";")
		return key, value, rest, !strings.ContainsAny(value, `,"`)
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && text[i+1] == '"':
			b.WriteByte('"')
			i++
		case c == '"':
			rest, more := strings.CutPrefix(text[i+1:], ";")
			return key, b.String(), rest, more || text[i+1:] == ""
		default:
			b.WriteByte(c)
		}
	}
	return "", "", "", false
}
