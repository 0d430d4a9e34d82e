package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/lakegate/sts/internal/jwt"
)

// maxCABytes bounds a jwks_ca_file.
const maxCABytes = 1 << 20

// reach gives the client that the provider is asked with. Where the provider has a CA of its own, that CA alone is
// trusted, as its file is now.
func (s *keySource) reach() (*http.Client, error) {
	client := s.client.Load()
	if s.origin.caFile == "" {
		return client, nil
	}
	text, err := readBounded(s.origin.caFile, maxCABytes)
	if err != nil {
		return nil, fmt.Errorf("reading jwks_ca_file: %w", err)
	}
	if client != nil && text == s.place.ca {
		return client, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(text)) {
		return nil, errors.New("jwks_ca_file holds no certificate in PEM")
	}
	made := s.newClient(roots)
	s.client.Store(made)
	s.place.ca = text
	if client != nil {
		client.CloseIdleConnections() // they were made under the old CA
	}
	return made, nil
}

// authorize puts our token at the provider into a request for its keys. It is read each time, since whoever gives it to us
// (the kubelet) replaces it before it expires, and goes to the configured address alone: there is no redirect, and no address
// from a document is asked with it.
func (s *keySource) authorize(r *http.Request, uri string) error {
	if s.origin.tokenFile == "" || uri != s.origin.uri {
		return nil
	}
	token, err := ReadToken(s.origin.tokenFile)
	if err != nil {
		return fmt.Errorf("reading jwks_token_file: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// ReadToken reads a file that holds a token of ours alone. Its errors hold no text of it.
func ReadToken(path string) (string, error) {
	text, err := readBounded(path, jwt.MaxBytes)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(text)
	if unprintable(token) {
		return "", errors.New("it holds no token: one line of printable ASCII without spaces")
	}
	return token, nil
}

func readBounded(path string, most int64) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("it is larger than %d bytes", most)
	}
	return string(text), err
}
