package emulator

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxBody bounds what the emulators read of one request, unless they are told otherwise.
const maxBody = 1 << 20

// maxSecrets bounds what [Server.Secrets] remembers; the oldest goes first.
const maxSecrets = 100_000

// Config is what every emulated server needs.
type Config struct {
	// Addr is where Start listens; "127.0.0.1:0" if empty.
	Addr string
	// URL is what the server calls itself in what it publishes and issues. Empty means the address that Start found;
	// set it where the server is used as a bare handler.
	URL string
	// Now is the clock before the control API's offset; time.Now if nil.
	Now func() time.Time
	// Plain names the form fields that are recorded as they are; the values of all others are recorded as SHA-256.
	Plain []string
	// ErrorBody writes the body of a fault that names a status (≥ 400) and no body; nil means an empty one. The format
	// is the fault's.
	ErrorBody func(status int, format string) []byte
	// MaxBody bounds what is read of one request, in bytes; 1 MiB if zero.
	MaxBody int64
	// OnReset runs when the server is reset; nil means nothing to do.
	OnReset func()
}

// Server is the part that is alike in all emulators: routes, calls, faults, clock and control. It is an http.Handler,
// and a server of its own after Start.
type Server struct {
	cfg     Config
	mux     *http.ServeMux
	control *http.ServeMux
	calls   callLog
	faults  faultList
	offset  atomic.Int64 // nanoseconds

	mu      sync.Mutex
	addr    string // where Start listened, so that a second Start finds the same port
	url     string
	http    *http.Server
	routes  []string
	secrets []string
}

// NewServer makes a server without routes: it answers 501 to everything but the control API.
func NewServer(cfg Config) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = maxBody
	}
	s := &Server{cfg: cfg, mux: http.NewServeMux(), control: http.NewServeMux(), url: strings.TrimSuffix(cfg.URL, "/")}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		WriteJSON(w, http.StatusNotImplemented, map[string]string{
			"error_code": "NOT_IMPLEMENTED", "message": "the emulator does not know " + r.Method + " " + r.URL.Path,
		})
	})
	s.addControl()
	return s
}

// Handle serves a route. The pattern, "METHOD /path" as for http.ServeMux, is the route's name in faults and totals.
func (s *Server) Handle(pattern string, h http.HandlerFunc) {
	s.mux.HandleFunc(pattern, h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routes = append(s.routes, pattern)
}

// Routes lists the routes' names in the order in which they were added.
func (s *Server) Routes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.routes)
}

// Start listens and serves until Close, and returns the server's URL. After Close, Start takes the same port again: in
// between, callers see a refused connection.
func (s *Server) Start() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return "", errors.New("emulator: already started")
	}
	addr := s.addr
	if addr == "" {
		addr = s.cfg.Addr
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("emulator: %w", err)
	}
	s.addr = l.Addr().String()
	if s.url == "" {
		s.url = "http://" + s.addr
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func(srv *http.Server) { _ = srv.Serve(l) }(s.http)
	return "http://" + s.addr, nil
}

// Close stops listening and drops every connection, requests under way included.
func (s *Server) Close() {
	s.mu.Lock()
	srv := s.http
	s.http = nil
	s.mu.Unlock()
	if srv != nil {
		_ = srv.Close()
	}
}

// URL is what the server calls itself, without a trailing slash; empty before Start if the configuration names none.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}

// Now is the server's time: its clock plus the offset.
func (s *Server) Now() time.Time { return s.cfg.Now().Add(time.Duration(s.offset.Load())) }

// SetOffset moves the server's clock to its configured one plus d.
func (s *Server) SetOffset(d time.Duration) { s.offset.Store(int64(d)) }

// Reset removes faults, offset, recorded calls and totals. What was issued stays valid.
func (s *Server) Reset() {
	s.ClearFaults()
	s.SetOffset(0)
	s.calls.reset()
	if s.cfg.OnReset != nil {
		s.cfg.OnReset()
	}
}

// Remember keeps a secret that passed through the server, for [Server.Secrets].
func (s *Server) Remember(secrets ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range secrets {
		if secret != "" { // which is found everywhere
			s.secrets = append(s.secrets, secret)
		}
	}
	if over := len(s.secrets) - maxSecrets; over > 0 {
		s.secrets = slices.Clone(s.secrets[over:])
	}
}

// Secrets returns every token, assertion and secret that the server issued or was sent (the newest 100,000), so that a
// test can look for them where they must not be.
func (s *Server) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.secrets)
}

// ServeHTTP records the call, applies the fault that is set for it, if any, and serves its route. The answer's Date is by
// the server's clock.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", s.Now().UTC().Format(http.TimeFormat))
	if strings.HasPrefix(r.URL.Path, "/_emulator/") {
		s.control.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.cfg.MaxBody))
	if err != nil {
		http.Error(w, "the body is too large or was cut off", http.StatusRequestEntityTooLarge)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))

	_, route := s.mux.Handler(r)
	fields := formFields(r, body)
	fault := s.faults.take(route, fields)
	call := s.calls.arrive(s.newCall(r, route, fields, fault))
	out := &statusWriter{
		ResponseWriter: w,
		answered:       func(status int) { s.calls.answered(call, status) },
		sent:           func(n int) { s.calls.sent(call, n) },
	}
	r = r.WithContext(withCall(r.Context(), &callContext{log: &s.calls, call: call, fault: fault}))
	if fault == nil {
		s.mux.ServeHTTP(out, r)
		return
	}
	s.inject(fault, out, r)
}

// statusWriter tells the status before it is sent, so that whoever has the answer finds it in the record, too.
type statusWriter struct {
	http.ResponseWriter
	answered func(status int) // nil once it was called
	sent     func(n int)
}

// WriteHeader tells and sends.
func (w *statusWriter) WriteHeader(status int) {
	if w.answered != nil {
		w.answered(status)
		w.answered = nil
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends, under 200 if there was no status.
func (w *statusWriter) Write(b []byte) (int, error) {
	if w.answered != nil {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(b)
	w.sent(n)
	return n, err
}

// Unwrap lets http.ResponseController flush.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
