package aws

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
)

// Config is what a Verifier is made of. The zero value of all but Once is what the comment says.
type Config struct {
	// Provider is the one provider of AWS identities; nil accepts none.
	Provider *Provider
	// Once marks requests that were used.
	Once exchange.Once

	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Metrics is where the metrics of metrics.go are registered. Default nowhere.
	Metrics prometheus.Registerer
	// RootCAs are who may vouch for AWS's servers. Default the system's.
	RootCAs *x509.CertPool
	// Timeout bounds one call to AWS STS. Default 3 s.
	Timeout time.Duration
}

// Provider says whose requests are accepted. There is one: an ARN is unique in all of AWS, and one person is one identity.
type Provider struct {
	// Name is what configuration and policy call it.
	Name string
	// Audience is what a request must name, signed, in its header x-sts-audience, so that a request that was made for
	// another service is none for us.
	Audience string
	// AccountIDs are the AWS accounts, of 12 digits, whose roles and users are accepted.
	AccountIDs []string
	// Regions are those whose AWS STS is asked: eu-central-1, or aws-global for sts.amazonaws.com.
	Regions []string
	// Endpoints are where AWS STS is, by region, if not at its public address: a VPC interface endpoint. The request's own
	// host stays the public one.
	Endpoints map[string]string
	// ClockSkew is how far a request's date may be ahead of our clock. Zero is none.
	ClockSkew time.Duration
	// MaxTokenAge is how long after its date a request is good, and what is granted for it. At most and by default
	// MaxAge, since AWS accepts none that is older.
	MaxTokenAge time.Duration
}

const (
	// Issuer is whose identities they are, whatever region was asked.
	Issuer = "https://sts.amazonaws.com"
	// AudienceHeader names, in a signed header, for whom a request was made.
	AudienceHeader = "x-sts-audience"
	// MaxAge is how long a request is good by AWS's own rule.
	MaxAge = 15 * time.Minute

	maxClockSkew = 10 * time.Minute
)

var accountID = regexp.MustCompile(`^[0-9]{12}$`)

// faults tells every fault at once.
func (p *Provider) faults() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if p.Name == "" {
		fault("it has no name")
	}
	if p.Audience == "" || strings.ContainsFunc(p.Audience, func(r rune) bool { return r < '!' || r > '~' || r == '"' || r == '\\' }) {
		fault("audience must be printable ASCII, and not empty")
	}
	if len(p.AccountIDs) == 0 {
		fault("account_ids is empty")
	}
	for _, id := range p.AccountIDs {
		if !accountID.MatchString(id) {
			fault("account_ids must be of 12 digits each")
		}
	}
	if len(p.Regions) == 0 {
		fault("regions is empty")
	}
	known := map[string]bool{}
	for _, name := range p.Regions {
		if _, ok := regionOf(name); !ok {
			fault("regions holds %q, which is no region of AWS", name)
		}
		known[name] = true
	}
	for name, endpoint := range p.Endpoints {
		if !known[name] {
			fault("endpoints has one for %q, which is not among regions", name)
		}
		if !dialable(endpoint) {
			fault("the endpoint for %q must be an https URL of a host alone; http is for the loopback only", name)
		}
	}
	if p.ClockSkew < 0 || p.ClockSkew > maxClockSkew {
		fault("clock_skew must be between 0 and %s", maxClockSkew)
	}
	if p.MaxTokenAge < 0 || p.MaxTokenAge > MaxAge {
		fault("max_token_age must be at most %s", MaxAge)
	}
	return errors.Join(faults...)
}

// origin is an endpoint without the slash at its end.
func origin(endpoint string) string { return strings.TrimSuffix(endpoint, "/") }

// dialable reports whether text is a URL of a host alone: https, or http on the loopback.
func dialable(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" || origin(text) != u.Scheme+"://"+u.Host {
		return false
	}
	if u.Scheme == "http" {
		address, err := netip.ParseAddr(u.Hostname())
		return u.Hostname() == "localhost" || err == nil && address.IsLoopback()
	}
	return u.Scheme == "https"
}
