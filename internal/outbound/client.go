package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Config bounds a client. The zero value is a good client for small JSON documents.
type Config struct {
	// Timeout is for the whole call, from the dial to the last byte of the body. Default 5 s.
	Timeout time.Duration
	// MaxBytes bounds a response's body; to read past it is ErrTooLarge. Default 1 MiB.
	MaxBytes int64
	// MaxConnsPerHost bounds the connections to one host, used and idle; a call over it waits, within Timeout.
	// Default 32.
	MaxConnsPerHost int
	// RootCAs are who may vouch for servers. Default: the system's.
	RootCAs *x509.CertPool
	// Proxy is an HTTP proxy for all calls. Default none: the environment is not asked, so that nobody who can set a
	// variable can see our calls.
	Proxy *url.URL
	// UserAgent is sent where a request names none. Default "lakegate-sts".
	UserAgent string
}

const (
	defaultTimeout   = 5 * time.Second
	defaultMaxBytes  = 1 << 20
	defaultMaxConns  = 32
	maxHeaderBytes   = 64 << 10
	idleConnTimeout  = 90 * time.Second
	keepAlive        = 15 * time.Second
	pingAfter        = 5 * time.Second // of silence
	pingTimeout      = 5 * time.Second
	defaultUserAgent = "lakegate-sts"
)

// New makes a client with its own pool of connections.
func New(c Config) *http.Client {
	return &http.Client{Transport: newTransport(c.withDefaults())}
}

func (c Config) withDefaults() Config {
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = defaultMaxBytes
	}
	if c.MaxConnsPerHost <= 0 {
		c.MaxConnsPerHost = defaultMaxConns
	}
	if c.UserAgent == "" {
		c.UserAgent = defaultUserAgent
	}
	return c
}

func newTransport(c Config) *transport {
	base := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: c.Timeout, KeepAlive: keepAlive}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    c.Timeout,
		ResponseHeaderTimeout:  c.Timeout,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        idleConnTimeout,
		MaxConnsPerHost:        c.MaxConnsPerHost,
		MaxIdleConnsPerHost:    c.MaxConnsPerHost,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      true, // a TLSClientConfig of one's own switches it off
		// All calls share one HTTP/2 connection. Where a firewall has forgotten it, every call on it times out, and
		// without pings it would be used for a quarter of an hour, until the kernel gives it up.
		HTTP2:              &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		DisableCompression: true, // a small answer that unpacks into a large one
	}
	if c.Proxy != nil {
		base.Proxy = http.ProxyURL(c.Proxy)
	}
	return &transport{base: base, timeout: c.Timeout, maxBytes: c.MaxBytes, userAgent: c.UserAgent}
}
