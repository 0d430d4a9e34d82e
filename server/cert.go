package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"github.com/lakegate/sts/server/follow"
)

// certificate is a certificate and key that follow their files. A bad pair keeps the old one in use.
type certificate struct {
	pair *follow.Files[*tls.Certificate]
	now  func() time.Time
}

func loadCertificate(certFile, keyFile string, now func() time.Time, log *slog.Logger) (*certificate, error) {
	pair, err := follow.Open(follow.Config[*tls.Certificate]{
		What: "the TLS certificate", Names: []string{certFile, keyFile}, Now: now, Log: log,
		Load: func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			return &pair, err
		},
	})
	if err != nil {
		return nil, err
	}
	return &certificate{pair: pair, now: now}, nil
}

// get is tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.pair.Get(), nil }

// check says what is wrong with the certificate in use.
func (c *certificate) check() error {
	pair, err := c.pair.Look()
	switch leaf, now := pair.Leaf, c.now(); {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the certificate expired at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate is not valid before %s; check the clock", leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return err
}
