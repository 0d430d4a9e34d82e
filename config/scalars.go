package config

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lakegate/sts/internal/strictyaml"
)

// issuerURL is an issuer identifier (RFC 8414 §2): it is compared byte for byte, so nothing of it is rewritten.
type issuerURL string

func (u *issuerURL) UnmarshalScalar(text string) error {
	*u = issuerURL(text)
	parsed, err := parseURL(text)
	if err == nil && parsed.RawQuery != "" {
		return strictyaml.Problemf("leave the query out", "an issuer has no query")
	}
	return err
}

// endpointURL is where something is fetched.
type endpointURL string

func (u *endpointURL) UnmarshalScalar(text string) error {
	*u = endpointURL(text)
	_, err := parseURL(text)
	return err
}

// hostURL is a host alone; the path is the caller's.
type hostURL string

func (u *hostURL) UnmarshalScalar(text string) error {
	parsed, err := parseURL(text)
	if err != nil {
		return err
	}
	if strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" {
		return strictyaml.Problemf("leave the path out", "%q is more than a host", text)
	}
	*u = hostURL(parsed.Scheme + "://" + parsed.Host)
	return nil
}

// parseURL takes https, and http only for a host of the loopback: a token must not cross a network in the clear.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "" || !isPrintable(text):
		return nil, strictyaml.Problemf("write it like https://host.example/path", "not a URL")
	case strings.HasPrefix(text, "http://") && !isLoopback(u.Hostname()):
		return nil, strictyaml.Problemf("use https://", "http:// is for a loopback host only, and %q is none", u.Hostname())
	case !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://"):
		return nil, strictyaml.Problemf("use https://", "a URL with another scheme than https")
	case u.User != nil:
		return nil, strictyaml.Problemf("leave it out; a credential has keys of its own", "a URL with a user or a password")
	case strings.Contains(text, "#"):
		return nil, strictyaml.Problemf("leave it out", "a URL with a fragment")
	case u.Port() != "" && !isPort(u.Port()):
		return nil, strictyaml.Problemf("ports end at 65535", "a URL with the port %s", u.Port())
	}
	return u, nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// network is a range of addresses, like 10.0.0.0/8; an address alone is a range of one.
type network netip.Prefix

func (n *network) UnmarshalScalar(text string) error {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		*n = network(netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
		return nil
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil || prefix.Addr().Is4In6():
		return strictyaml.Problemf("write it like 10.0.0.0/8 or 2001:db8::/32", "%q is no network", text)
	case prefix != prefix.Masked():
		return strictyaml.Problemf("write "+prefix.Masked().String(), "%q is an address within a network", text)
	case prefix.Bits() == 0:
		return strictyaml.Problemf("name the networks of the proxies alone", "%q is everybody", text)
	}
	*n = network(prefix)
	return nil
}

// address is host:port to listen at; port 0 takes any.
type address string

func (a *address) UnmarshalScalar(text string) error {
	*a = address(text)
	host, port, err := net.SplitHostPort(text)
	if err != nil || !isPort(port) || strings.ContainsAny(host, " /") {
		return strictyaml.Problemf("write host:port, like 0.0.0.0:8443", "%q is no address to listen at", text)
	}
	return nil
}

func (a address) loopback() bool {
	host, _, err := net.SplitHostPort(string(a))
	return err == nil && isLoopback(host)
}

// Rate is how many requests are allowed in a span of time; the zero value is no limit.
type Rate struct {
	Count int
	Per   time.Duration // a second, a minute or an hour
}

var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// UnmarshalScalar implements strictyaml.ScalarUnmarshaler.
func (r *Rate) UnmarshalScalar(text string) error {
	count, unit, _ := strings.Cut(text, "/")
	n, err := strconv.ParseUint(count, 10, 31)
	per := rateUnits[unit]
	switch {
	case err != nil || per == 0:
		return strictyaml.Problemf("write a whole number and a unit, like 2000/s, 600/m or 100/h", "%q is not a rate", text)
	case n == 0:
		return strictyaml.Problemf("leave it out for no limit", "a rate of nothing")
	}
	*r = Rate{Count: int(n), Per: per}
	return nil
}

// PerSecond is the rate in requests per second, 0 for no limit.
func (r Rate) PerSecond() float64 {
	if r.Count == 0 {
		return 0
	}
	return float64(r.Count) / r.Per.Seconds()
}

// String is the rate as it is written, "" for no limit.
func (r Rate) String() string {
	for unit, per := range rateUnits {
		if r.Count > 0 && r.Per == per {
			return strconv.Itoa(r.Count) + "/" + unit
		}
	}
	return ""
}

// Digest is the SHA-256 of a client's secret.
type Digest [sha256.Size]byte

// UnmarshalScalar implements strictyaml.ScalarUnmarshaler. It never repeats the text: somebody may have written the secret itself.
func (d *Digest) UnmarshalScalar(text string) error {
	if n, err := hex.Decode(make([]byte, len(text)), []byte(text)); err != nil || n != len(d) {
		return strictyaml.Problemf("write the 64 hexadecimal digits that `sts client new` prints", "not the SHA-256 of a secret")
	}
	_, _ = hex.Decode(d[:], []byte(text))
	return nil
}

// String is the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Audience is what a client may ask for: a workspace, or one principal in it.
type Audience struct {
	Workspace string
	Principal string // "" for any that a rule grants
}

// UnmarshalScalar implements strictyaml.ScalarUnmarshaler.
func (a *Audience) UnmarshalScalar(text string) error {
	workspace, principal, both := strings.Cut(text, "/")
	if strictyaml.CheckName(workspace) != nil || both && strictyaml.CheckName(principal) != nil {
		return strictyaml.Problemf("write workspace or workspace/principal; names match "+strictyaml.NamePattern, "%q is no audience", text)
	}
	*a = Audience{workspace, principal}
	return nil
}

// String is the audience as it is written.
func (a Audience) String() string {
	if a.Principal == "" {
		return a.Workspace
	}
	return a.Workspace + "/" + a.Principal
}
