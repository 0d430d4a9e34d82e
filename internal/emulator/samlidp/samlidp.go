package samlidp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// Config says whose identity provider it is.
type Config struct {
	// Addr is where Start listens; "127.0.0.1:0" if empty.
	Addr string
	// URL is the server's own URL; empty means where Start listened. Set it where the server is used as a bare handler.
	URL string
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// EntityID is what it calls itself; empty means its URL and "/saml".
	EntityID string
	// Audience and Recipient are whom its assertions are for if they don't say.
	Audience, Recipient string
}

// Server is the emulated provider. Its one route is its metadata.
type Server struct {
	*emulator.Server
	cfg Config

	mu      sync.Mutex
	keys    []*key // published, the oldest first
	current map[kind]*key
	// encryption is published for encryption alone, foreign not at all.
	encryption, foreign *key
	made                int
}

// MetadataRoute is the route of the metadata, as faults and totals name it.
const MetadataRoute = "GET /metadata"

// kind is a kind of keys.
type kind string

const (
	kindRSA kind = "rsa"
	kindEC  kind = "ecdsa"
)

// validity is how long certificates are good.
const validity = 10 * 365 * 24 * time.Hour

// key is a signing key with its certificate.
type key struct {
	signer      crypto.Signer
	certificate []byte // DER
}

// New makes a provider with an RSA and an ECDSA key of its own.
func New(cfg Config) (*Server, error) {
	s := &Server{
		Server: emulator.NewServer(emulator.Config{Addr: cfg.Addr, URL: cfg.URL, Now: cfg.Now}),
		cfg:    cfg, current: map[kind]*key{},
	}
	for _, k := range []kind{kindRSA, kindEC} {
		if err := s.addKey(k); err != nil {
			return nil, err
		}
	}
	var err error
	if s.encryption, err = newKey(kindEC, s.Now(), validity); err != nil {
		return nil, err
	}
	if s.foreign, err = newKey(kindEC, s.Now(), validity); err != nil {
		return nil, err
	}
	s.Handle(MetadataRoute, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/samlmetadata+xml")
		_, _ = w.Write([]byte(s.Metadata()))
	})
	s.Control("POST /_emulator/assertions", s.postAssertions)
	return s, nil
}

// postAssertions signs the [Assertion] in the body and answers it as {"token": …}.
func (s *Server) postAssertions(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Subject string
		Groups  []string
	}
	if emulator.DecodeJSON(w, r, &in) {
		emulator.WriteJSON(w, http.StatusOK, map[string]string{"token": s.Token(Assertion{Subject: in.Subject, Groups: in.Groups})})
	}
}

// EntityID is what the provider calls itself.
func (s *Server) EntityID() string {
	if s.cfg.EntityID != "" {
		return s.cfg.EntityID
	}
	return s.URL() + "/saml"
}

// MetadataURI is where its metadata is.
func (s *Server) MetadataURI() string { return s.URL() + "/metadata" }

func (s *Server) addKey(k kind) error {
	made, err := newKey(k, s.Now(), validity)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.current[k] = append(s.keys, made), made
	return nil
}

// newKey makes a key, and a certificate that is good for that long.
func newKey(k kind, now time.Time, valid time.Duration) (*key, error) {
	var signer crypto.Signer
	var err error
	if k == kindEC {
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		return nil, fmt.Errorf("samlidp: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "signs assertions"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(valid),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("samlidp: %w", err)
	}
	return &key{signer: signer, certificate: certificate}, nil
}

// Rotate publishes a new RSA key beside the others, and signs with it from now on.
func (s *Server) Rotate() error { return s.addKey(kindRSA) }

// RotateFor is Rotate by a key whose certificate is good for that long.
func (s *Server) RotateFor(valid time.Duration) error {
	made, err := newKey(kindRSA, s.Now(), valid)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.current[kindRSA] = append(s.keys, made), made
	return nil
}

// Withdraw publishes none but the newest key of each kind any more.
func (s *Server) Withdraw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = []*key{s.current[kindRSA], s.current[kindEC]}
}

// signing is the key that signs at the moment.
func (s *Server) signing(k kind) *key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current[k]
}

// Metadata is the provider's EntityDescriptor, with all published certificates, and one that is for encryption alone.
func (s *Server) Metadata() string {
	s.mu.Lock()
	keys := append([]*key(nil), s.keys...)
	s.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>
<!-- published by the identity provider -->
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="%s" entityID="%s">
  <md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol" WantAuthnRequestsSigned="false">
`, spaceSignature, escape(s.EntityID()))
	for i, k := range append(keys, s.encryption) {
		use := ` use="signing"`
		switch {
		case k == s.encryption:
			use = ` use="encryption"`
		case i == 1:
			use = "" // for anything
		}
		fmt.Fprintf(&b, "    <md:KeyDescriptor%s><ds:KeyInfo><ds:X509Data><ds:X509Certificate>\n%s\n</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>\n",
			use, base64.StdEncoding.EncodeToString(k.certificate))
	}
	fmt.Fprintf(&b, `    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="%s/sso"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>
`, escape(s.URL()))
	return b.String()
}
