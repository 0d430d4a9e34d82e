package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/store"
)

// startRedis makes the Redis that replicas share, nil where none is configured. It need not be there yet.
func (s *service) startRedis(cfg *config.Redis) (*store.Redis, error) {
	if cfg == nil {
		return nil, nil
	}
	c := store.RedisConfig{
		Address: cfg.Addresses[0], Username: cfg.Username, Password: exchange.Secret(cfg.Password.Reveal()),
		Timeout: cfg.Timeout, Log: s.log, Metrics: s.metrics, Now: now,
	}
	var err error
	if c.TLS, err = redisTLS(cfg.TLS); err != nil {
		return nil, err
	}
	redis, err := store.NewRedis(c)
	if err != nil {
		return nil, err
	}
	s.onClose(redis.Close)
	s.background(redis.Run)
	return redis, nil
}

// redisTLS is how Redis is asked, nil for in plaintext.
func redisTLS(cfg *config.RedisTLS) (*tls.Config, error) {
	if cfg == nil {
		return nil, nil
	}
	text, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("store.redis.tls.ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("store.redis.tls.ca_file: %s has no certificate in PEM", cfg.CAFile)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// newOnce makes the marks of what may be used once: over Redis where there are replicas that share one.
func newOnce(redis *store.Redis) (exchange.Once, error) {
	if redis != nil {
		return redis, nil
	}
	return store.NewMemoryOnce(store.OnceConfig{Now: now})
}
