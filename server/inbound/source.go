package inbound

import (
	"crypto/x509"
	"net/http"
	"net/netip"
	"strings"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
)

// The headers by which a client that forwards sources says whom it asks for.
const (
	headerSource    = "X-Forwarded-For"
	headerRequestID = "X-Request-Id"
	headerRoute     = "STS-Route"
)

// maxClaim bounds what is recorded of a client's word.
const maxClaim = 128

// Peer is the address at the other end of r's connection.
func Peer(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}

// Certify adds to a request's credentials the certificate that its caller has proved, to us or to a trusted proxy.
func Certify(c *clients.Credentials, r *http.Request, proxies clients.Proxies) {
	var handshake []*x509.Certificate
	if r.TLS != nil {
		handshake = r.TLS.PeerCertificates
	}
	proxies.Certify(c, Peer(r), handshake, r.Header[clients.HeaderForwarded])
}

// Source is where a request of c came from. Only of a client that forwards sources are its claims looked at: values are
// those of a header, or of a metadata key.
func Source(peer netip.Addr, c *exchange.Client, values func(name string) []string) exchange.Source {
	s := exchange.Source{Peer: peer}
	if c.ForwardsSource {
		s.Claimed = exchange.Claimed{
			Source:    forwardedFor(values(headerSource)),
			RequestID: printable(values(headerRequestID)),
			Route:     printable(values(headerRoute)),
		}
	}
	return s
}

// forwardedFor is the last address of the list: the one that our client itself saw and appended. Those before it are
// whatever its caller wrote, and would let him dodge the limits by a new one each time.
func forwardedFor(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	last := lines[len(lines)-1]
	last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	if addr, err := netip.ParseAddr(last); err == nil {
		return addr.Unmap().WithZone("").String()
	}
	if addr, err := netip.ParseAddrPort(last); err == nil {
		return addr.Addr().Unmap().WithZone("").String()
	}
	return ""
}

// printable is the first value as a record may hold it: printable ASCII. What is too long is left out whole: it is no
// id, and may be a token that a gateway put there by mistake.
func printable(values []string) string {
	if len(values) == 0 || len(values[0]) > maxClaim {
		return ""
	}
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c > 0x7e {
			return '?'
		}
		return c
	}, values[0])
}
