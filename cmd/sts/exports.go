package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/export"
	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/databricks"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/outbound"
	"github.com/lakegate/sts/mapping"
)

// uploadTime bounds the upload of one batch to a volume; postTime the posting of one to a URL.
const (
	uploadTime = time.Minute
	postTime   = 30 * time.Second
)

var _ export.Uploader = (*databricks.Volume)(nil)

// exportParts are what exports are made of, beside the configuration.
type exportParts struct {
	record *audit.Log
	key    audit.PublicKey
	ledger exchange.Ledger
	minter exchange.Minter
}

// startExports makes the exports of the configuration; there may be none.
func (s *service) startExports(cfg *config.Config, p exportParts) error {
	if len(cfg.Audit.Exports) == 0 {
		return nil
	}
	c := export.Config{
		Directory: cfg.Audit.Directory, Log: p.record, Keys: audit.PublicKeys{p.key}, Ledger: p.ledger,
		Now: now, Slog: s.log, Metrics: s.metrics,
	}
	for i := range cfg.Audit.Exports {
		e := &cfg.Audit.Exports[i]
		d, err := s.destination(e, p)
		if err != nil {
			return fmt.Errorf("audit.exports: %s: %w", e.Name, err)
		}
		made := export.Export{Name: e.Name, Destination: d}
		if e.Format == "ocsf" {
			made.Format = export.OCSF
		}
		c.Exports = append(c.Exports, made)
	}
	var err error
	s.exports, err = export.New(c)
	return err
}

func (s *service) destination(e *config.Export, p exportParts) (export.Destination, error) {
	switch {
	case e.OTLP != "":
		return collector(e.OTLP)
	case e.File != "":
		return &export.File{Path: e.File, Log: s.log.With("export", e.Name)}, nil
	case len(e.Command) > 0:
		return &export.Command{Command: e.Command}, nil
	case e.URL != "":
		u := &export.URL{URL: e.URL, Client: outbound.New(outbound.Config{Timeout: postTime}), Now: now}
		if path := e.Authorization.File; path != "" {
			u.Authorization = func() (exchange.Secret, error) { return readAuthorization(path) }
		}
		return u, nil
	default:
		own, err := databricks.NewOwn(databricks.OwnConfig{
			Minter: p.minter, Recorder: p.record, Now: now,
			Grant: func() (exchange.Grant, error) { return s.policy.Policy().Own(e.Workspace, e.Principal) },
		})
		if err != nil {
			return nil, err
		}
		return &export.Volume{Uploader: &databricks.Volume{Folder: e.Volume, Own: own, HTTP: outbound.New(outbound.Config{Timeout: uploadTime})}}, nil
	}
}

// collector is a collector's client, which connects when it is first used.
func collector(endpoint string) (export.Destination, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	secure := insecure.NewCredentials()
	if u.Scheme == "https" {
		secure = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	conn, err := grpc.NewClient(u.Host, grpc.WithTransportCredentials(secure), grpc.WithNoProxy())
	if err != nil {
		return nil, err
	}
	return &export.OTLP{Client: collogspb.NewLogsServiceClient(conn), Conn: conn, Version: buildVersion()}, nil
}

// readAuthorization reads the value of an Authorization header anew, so that a new one needs no restart.
func readAuthorization(path string) (exchange.Secret, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return exchange.Secret(strings.TrimRight(string(text), "\r\n")), nil
}

// exportLast brings the last records of a log that is closed to where they go.
func (s *service) exportLast(ctx context.Context) error {
	if s.exports == nil {
		return nil
	}
	if err := s.exports.Finish(ctx); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "not all records were exported before the end; the next start goes on", slog.Any("error", err))
	}
	return nil
}

// checkExports lists what exports name that the policy doesn't have.
func checkExports(cfg *config.Config, policy *mapping.Policy) error {
	for _, e := range cfg.Audit.Exports {
		if e.Volume == "" {
			continue
		}
		if _, err := policy.Own(e.Workspace, e.Principal); err != nil {
			return fmt.Errorf("audit.exports: %s: %w", e.Name, err)
		}
	}
	return nil
}
