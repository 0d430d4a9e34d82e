package clients

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/jwt"
)

// Method is how a client authenticates (RFC 7591 §2, token_endpoint_auth_method).
type Method string

// The methods.
const (
	MethodBasic         Method = "client_secret_basic"
	MethodPost          Method = "client_secret_post"
	MethodPrivateKeyJWT Method = "private_key_jwt"
	MethodTLS           Method = "tls_client_auth"
	// MethodFederated is a name of ours: a client_assertion that an identity provider issued to the client. To who reads our
	// metadata it is a JWT in the same parameters as those of private_key_jwt.
	MethodFederated Method = "federated_assertion"
	// MethodNone is a public client's. None is served; a registered one is told so.
	MethodNone Method = "none"
)

// Methods are all by which a client can authenticate, by their registered names (RFC 8414 §2), of which federated_assertion
// is none.
func Methods() []Method { return []Method{MethodBasic, MethodPost, MethodPrivateKeyJWT, MethodTLS} }

// Registration is one client and how it proves itself.
type Registration struct {
	Client exchange.Client
	Method Method
	// SecretSHA256 are the hashes of the secrets in force: one, or two during a rotation.
	SecretSHA256 [][sha256.Size]byte
	// KeySet is the JWK set of a client that signs assertions; AudienceTokenEndpoint also takes those that are made for
	// the token endpoint's URL.
	KeySet                []byte
	AudienceTokenEndpoint bool
	// Workload is whose tokens a client authenticates by that has no credential of its own.
	Workload Workload
	// Name is what the certificate of a client says that authenticates by one.
	Name CertificateName
}

// Config is what a Registry is made of. Without Issuer and Once no assertion is accepted, without Verifier none of a
// platform, without Authorities no certificate.
type Config struct {
	// Issuer is our own issuer identifier, and TokenEndpoint the token endpoint's URL, as clients name them.
	Issuer, TokenEndpoint string
	// Once marks assertions that were used.
	Once exchange.Once
	// Verifier verifies the tokens that platforms issue to clients, for exchange.UseClient.
	Verifier exchange.Verifier
	// Authorities returns the CAs that client certificates are verified against, at each request.
	Authorities func() *x509.CertPool
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Registry holds the clients in force.
type Registry struct {
	current atomic.Pointer[Snapshot]

	issuer, tokenEndpoint string
	once                  exchange.Once
	verifier              exchange.Verifier
	authorities           func() *x509.CertPool
	now                   func() time.Time
	decoys                map[string]*jwt.Key

	// compare is subtle.ConstantTimeCompare unless a test counts its calls; onVerify is nil unless a test counts those.
	compare  func(a, b []byte) int
	onVerify func()
}

// New makes a registry that knows nobody yet.
func New(c Config) (*Registry, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	decoys, err := newDecoys(rand.Reader)
	if err != nil {
		return nil, err
	}
	return &Registry{
		issuer: c.Issuer, tokenEndpoint: c.TokenEndpoint, once: c.Once, verifier: c.Verifier, authorities: c.Authorities, now: c.Now,
		decoys: decoys, compare: subtle.ConstantTimeCompare,
	}, nil
}

// Snapshot is a checked set of clients.
type Snapshot struct {
	entries map[string]*entry
	// workloads are those whose credentials are a platform's.
	workloads map[Workload]*entry
	// nobody stands in for a client that is not there, so that it costs the same work.
	nobody *entry
}

// entry always has two hashes, the second a repeat where there is one secret, so that all entries compare alike.
type entry struct {
	client exchange.Client
	method Method
	hashes [2][sha256.Size]byte

	keys                  []jwt.Key
	audienceTokenEndpoint bool
	name                  nameMatcher
}

// Prepare checks the clients that are to be in force. It changes nothing: all parts of a reload prepare before any of
// them commits.
func Prepare(registrations []Registration) (*Snapshot, error) {
	s := &Snapshot{entries: make(map[string]*entry, len(registrations)), workloads: map[Workload]*entry{}, nobody: &entry{}}
	for _, r := range registrations {
		e, err := newEntry(r)
		if err != nil {
			return nil, fmt.Errorf("client %q: %w", r.Client.ID, err)
		}
		if s.entries[r.Client.ID] != nil {
			return nil, fmt.Errorf("client %q is registered twice", r.Client.ID)
		}
		s.entries[r.Client.ID] = e
		if r.Method != MethodFederated {
			continue
		}
		if other := s.workloads[r.Workload]; other != nil {
			return nil, fmt.Errorf("clients %q and %q authenticate by tokens of the same subject", other.client.ID, r.Client.ID)
		}
		s.workloads[r.Workload] = e
	}
	return s, nil
}

func newEntry(r Registration) (*entry, error) {
	if !isVSCHAR(r.Client.ID) {
		return nil, fmt.Errorf("its id must be printable ASCII and not empty (RFC 6749 Appendix A.1)")
	}
	e := &entry{client: r.Client, method: r.Method, audienceTokenEndpoint: r.AudienceTokenEndpoint}
	var err error
	switch r.Method {
	case MethodBasic, MethodPost:
		err = e.setHashes(r.SecretSHA256)
	case MethodPrivateKeyJWT:
		if e.keys, err = parseKeys(r.KeySet); err != nil {
			err = fmt.Errorf("jwks_file: %w", err)
		}
	case MethodFederated:
		err = r.Workload.check()
	case MethodTLS:
		e.name, err = newNameMatcher(r.Name)
	case MethodNone:
	default:
		err = fmt.Errorf("auth_method %q is not known here; use one of %v", r.Method, append(Methods(), MethodFederated))
	}
	return e, err
}

func (e *entry) setHashes(secrets [][sha256.Size]byte) error {
	switch len(secrets) {
	case 1:
		e.hashes = [2][sha256.Size]byte{secrets[0], secrets[0]}
	case 2:
		e.hashes = [2][sha256.Size]byte(secrets)
	default:
		return fmt.Errorf("it has %d secret hashes; it needs one, or two during a rotation", len(secrets))
	}
	return nil
}

// isVSCHAR checks the characters that RFC 6749 allows in a client identifier.
func isVSCHAR(id string) bool {
	for i := range len(id) {
		if id[i] < 0x20 || id[i] > 0x7e {
			return false
		}
	}
	return id != ""
}

// Client returns the client of that id as it is registered, nil where there is none. It says nothing about who asks.
func (r *Registry) Client(id string) *exchange.Client {
	s := r.current.Load()
	if s == nil || s.entries[id] == nil {
		return nil
	}
	client := s.entries[id].client
	return &client
}

// Commit puts a snapshot in force, for every request that authenticates from now on.
func (r *Registry) Commit(s *Snapshot) { r.current.Store(s) }
