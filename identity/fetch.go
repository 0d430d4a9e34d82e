package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/lakegate/sts/identity/internal/refresh"
	"github.com/lakegate/sts/internal/jwt"
	"github.com/lakegate/sts/internal/outbound"
)

// origin is where keys come from: equal origins give equal keys.
type origin struct {
	provider string
	issuer   string
	uri      string // with uri and file empty: by discovery
	file     string

	caFile    string // see access.go
	tokenFile string
	bundle    bool // of a SPIFFE trust domain
}

func originOf(p Provider) origin {
	return origin{
		provider: p.Name, issuer: p.Issuer, uri: p.JWKSURI, file: p.JWKSFile,
		caFile: p.JWKSCAFile, tokenFile: p.JWKSTokenFile, bundle: p.TrustDomain != "",
	}
}

// place is what a source remembers of its last fetch.
type place struct {
	file fs.FileInfo // of the file that was read last
	uri  string      // what discovery found
	at   time.Time   // when
	ca   string      // the text of jwks_ca_file that the client was made of
}

// errUnchanged is that the keys are what they were.
var errUnchanged = errors.New("unchanged")

// errKeySetTooLarge is a key set that is answered, and of a size that nobody's key set is.
var errKeySetTooLarge = fmt.Errorf("its key set is larger than %d bytes", jwt.MaxKeySetBytes)

// rediscover is how long a discovered jwks_uri is used before it is looked up again; a failure looks it up at once.
const rediscover = time.Hour

// load gets the text of the key set.
func (s *keySource) load(ctx context.Context) ([]byte, error) {
	switch {
	case s.origin.file != "":
		return s.loadFile()
	case s.origin.uri != "":
		return s.getKeys(ctx, s.origin.uri)
	}
	if now := s.now(); s.place.uri == "" || !refresh.Within(s.place.at.Add(rediscover), now, rediscover) {
		uri, err := s.discover(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errDiscovery, err)
		}
		s.place.uri, s.place.at = uri, now
	}
	text, err := s.getKeys(ctx, s.place.uri)
	if err != nil {
		s.place.uri = ""
	}
	return text, err
}

// loadFile reads the file if it isn't the one that was read last. A ConfigMap is changed by a symbolic link, so the
// file that the path leads to is what counts.
func (s *keySource) loadFile() ([]byte, error) {
	info, err := os.Stat(s.origin.file)
	if err != nil {
		return nil, fmt.Errorf("reading jwks_file: %w", err)
	}
	if last := s.place.file; last != nil && os.SameFile(last, info) && last.ModTime().Equal(info.ModTime()) && last.Size() == info.Size() {
		return nil, errUnchanged
	}
	file, err := os.Open(s.origin.file)
	if err != nil {
		return nil, fmt.Errorf("reading jwks_file: %w", err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, jwt.MaxKeySetBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading jwks_file: %w", err)
	}
	if _, _, err := s.parse(text); err != nil {
		return nil, err // half written, perhaps: look again
	}
	s.place.file = info
	return text, nil
}

// discover reads the issuer's discovery document (OpenID Connect Discovery 1.0 §4).
func (s *keySource) discover(ctx context.Context) (string, error) {
	text, err := s.get(ctx, strings.TrimSuffix(discoverable(s.origin.issuer), "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", err
	}
	return readDiscovery(string(text), s.origin.issuer)
}

// readDiscovery finds where an issuer's keys are in its discovery document.
func readDiscovery(text, issuer string) (string, error) {
	document, err := jwt.ParseObject(text)
	if err != nil {
		return "", fmt.Errorf("the document %w", err)
	}
	// §4.3: else one issuer could speak for another.
	if document["issuer"] != issuer {
		found, _ := document["issuer"].(string)
		return "", &otherIssuer{found}
	}
	uri, _ := document["jwks_uri"].(string)
	found, err := dialable(uri)
	if err != nil {
		return "", fmt.Errorf("its jwks_uri %w", err)
	}
	if own, err := dialable(issuer); found.Scheme == "http" && (err != nil || own.Scheme != "http") {
		return "", errors.New("its jwks_uri must be https, as its issuer is")
	}
	return uri, nil
}

// otherIssuer is a discovery document of another issuer than the one that is configured.
type otherIssuer struct{ found string }

func (*otherIssuer) Error() string {
	return "the document is of another issuer than the configured one; they must be equal byte for byte"
}

// errDiscovery is that the address of the keys can't be found out.
var errDiscovery = errors.New("discovery")

func (s *keySource) getKeys(ctx context.Context, uri string) ([]byte, error) {
	text, err := s.get(ctx, uri)
	if errors.Is(err, outbound.ErrTooLarge) {
		return nil, errKeySetTooLarge
	}
	return text, err
}

// get fetches a document, and reads off the server's clock.
func (s *keySource) get(ctx context.Context, uri string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, http.NoBody)
	if err != nil {
		return nil, errors.New("its address is no URL")
	}
	request.Header.Set("Accept", "application/json")
	if err := s.authorize(request, uri); err != nil {
		return nil, err
	}
	client, err := s.reach()
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, outbound.Redact(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", request.URL.Host, response.StatusCode)
	}
	s.skew.date.Answered(response.Header, s.now())
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", request.URL.Host, outbound.Redact(err))
	}
	return text, nil
}
