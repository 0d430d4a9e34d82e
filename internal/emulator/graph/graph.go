package graph

import (
	"slices"
	"sync"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// The routes, as faults and totals name them.
const (
	TokenRoute             = "POST /{tenant}/oauth2/v2.0/token"
	UsersRoute             = "POST /v1.0/users/{id}/getMemberObjects"
	ServicePrincipalsRoute = "POST /v1.0/servicePrincipals/{id}/getMemberObjects"
)

// MaxMembers is how many ids Graph lists.
const MaxMembers = 11_000

// Config says who may ask.
type Config struct {
	// Addr is where Start listens; "127.0.0.1:0" if empty.
	Addr string
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// ClientID is the app registration's, and so are its credentials.
	ClientID, ClientSecret string
	Federated              *Federated
	// Tenants have consented to it.
	Tenants []string
}

// Server is the token endpoints and Graph on one host.
type Server struct {
	*emulator.Server
	cfg Config

	mu      sync.Mutex
	members map[object][]string
	tokens  map[string]issued
}

// object is somebody, or something, in a directory.
type object struct {
	tenant, id  string
	application bool
}

// issued is what a token of ours is for.
type issued struct {
	tenant  string
	expires time.Time
}

// New makes a directory without people.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, members: map[object][]string{}, tokens: map[string]issued{}}
	s.Server = emulator.NewServer(emulator.Config{
		Addr: cfg.Addr, Now: cfg.Now, Plain: []string{"grant_type", "client_id", "scope", "client_assertion_type"},
	})
	s.Remember(cfg.ClientSecret)
	s.Handle(TokenRoute, s.serveToken)
	s.Handle(UsersRoute, s.serveMembers(false))
	s.Handle(ServicePrincipalsRoute, s.serveMembers(true))
	return s
}

// Put says which groups a user of a tenant is in, from now on.
func (s *Server) Put(tenant, id string, groups ...string) { s.put(object{tenant, id, false}, groups) }

// PutApplication is Put for a service principal.
func (s *Server) PutApplication(tenant, id string, groups ...string) {
	s.put(object{tenant, id, true}, groups)
}

func (s *Server) put(o object, groups []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members[o] = slices.Clone(groups)
}

// Withdraw ends all tokens before their time, as Entra ID does when the app registration is changed.
func (s *Server) Withdraw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}
