package databricks

import (
	"crypto/rsa"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// The routes, as faults and totals name them.
const (
	MetadataRoute  = "GET /.well-known/databricks-config"
	DiscoveryRoute = "GET /oidc/.well-known/oauth-authorization-server"
	KeysRoute      = "GET /oidc/jwks.json"
	TokenRoute     = "POST /oidc/v1/token"
	InvokeRoute    = "POST /serving-endpoints/{name}/invocations"
	UploadRoute    = "PUT /api/2.0/fs/files/{path...}"
	DownloadRoute  = "GET /api/2.0/fs/files/{path...}" // HEAD, too
	ListRoute      = "GET /api/2.0/fs/directories/{path...}"
)

// Config describes the workspace.
type Config struct {
	// Addr is where Start listens; "127.0.0.1:0" if empty.
	Addr string
	// URL is the workspace's host URL; empty means where Start listened.
	URL string
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// AccountID is the account's, and the default audience of federation policies; DefaultAccountID if empty.
	AccountID string
	// WorkspaceID is the audience of issued tokens; "1234567890123456" if empty.
	WorkspaceID string
	// Principals and Endpoints are there from the start. More can be put in with PutPrincipal and PutEndpoint.
	Principals []Principal
	Endpoints  []Endpoint
	// Volumes are there from the start. More can be put in with PutVolume.
	Volumes []Volume
	// Switches choose where the real one's behaviour isn't certain.
	Switches Switches
	// Key signs access tokens; a new one of 2,048 bits if nil. Tests that start many workspaces share one, since making
	// it takes longer than the rest.
	Key *rsa.PrivateKey
	// Client fetches issuers' keys; a client that gives up after 5 s and follows no redirect if nil.
	Client *http.Client
}

// DefaultAccountID is the account of a Config that names none.
const DefaultAccountID = "11111111-2222-3333-4444-555555555555"

// Server is the emulated workspace.
type Server struct {
	*emulator.Server
	cfg        Config
	signingKey func() *tokenKey
	keys       *issuerKeys

	mu         sync.Mutex
	switches   Switches
	principals map[string]Principal // by application id
	endpoints  map[string]Endpoint  // by name
	volumes    map[string]Volume    // by path
	files      map[string]file      // by path
	live       map[string]issued    // by the token's hash
	minted     map[string]int       // by application id
	used       map[string]time.Time // jti of assertions taken once, until their expiry
}

// New makes a workspace.
func New(cfg Config) (*Server, error) {
	if cfg.AccountID == "" {
		cfg.AccountID = DefaultAccountID
	}
	if cfg.WorkspaceID == "" {
		cfg.WorkspaceID = "1234567890123456"
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{
			Timeout:       5 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	s := &Server{
		cfg: cfg, principals: map[string]Principal{}, endpoints: map[string]Endpoint{},
		volumes: map[string]Volume{}, files: map[string]file{},
		live: map[string]issued{}, minted: map[string]int{}, used: map[string]time.Time{},
	}
	s.Server = emulator.NewServer(emulator.Config{
		Addr: cfg.Addr, URL: cfg.URL, Now: cfg.Now, ErrorBody: errorBody, OnReset: s.onReset, MaxBody: maxUpload + 1,
		Plain: []string{
			"grant_type", "client_id", "scope", "authorization_details", "subject_token_type", "requested_token_type",
			"audience", "resource", "assume_group", "client_assertion_type",
		},
	})
	s.keys = &issuerKeys{client: cfg.Client, now: s.Now, sources: map[string]*keySource{}}
	s.signingKey = newTokenKey(cfg.Key)
	if err := s.SetSwitches(cfg.Switches); err != nil {
		return nil, err
	}
	for _, e := range cfg.Endpoints {
		if err := s.PutEndpoint(e); err != nil {
			return nil, err
		}
	}
	for _, v := range cfg.Volumes {
		if err := s.PutVolume(v); err != nil {
			return nil, err
		}
	}
	for _, p := range cfg.Principals {
		if err := s.PutPrincipal(p); err != nil {
			return nil, err
		}
	}
	s.Handle(MetadataRoute, s.serveMetadata)
	s.Handle(DiscoveryRoute, s.serveDiscovery)
	s.Handle(KeysRoute, s.serveKeys)
	s.Handle(TokenRoute, s.serveToken)
	s.Handle(InvokeRoute, s.serveInvocation)
	s.Handle(UploadRoute, s.serveUpload)
	s.Handle(DownloadRoute, s.serveDownload)
	s.Handle(ListRoute, s.serveList)
	s.Control("POST /_emulator/tokens", s.postTokens)
	s.Control("POST /_emulator/setup", s.postSetup)
	return s, nil
}

// PutPrincipal adds a principal or replaces the one of that application id.
func (s *Server) PutPrincipal(p Principal) error {
	if err := p.complete(s.cfg.AccountID); err != nil {
		return fmt.Errorf("databricks: %w", err)
	}
	s.Remember(p.Secrets...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.principals[p.ApplicationID] = p
	return nil
}

// RemovePrincipal deletes a principal, its policies with it. Its tokens die.
func (s *Server) RemovePrincipal(applicationID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.principals, applicationID)
}

// Principal returns the principal of that application id, as PutPrincipal completed it.
func (s *Server) Principal(applicationID string) (Principal, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, known := s.principals[applicationID]
	return p, known
}

// PutEndpoint adds an endpoint or replaces the one of that name.
func (s *Server) PutEndpoint(e Endpoint) error {
	if err := e.complete(); err != nil {
		return fmt.Errorf("databricks: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints[e.Name] = e
	return nil
}

// SetSwitches replaces the switches.
func (s *Server) SetSwitches(switches Switches) error {
	if err := switches.check(); err != nil {
		return fmt.Errorf("databricks: switches: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.switches = switches
	return nil
}

// Mints counts the tokens that the token endpoint issued for a principal since the start or the last reset, for all
// principals if applicationID is "". A token counts even if a fault spoiled the answer.
func (s *Server) Mints(applicationID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if applicationID != "" {
		return s.minted[applicationID]
	}
	total := 0
	for _, n := range s.minted {
		total += n
	}
	return total
}

// ForgetKeys empties the cache of issuers' keys, as if 15 minutes had passed.
func (s *Server) ForgetKeys() { s.keys.forget() }

// AccountID is the account's id.
func (s *Server) AccountID() string { return s.cfg.AccountID }

func (s *Server) onReset() {
	s.keys.forget()
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.minted)
}

func (s *Server) currentSwitches() Switches {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.switches
}
