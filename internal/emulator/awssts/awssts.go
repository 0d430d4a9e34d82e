package awssts

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// Config says which AWS STS it is.
type Config struct {
	// Addr is where Start listens; "127.0.0.1:0" if empty.
	Addr string
	// Region is the one that it serves, and the one that requests are signed for; eu-central-1 if empty.
	Region string
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Server is the AWS STS of one region. It is reached under any address, and wants its public name as Host.
type Server struct {
	*emulator.Server
	region string

	mu   sync.Mutex
	keys map[string]*Key
}

// The routes, as faults and totals name them.
const (
	RoutePost = "POST /{$}"
	RouteGet  = "GET /{$}"
)

// New makes an AWS STS without access keys.
func New(cfg Config) *Server {
	if cfg.Region == "" {
		cfg.Region = "eu-central-1"
	}
	s := &Server{
		Server: emulator.NewServer(emulator.Config{Addr: cfg.Addr, Now: cfg.Now, ErrorBody: faultBody}),
		region: cfg.Region, keys: map[string]*Key{},
	}
	s.Handle(RoutePost, s.serve)
	s.Handle(RouteGet, s.serve)
	return s
}

// Region is the one that it serves.
func (s *Server) Region() string { return s.region }

// Host is its public name.
func (s *Server) Host() string { return HostOf(s.region) }

// HostOf is the public name of a region's AWS STS.
func HostOf(region string) string {
	host := "sts." + region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		host += ".cn"
	}
	return host
}

// window is how far AWS lets a request's date be from its clock.
const window = 15 * time.Minute

// serve is GetCallerIdentity.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	key, refused := s.judge(r)
	if refused != nil {
		emulator.Note(r, "refused", refused.code)
		refused.write(w, r)
		return
	}
	emulator.Note(r, "arn", key.ARN)
	writeIdentity(w, r, key)
}

// judge makes AWS's checks.
func (s *Server) judge(r *http.Request) (*Key, *refusal) {
	if r.Host != s.Host() {
		return nil, refuse(http.StatusForbidden, "SignatureDoesNotMatch", "the host is not that of this endpoint")
	}
	query := r.URL.Query()
	if actions := query["Action"]; len(actions) != 1 || actions[0] != "GetCallerIdentity" || query.Get("Version") != "2011-06-15" {
		return nil, refuse(http.StatusBadRequest, "InvalidAction", "Could not find operation for version 2011-06-15")
	}
	sig, refused := signatureOf(r)
	if refused != nil {
		return nil, refused
	}
	s.mu.Lock()
	key, there := s.keys[sig.accessKey]
	var known Key
	if there {
		known = *key
	}
	s.mu.Unlock()
	if !there || sig.token != known.Token {
		return nil, refuse(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	now := s.Now()
	if !known.Expires.IsZero() && !now.Before(known.Expires) {
		return nil, refuse(http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired")
	}
	if now.Sub(sig.date) > sig.lasts || sig.date.Sub(now) > window {
		return nil, refuse(http.StatusForbidden, "SignatureDoesNotMatch", "Signature expired")
	}
	if sig.region != s.region || sig.computed(r, known.Secret) != sig.signature {
		return nil, refuse(http.StatusForbidden, "SignatureDoesNotMatch",
			"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.")
	}
	return &known, nil
}
