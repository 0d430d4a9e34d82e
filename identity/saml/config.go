package saml

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
)

// Config is what a Pool is made of. Only Providers and Once are needed; the zero value of the rest is what the comment says.
type Config struct {
	Providers []Provider

	// Once marks assertions that were used.
	Once exchange.Once

	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Random spreads refreshes over time, in [0,1). Default math/rand/v2.Float64.
	Random func() float64
	// Log hears of metadata that can't be fetched or used. Default slog.Default().
	Log *slog.Logger
	// Metrics is where the metrics of metrics.go are registered. Default nowhere.
	Metrics prometheus.Registerer

	// RootCAs are who may vouch for the servers of metadata. Default the system's.
	RootCAs *x509.CertPool
	// FetchTimeout bounds one request for metadata. Default 5 s.
	FetchTimeout time.Duration
	// MaxWait bounds how long a caller waits for metadata; the fetch goes on without him. Default 3 s.
	MaxWait time.Duration
	// RefreshInterval is how often metadata is fetched ahead of need. Default 5 min, of which up to a fifth is left off by
	// chance. A file is looked at every second.
	RefreshInterval time.Duration
}

// Provider is an identity provider whose assertions are accepted.
type Provider struct {
	// Name is what configuration and policy call it.
	Name string
	// EntityID is the Issuer of its assertions and the entity of its metadata, compared byte for byte.
	EntityID string
	// MetadataURI is where its metadata is, https; MetadataFile is the file that it is in. There is one of them.
	MetadataURI  string
	MetadataFile string

	// Audience is ours: each AudienceRestriction must hold it.
	Audience string
	// Recipient is where assertions are to be presented, by their SubjectConfirmationData: our token endpoint, or the
	// address of who gets them and passes them on.
	Recipient string

	// SubjectAttribute names the attribute that tells its subjects apart; "" for the NameID.
	SubjectAttribute string
	// GroupsAttribute names the attribute that has the groups. Default "groups".
	GroupsAttribute string

	// ClockSkew widens NotBefore and IssueInstant, never an end. Zero is none.
	ClockSkew time.Duration
	// MaxTokenAge is how old, by IssueInstant, an assertion may be. Default DefaultMaxTokenAge.
	MaxTokenAge time.Duration
	// MaxStale is how long metadata is trusted that can't be fetched anew. Default DefaultMaxStale.
	MaxStale time.Duration
}

// The defaults of a provider.
const (
	DefaultMaxTokenAge = 24 * time.Hour
	DefaultMaxStale    = 24 * time.Hour
	maxClockSkew       = 10 * time.Minute
)

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.FetchTimeout <= 0 {
		c.FetchTimeout = 5 * time.Second
	}
	if c.MaxWait <= 0 {
		c.MaxWait = 3 * time.Second
	}
	if c.RefreshInterval <= 0 {
		c.RefreshInterval = 5 * time.Minute
	}
	return c
}

func (p Provider) withDefaults() Provider {
	if p.GroupsAttribute == "" {
		p.GroupsAttribute = "groups"
	}
	if p.MaxTokenAge == 0 {
		p.MaxTokenAge = DefaultMaxTokenAge
	}
	if p.MaxStale == 0 {
		p.MaxStale = DefaultMaxStale
	}
	return p
}

// checkProviders tells every fault at once.
func checkProviders(providers []Provider, once exchange.Once) error {
	var faults []error
	if len(providers) > 0 && once == nil {
		faults = append(faults, errors.New("assertions are accepted once, which needs a store of marks"))
	}
	names, entities := map[string]bool{}, map[string]string{}
	for _, p := range providers {
		for _, fault := range p.faults() {
			faults = append(faults, fmt.Errorf("identity provider %s: %w", p.Name, fault))
		}
		if names[p.Name] {
			faults = append(faults, fmt.Errorf("identity provider %s is there twice", p.Name))
		}
		if other, there := entities[p.EntityID]; there {
			faults = append(faults, fmt.Errorf("identity providers %s and %s are the same entity; make them one", other, p.Name))
		}
		names[p.Name], entities[p.EntityID] = true, p.Name
	}
	return errors.Join(faults...)
}

func (p Provider) faults() (faults []error) {
	fault := func(text string) { faults = append(faults, errors.New(text)) }
	if p.Name == "" {
		fault("it has no name")
	}
	for _, must := range []struct{ what, text string }{{"entity_id", p.EntityID}, {"audience", p.Audience}, {"recipient", p.Recipient}} {
		if unprintable(must.text) {
			fault(must.what + " must be printable ASCII, and not empty")
		}
	}
	switch {
	case (p.MetadataURI == "") == (p.MetadataFile == ""):
		fault("needs metadata_file or metadata_uri, and one alone")
	case p.MetadataURI != "" && !dialable(p.MetadataURI):
		fault("metadata_uri must be an https URL without user and fragment; http is for the loopback only")
	}
	if p.ClockSkew < 0 || p.ClockSkew > maxClockSkew {
		fault(fmt.Sprintf("clock_skew must be between 0 and %s", maxClockSkew))
	}
	if p.MaxTokenAge < 0 || p.MaxStale < 0 {
		fault("max_token_age and max_stale can't be negative")
	}
	if reserved[p.SubjectAttribute] || reserved[p.GroupsAttribute] {
		fault("subject_attribute and groups_claim can't name what an assertion says by itself")
	}
	return faults
}

// unprintable reports whether text can't be shown in an error_description (RFC 6749 §5.2), or is empty.
func unprintable(text string) bool {
	return text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' || r == '"' || r == '\\' })
}

// dialable reports whether metadata may be fetched from there: by https, or http on the loopback.
func dialable(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || strings.Contains(text, "#") {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && identity.IsLoopback(u)
}
