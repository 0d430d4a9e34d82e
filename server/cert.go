package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certCheck is how often the files are looked at, at most. It is asked for at handshakes and by the health check, so
// that no watch on a folder can be lost; a stat costs nothing beside a handshake.
const certCheck = time.Second

// certificate is a certificate and key that follow their files. A bad pair keeps the old one in use.
type certificate struct {
	certFile, keyFile string
	now               func() time.Time
	log               *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	checked time.Time
	version [2]fileVersion
	failed  error // why the files as they are now aren't in use
}

type fileVersion struct {
	modified time.Time
	size     int64
}

func loadCertificate(certFile, keyFile string, now func() time.Time, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, now: now, log: log}
	c.refresh()
	if c.failed != nil {
		return nil, c.failed
	}
	return c, nil
}

// get is tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	return c.pair, nil
}

// check says what is wrong with the certificate in use.
func (c *certificate) check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	if leaf := c.pair.Leaf; c.now().After(leaf.NotAfter) {
		return fmt.Errorf("the certificate expired at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return c.failed
}

// refresh reads the files if they have changed. The version is taken before they are read: a change in between is
// seen as one more change.
func (c *certificate) refresh() {
	now := c.now()
	if elapsed := now.Sub(c.checked); c.pair != nil && elapsed >= 0 && elapsed < certCheck {
		return
	}
	c.checked = now
	version, err := c.stat()
	if err == nil && c.pair != nil && version == c.version {
		c.failed = nil // the pair in use is that of the files, again
		return
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(c.certFile, c.keyFile)
	}
	if err != nil {
		c.fail(fmt.Errorf("reading the TLS certificate: %w", err))
		return
	}
	if c.pair != nil {
		c.log.Info("the TLS certificate was read again", "not_after", pair.Leaf.NotAfter)
	}
	c.pair, c.version, c.failed = &pair, version, nil
}

// fail keeps the old pair, and will try again.
func (c *certificate) fail(err error) {
	if c.failed == nil && c.pair != nil {
		c.log.Error("the old TLS certificate stays in use", "error", err)
	}
	c.failed = err
}

func (c *certificate) stat() (version [2]fileVersion, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, statErr := os.Stat(name)
		if statErr != nil {
			err = errors.Join(err, statErr)
			continue
		}
		version[i] = fileVersion{info.ModTime(), info.Size()}
	}
	return version, err
}
