package clients

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"sync/atomic"

	"github.com/lakegate/sts/exchange"
)

// Method is how a client authenticates (RFC 7591 §2, token_endpoint_auth_method).
type Method string

// The methods.
const (
	MethodBasic Method = "client_secret_basic"
	MethodPost  Method = "client_secret_post"
)

// Methods are all that are served here, as metadata announces them.
func Methods() []Method { return []Method{MethodBasic, MethodPost} }

// Registration is one client and how it proves itself.
type Registration struct {
	Client exchange.Client
	Method Method
	// SecretSHA256 are the hashes of the secrets in force: one, or two during a rotation.
	SecretSHA256 [][sha256.Size]byte
}

// Registry holds the clients in force.
type Registry struct {
	current atomic.Pointer[Snapshot]
	// compare is subtle.ConstantTimeCompare unless a test counts its calls.
	compare func(a, b []byte) int
}

// New makes a registry that knows nobody yet.
func New() *Registry {
	return &Registry{compare: subtle.ConstantTimeCompare}
}

// Snapshot is a checked set of clients.
type Snapshot struct {
	entries map[string]*entry
	// nobody stands in for a client that is not there, so that it costs the same work.
	nobody *entry
}

// entry always has two hashes, the second a repeat where there is one secret, so that all entries compare alike.
type entry struct {
	client exchange.Client
	method Method
	hashes [2][sha256.Size]byte
}

// Prepare checks the clients that are to be in force. It changes nothing: all parts of a reload prepare before any of
// them commits.
func Prepare(registrations []Registration) (*Snapshot, error) {
	s := &Snapshot{entries: make(map[string]*entry, len(registrations)), nobody: &entry{}}
	for _, r := range registrations {
		e, err := newEntry(r)
		if err != nil {
			return nil, fmt.Errorf("client %q: %w", r.Client.ID, err)
		}
		if s.entries[r.Client.ID] != nil {
			return nil, fmt.Errorf("client %q is registered twice", r.Client.ID)
		}
		s.entries[r.Client.ID] = e
	}
	return s, nil
}

func newEntry(r Registration) (*entry, error) {
	if !isVSCHAR(r.Client.ID) {
		return nil, fmt.Errorf("its id must be printable ASCII and not empty (RFC 6749 Appendix A.1)")
	}
	e := &entry{client: r.Client, method: r.Method}
	switch r.Method {
	case MethodBasic, MethodPost:
	default:
		return nil, fmt.Errorf("auth_method %q is not known here; use one of %v", r.Method, Methods())
	}
	switch len(r.SecretSHA256) {
	case 1:
		e.hashes = [2][sha256.Size]byte{r.SecretSHA256[0], r.SecretSHA256[0]}
	case 2:
		e.hashes = [2][sha256.Size]byte(r.SecretSHA256)
	default:
		return nil, fmt.Errorf("it has %d secret hashes; it needs one, or two during a rotation", len(r.SecretSHA256))
	}
	return e, nil
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

// Commit puts a snapshot in force, for every request that authenticates from now on.
func (r *Registry) Commit(s *Snapshot) { r.current.Store(s) }
