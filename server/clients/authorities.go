package clients

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/lakegate/sts/server/follow"
)

// Authorities are the certificate authorities that client certificates are verified against. They follow their file; a
// bad file keeps the old ones in use.
type Authorities struct {
	pool *follow.Files[*x509.CertPool]
}

// OpenAuthorities reads a PEM file of CA certificates.
func OpenAuthorities(file string, now func() time.Time, log *slog.Logger) (*Authorities, error) {
	pool, err := follow.Open(follow.Config[*x509.CertPool]{
		What: "the file of client CAs", Names: []string{file}, Now: now, Log: log,
		Load: func() (*x509.CertPool, error) {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			pool, err := ParseAuthorities(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			return pool, nil
		},
	})
	if err != nil {
		return nil, err
	}
	return &Authorities{pool: pool}, nil
}

// Pool is those in use.
func (a *Authorities) Pool() *x509.CertPool { return a.pool.Get() }

// Health says why those in use are not those of the file.
func (a *Authorities) Health() error {
	_, err := a.pool.Look()
	return err
}

// ParseAuthorities reads CA certificates in PEM, with comments between them. Every block must be one: the library's own
// reader skips what it can't read, and then knows fewer authorities than somebody believes.
func ParseAuthorities(text []byte) (*x509.CertPool, error) {
	pool, count := x509.NewCertPool(), 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a block %q; it may hold certificates alone", block.Type)
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", count+1, err)
		}
		if !ca.IsCA || !ca.BasicConstraintsValid {
			return nil, fmt.Errorf("certificate %d (%s) is not a CA's", count+1, ca.Subject)
		}
		pool.AddCert(ca)
		count++
	}
	switch begun := bytes.Count(text, []byte("-----BEGIN ")); {
	case begun == 0:
		return nil, errors.New("it holds no certificate in PEM")
	case begun != count: // the decoder passes over a damaged block as if it were a comment
		return nil, errors.New("one of its PEM blocks is damaged")
	}
	return pool, nil
}
