package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/trace"

	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/inbound"
	"github.com/lakegate/sts/server/oauth"
	"github.com/lakegate/sts/server/rpc"
)

// The bounds of what comes in.
const (
	maxHeader         = 64 << 10 // four tokens of 16 KiB
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	// idleTimeout is longer than that of the proxies in front of us (75 s in nginx and Kong): the side that sends the
	// next request must be the one that hangs up, or requests get lost.
	idleTimeout = 120 * time.Second

	maxStreams      = 100      // of one HTTP/2 connection
	maxStreamBuffer = 64 << 10 // what it may send ahead of being read; the default is 1 MiB

	// defaultConnections take about 100 MiB under TLS.
	defaultConnections = 4096
	adminConnections   = 64

	// stopTimeout is how long requests may take to end once the server is told to. What is stopped after it has the rest of
	// ten seconds.
	stopTimeout = 7 * time.Second
	// lookEvery is how often the parts are checked when nobody asks.
	lookEvery = time.Second
)

// Config is what a Server is made of.
type Config struct {
	// HTTP, GRPC and Admin are the addresses to listen at, "host:port"; port 0 takes any. Without GRPC, gRPC is not served.
	HTTP, GRPC, Admin string
	// CertFile and KeyFile are the PEM files for TLS at HTTP and GRPC. Without them both are plaintext, which needs
	// loopback addresses or Plaintext.
	CertFile, KeyFile string
	Plaintext         bool
	// ClientCAs returns the CAs of client certificates; nil where no client authenticates by one, and then callers are
	// not asked for any. TrustedProxies are those whose forwarded certificates are believed.
	ClientCAs      func() *x509.CertPool
	TrustedProxies clients.Proxies
	// Connections bounds how many there are at once at HTTP, and at GRPC a quarter of it, and how many requests at each,
	// which in HTTP/2 are more; 0 means 4096.
	Connections int
	// Reflection lets gRPC clients ask for the description of the services.
	Reflection bool

	// Issuer is our own issuer identifier; FederationIssuer is the one that Databricks knows, "" for the same.
	Issuer, FederationIssuer string
	// JWKS returns the federation issuer's key set as JSON, at each request.
	JWKS func() []byte

	// Exchanger, Inquirer and Clients are those of all entrances.
	Exchanger oauth.Exchanger
	Inquirer  oauth.Inquirer
	Clients   oauth.Authenticator
	// Services are those of the API beside TokenService, over gRPC and JSON, to Bearers. The server knows their Resource and
	// Observe itself.
	Services []rpc.Service
	Bearers  rpc.BearerConfig
	// BearerIssuers returns the issuers whose tokens may have a role, to be told in the metadata; nil tells none.
	BearerIssuers func() []string

	// Parts are what /readyz reports on, beside the server's own.
	Parts []Part

	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log is needed.
	Log *slog.Logger
	// Metrics gets the server's metrics, nil for none; /metrics shows what Gatherer has, nil for nothing.
	Metrics  prometheus.Registerer
	Gatherer prometheus.Gatherer
	// Tracing gets the spans of one in 1/SampleRatio requests, nil for none. The ratio is applied here, so its own
	// sampler must take all.
	Tracing     trace.TracerProvider
	SampleRatio float64
}

// Server serves all listeners.
type Server struct {
	main, admin                   *http.Server
	grpc                          *rpc.Server // nil where gRPC isn't served
	endStreams                    func()      // of both
	mainAddr, grpcAddr, adminAddr string
	connections                   int
	cert                          *certificate // nil for plaintext
	clientCAs                     func() *x509.CertPool
	health                        *health
	stopping                      atomic.Bool
	log                           *slog.Logger

	mainListener, grpcListener, adminListener net.Listener
}

// Addresses are where a Server listens; GRPC is zero where gRPC isn't served.
type Addresses struct{ HTTP, GRPC, Admin netip.AddrPort }

// New checks a configuration and makes a Server that doesn't listen yet.
func New(c Config) (*Server, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	s := &Server{mainAddr: c.HTTP, grpcAddr: c.GRPC, adminAddr: c.Admin, connections: c.Connections, clientCAs: c.ClientCAs, log: c.Log}
	if err := s.secure(&c); err != nil {
		return nil, err
	}
	m, err := newMetrics(c.Metrics)
	if err != nil {
		return nil, fmt.Errorf("registering the server's metrics: %w", err)
	}
	if s.health, err = newHealth(&c); err != nil {
		return nil, fmt.Errorf("registering the server's metrics: %w", err)
	}
	s.addParts()
	if err := c.completeBearers(); err != nil {
		return nil, err
	}
	bodies := inbound.NewBodies()
	endpoint, err := oauth.New(oauth.Config{
		Exchanger: c.Exchanger, Inquirer: c.Inquirer, Clients: c.Clients, Proxies: c.TrustedProxies, Bodies: bodies, Now: c.Now,
		Observer:       m.entrance(oauth.Entrance),
		Introspections: m.inquiry(actionIntrospect, oauth.Entrance), Revocations: m.inquiry(actionRevoke, oauth.Entrance),
	})
	if err != nil {
		return nil, err
	}
	w := newWatcher(&c)
	api, err := s.buildAPI(&c, m, &w, bodies)
	if err != nil {
		return nil, err
	}
	routes, err := newHandler(&c, w, endpoint, api)
	if err != nil {
		return nil, err
	}
	s.main, s.admin = s.bounded(routes), s.bounded(s.adminRoutes(c.Gatherer))
	return s, nil
}

// complete fills what is left out and names what must not be.
func (c *Config) complete() error {
	for _, need := range []struct {
		name    string
		missing bool
	}{
		{"HTTP", c.HTTP == ""}, {"Admin", c.Admin == ""}, {"Issuer", c.Issuer == ""}, {"JWKS", c.JWKS == nil},
		{"Exchanger", c.Exchanger == nil}, {"Inquirer", c.Inquirer == nil}, {"Clients", c.Clients == nil}, {"Log", c.Log == nil},
	} {
		if need.missing {
			return fmt.Errorf("server.Config.%s is missing", need.name)
		}
	}
	if c.FederationIssuer == "" {
		c.FederationIssuer = c.Issuer
	}
	if c.Connections == 0 {
		c.Connections = defaultConnections
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Gatherer == nil {
		c.Gatherer = prometheus.NewRegistry()
	}
	return nil
}

// secure decides between TLS and plaintext.
func (s *Server) secure(c *Config) (err error) {
	if c.CertFile == "" && c.KeyFile == "" {
		if c.GRPC != "" {
			err = checkPlaintext("listen.grpc", c.GRPC, c.Plaintext)
		}
		return errors.Join(checkPlaintext("listen.http", c.HTTP, c.Plaintext), err)
	}
	s.cert, err = loadCertificate(c.CertFile, c.KeyFile, c.Now, c.Log)
	return err
}

func (s *Server) addParts() {
	s.health.add(Part{Name: "server", Fatal: true, Check: func() error {
		if s.stopping.Load() {
			return errors.New("it is stopping")
		}
		return nil
	}})
	if s.cert != nil {
		s.health.add(Part{Name: "tls", Check: s.cert.check})
	}
}

func (s *Server) adminRoutes(g prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", s.health.live)
	mux.HandleFunc("GET /readyz", s.health.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
	return mux
}

// bounded is an http.Server that nobody can hold up.
func (s *Server) bounded(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerConnection: maxStreamBuffer, MaxReceiveBufferPerStream: maxStreamBuffer},
		// What it has to say is about callers that hang up in a handshake and the like.
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		DisableGeneralOptionsHandler: true,
	}
}

// Listen binds all addresses, or none.
func (s *Server) Listen(ctx context.Context) (at Addresses, err error) {
	defer func() {
		if err != nil {
			at, err = Addresses{}, errors.Join(err, s.unlisten())
		}
	}()
	for _, l := range []struct {
		key, address string
		connections  int
		listener     *net.Listener
		at           *netip.AddrPort
	}{
		{"listen.http", s.mainAddr, s.connections, &s.mainListener, &at.HTTP},
		// One of gRPC costs as much memory as three, and carries many calls.
		{"listen.grpc", s.grpcAddr, max(1, s.connections/4), &s.grpcListener, &at.GRPC},
		{"listen.admin", s.adminAddr, adminConnections, &s.adminListener, &at.Admin},
	} {
		if l.address == "" {
			continue
		}
		var lc net.ListenConfig
		listener, err := lc.Listen(ctx, "tcp", l.address)
		if err != nil {
			return at, fmt.Errorf("%s: %w", l.key, err)
		}
		*l.listener, *l.at = limit(listener, l.connections), addrPort(listener)
	}
	return at, nil
}

// unlisten takes back what Listen bound before it failed.
func (s *Server) unlisten() error {
	var errs []error
	for _, l := range []*net.Listener{&s.mainListener, &s.grpcListener, &s.adminListener} {
		if *l != nil {
			errs = append(errs, (*l).Close())
			*l = nil
		}
	}
	return errors.Join(errs...)
}

func addrPort(l net.Listener) netip.AddrPort {
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// Serve works until ctx ends or a listener breaks. Then it says that it is unready, takes no new requests, and lets
// those that it has finish, for at most 7 s. [Server.Listen] comes first.
func (s *Server) Serve(ctx context.Context) error {
	if s.mainListener == nil {
		return errors.New("serving before listening")
	}
	broken := make(chan error, 3)
	s.look()
	go func() { broken <- s.serveMain() }()
	if s.grpc != nil {
		go func() { broken <- s.grpc.Serve(s.grpcListener) }()
	}
	go func() { broken <- s.admin.Serve(s.adminListener) }()

	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.look()
		case err := <-broken:
			return errors.Join(fmt.Errorf("serving: %w", err), s.stop())
		case <-ctx.Done():
			return s.stop()
		}
	}
}

func (s *Server) serveMain() error {
	if s.cert == nil {
		return s.main.Serve(s.mainListener)
	}
	s.main.TLSConfig = s.tlsConfig()
	return s.main.ServeTLS(s.mainListener, "", "")
}

// tlsConfig asks for a client certificate where some client authenticates by one. It takes any and judges none: that is
// done at each request (server/clients), where a bad one gets an answer that says so and a record, and a client that
// authenticates otherwise is let in whatever else its mesh gave it. The authorities are sent as a hint which to choose.
func (s *Server) tlsConfig() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.cert.get, NextProtos: []string{"h2", "http/1.1"}}
	if s.clientCAs == nil {
		return c
	}
	c.ClientAuth = tls.RequestClientCert
	asking := c.Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := asking.Clone()
		now.ClientCAs = s.clientCAs()
		return now, nil
	}
	return c
}

// authMethods are those by which a client can authenticate here.
func (c *Config) authMethods() []clients.Method {
	methods := clients.Methods()
	if c.ClientCAs == nil {
		methods = slices.DeleteFunc(methods, func(m clients.Method) bool { return m == clients.MethodTLS })
	}
	return methods
}

// look checks the parts, and tells those who ask over gRPC.
func (s *Server) look() {
	whole := s.health.look()
	if s.grpc != nil {
		s.grpc.Report(whole.Status != StatusUnready)
	}
}

// stop ends the callers' listeners first, so that operators can watch it end.
func (s *Server) stop() error {
	s.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	s.endStreams()
	calls := make(chan bool, 1)
	go func() { calls <- s.grpc == nil || s.grpc.Stop(ctx) }()
	err := s.main.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut off at the end: %w", err), s.main.Close())
	}
	if whole := <-calls; !whole {
		err = errors.Join(err, errors.New("gRPC calls were cut off at the end"))
	}
	return errors.Join(err, s.admin.Close())
}
