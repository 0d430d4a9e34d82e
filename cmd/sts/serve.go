package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/tink-crypto/tink-go/v2/tink"
	"go.opentelemetry.io/otel/trace"

	"github.com/lakegate/sts/admission"
	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/export"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/databricks"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/issuer"
	"github.com/lakegate/sts/mapping"
	"github.com/lakegate/sts/server"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/oauth"
	"github.com/lakegate/sts/store"
)

// A stop takes ten seconds at most: the server takes seven of them for the requests that it has; then mints that nobody
// waits for any more, the log's last sync, its last records' way into the index and to the exports, and the last spans have
// these.
const (
	mintsTime  = time.Second
	logTime    = time.Second
	lastTime   = 500 * time.Millisecond
	tracesTime = 500 * time.Millisecond
)

func serveCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the service until it is told to end",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return found(serve(cmd.Context(), path, cmd.ErrOrStderr()))
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// serve is the whole service: made, announced, run, and taken down in the reverse order.
func serve(ctx context.Context, path string, stderr io.Writer) error {
	tuneMemory()
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	s := &service{log: newLog(stderr, cfg.Log.Level, cfg.Log.Format), metrics: newMetrics()}
	defer s.close()
	if err := s.build(ctx, path, cfg); err != nil {
		return err
	}
	addresses, err := s.server.Listen(ctx)
	if err != nil {
		return err
	}
	at := []any{"http", addresses.HTTP.String()}
	if addresses.GRPC.IsValid() {
		at = append(at, "grpc", addresses.GRPC.String())
	}
	at = append(at, "admin", addresses.Admin.String(), "version", buildVersion(), "policy", s.policy.Policy().Digest())
	newLog(stderr, slog.LevelInfo, cfg.Log.Format).Info("listening", at...)

	for _, run := range []func(context.Context){s.issuer.Run, s.verifiers.run, s.reload.run, s.feeder.Run} {
		s.background(run)
	}
	if s.exports != nil {
		s.background(s.exports.Run)
	}
	return s.server.Serve(ctx)
}

// service holds the parts that have a life of their own.
type service struct {
	log     *slog.Logger
	metrics *prometheus.Registry
	tracing trace.TracerProvider // nil for none

	issuer    *issuer.Issuer
	verifiers *verifiers
	index     *index.Index
	feeder    *index.Feeder
	exports   *export.Exports // nil for none
	policy    *mapping.Engine
	reload    *reloader
	server    *server.Server

	closers []func() error // in the order in which they were opened
	stop    context.CancelFunc
	running sync.WaitGroup
	working context.Context
}

// build makes every part, each from what it needs of those before it.
func (s *service) build(ctx context.Context, path string, cfg *config.Config) error {
	s.working, s.stop = context.WithCancel(context.WithoutCancel(ctx))

	// First, to be closed last: a collector that doesn't answer takes no time from what must not be lost.
	if err := s.startTracing(ctx, cfg.Telemetry.OTLPEndpoint); err != nil {
		return err
	}
	aead, err := openKeyset(cfg)
	if err != nil {
		return err
	}
	ledger, err := openLedger(ctx, cfg.Database)
	if err != nil {
		return err
	}
	s.onClose(ledger.Close)

	key, err := signingKey(ctx, cfg, ledger, aead)
	if err != nil {
		return err
	}
	if s.index, err = newIndex(cfg, s.log); err != nil {
		return err
	}
	s.onClose(s.index.Close)
	s.onClose(within(lastTime, together(s.feedLast, s.exportLast))) // once the log is closed
	record, err := audit.Open(audit.Config{
		Directory: cfg.Audit.Directory, Replica: replica(), Key: key, Witnesses: witnessesOf(cfg, ledger, key.Public()),
		Sync: audit.Sync(cfg.Audit.Sync), Retention: cfg.Audit.Retention, RecordClaims: cfg.Audit.RecordClaims, Space: diskSpace(),
		Now: now, Log: s.log, Metrics: s.metrics,
	})
	if err != nil {
		return err
	}
	s.log.Info("the audit log is open", "origin", record.Checkpoint().Origin, "records", record.Checkpoint().Size, "key", key.Public().String())
	s.onClose(within(logTime, record.Close))
	if err := s.startFeeder(cfg, record, key.Public()); err != nil {
		return err
	}

	s.issuer, err = issuer.New(ctx, issuer.Config{
		Ledger: ledger, Recorder: record, AEAD: aead, Log: s.log, Now: now,
		PublishAhead: cfg.Databricks.Federation.PublishAhead, Rotation: cfg.Databricks.Federation.KeyRotation,
	})
	if err != nil {
		return err
	}
	minter, err := databricks.New(databricks.Config{Settings: mintingOf(cfg), Signer: s.issuer, Now: now, Log: s.log, Metrics: s.metrics})
	if err != nil {
		return err
	}
	redis, err := s.startRedis(cfg.Store.Redis)
	if err != nil {
		return err
	}
	revocations, err := s.startRevocations(ctx, ledger)
	if err != nil {
		return err
	}
	handouts, err := s.startHandouts(aead, redis)
	if err != nil {
		return err
	}
	tokens, err := store.NewTokens(store.TokensConfig{
		Minter: minter, Recorder: record, AEAD: aead, Redis: redis, Ended: revocations.Ended, Log: s.log, Metrics: s.metrics, Now: now,
		MaxEntries: tierEntries, MaxBytes: tierBytes,
	})
	if err != nil {
		return err
	}
	s.onClose(within(mintsTime, tokens.Close))

	if s.policy, err = s.startPolicy(ctx, cfg, ledger, record); err != nil {
		return err
	}
	if err := s.startExports(cfg, exportParts{record, key.Public(), ledger, minter}); err != nil {
		return err
	}
	once, err := newOnce(redis)
	if err != nil {
		return err
	}
	if s.verifiers, err = newVerifiers(cfg, once, s.log, s.metrics); err != nil {
		return err
	}
	registered, err := clients.Prepare(registrationsOf(cfg))
	if err != nil {
		return err
	}
	registry, authorities, err := newRegistry(cfg, once, underTest(s.verifiers), s.log)
	if err != nil {
		return err
	}
	registry.Commit(registered)
	gate, err := admission.New(admission.Config{Rate: cfg.Limits.Global.PerSecond(), Now: now, Metrics: s.metrics})
	if err != nil {
		return err
	}
	exchanges, err := exchange.New(exchange.Config{
		Gate: gate, Verifier: underTest(s.verifiers), Policy: s.policy, Tokens: tokens, Recorder: record,
		Handouts: handouts, Revocations: revocations, Delegation: delegationOf(cfg),
		Now: now, Random: rand.Reader, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.reload = &reloader{
		path: path, cfg: cfg, policy: s.policy, verifiers: s.verifiers, clients: registry, minter: minter, recorder: record, log: s.log,
	}
	parts := []server.Part{
		{Name: "audit", Check: record.Health, Fatal: true}, // without it nothing is answered
		{Name: "audit_checkpoints", Check: record.CheckpointHealth},
		{Name: "audit_disk", Check: record.SpaceHealth},
		{Name: "audit_index", Check: s.feeder.Health},
		{Name: "configuration", Check: s.reload.health},
		{Name: "identity_providers", Check: s.verifiers.health},
		{Name: "ledger", Check: ledger.Health},
		{Name: "policy", Check: s.policy.Health},
		{Name: "revocations", Check: revocations.Health},
		{Name: "signing_keys", Check: s.issuer.Health},
	}
	if s.exports != nil {
		parts = append(parts, server.Part{Name: "audit_exports", Check: s.exports.Health})
	}
	if redis != nil {
		parts = append(parts, server.Part{Name: "redis", Check: redis.Health})
	}
	if authorities != nil {
		parts = append(parts, server.Part{Name: "client_cas", Check: authorities.Health})
	}
	api := &bearerParts{policy: s.policy, verifier: underTest(s.verifiers), gate: gate, recorder: record, clients: registry, index: s.index, delegation: delegationOf(cfg)}
	return s.buildServer(cfg, exchanges, api, authorities, parts)
}

func (s *service) startPolicy(ctx context.Context, cfg *config.Config, ledger exchange.Ledger, record exchange.Recorder) (*mapping.Engine, error) {
	engine, err := mapping.NewEngine(mapping.Config{
		Ledger: ledger, Recorder: record, Now: now, Random: rand.Reader, Log: s.log, Metrics: s.metrics,
	})
	if err != nil {
		return nil, err
	}
	files, err := readPolicy(cfg.Policy.Files)
	if err != nil {
		return engine, engine.Resume(ctx, nil, environmentOf(cfg), err)
	}
	return engine, engine.Start(ctx, files, environmentOf(cfg))
}

func (s *service) startTracing(ctx context.Context, endpoint string) error {
	if endpoint == "" {
		return nil
	}
	provider, err := newTracing(ctx, endpoint, s.log)
	if err != nil {
		return err
	}
	s.tracing = provider
	s.onClose(within(tracesTime, provider.Shutdown))
	return nil
}

func (s *service) buildServer(cfg *config.Config, exchanges *exchange.Service, api *bearerParts, authorities *clients.Authorities, parts []server.Part) error {
	c := server.Config{
		HTTP: cfg.Listen.HTTP, GRPC: cfg.Listen.GRPC, Admin: cfg.Listen.Admin, Plaintext: cfg.Listen.Plaintext, Reflection: cfg.GRPC.Reflection,
		Issuer: cfg.Issuer, FederationIssuer: cfg.Databricks.Federation.Issuer, JWKS: s.issuer.JWKS,
		Exchanger: exchanges, Inquirer: exchanges, Clients: api.clients, TrustedProxies: cfg.Listen.TrustedProxies, Parts: parts,
		Now: now, Log: s.log, Metrics: s.metrics, Gatherer: s.metrics, Tracing: s.tracing, SampleRatio: cfg.Telemetry.SampleRatio,
	}
	if tls := cfg.Listen.TLS; tls != nil {
		c.CertFile, c.KeyFile = tls.CertFile, tls.KeyFile
	}
	if authorities != nil {
		c.ClientCAs = authorities.Pool
	}
	err := api.serveBearers(&c)
	if err != nil {
		return err
	}
	s.server, err = server.New(c)
	return err
}

// newRegistry makes a registry, and the CAs of its clients' certificates where there are any.
func newRegistry(cfg *config.Config, once exchange.Once, verifier exchange.Verifier, log *slog.Logger) (*clients.Registry, *clients.Authorities, error) {
	endpoint, err := oauth.TokenEndpoint(cfg.Issuer)
	if err != nil {
		return nil, nil, err
	}
	c := clients.Config{Issuer: cfg.Issuer, TokenEndpoint: endpoint, Once: once, Verifier: verifier, Now: now}
	var authorities *clients.Authorities
	if tls := cfg.Listen.TLS; tls != nil && tls.ClientCAFile != "" {
		if authorities, err = clients.OpenAuthorities(tls.ClientCAFile, now, log); err != nil {
			return nil, nil, err
		}
		c.Authorities = authorities.Pool
	}
	registry, err := clients.New(c)
	return registry, authorities, err
}

// openKeyset opens the keyset that is configured, or the one that belongs to the embedded ledger.
func openKeyset(cfg *config.Config) (tink.AEAD, error) {
	if cfg.Store.KeysetFile != "" {
		return store.OpenKeyset(cfg.Store.KeysetFile)
	}
	return store.KeysetBeside(cfg.Database.SQLite)
}

func (s *service) onClose(f func() error) { s.closers = append(s.closers, f) }

// within bounds how long a part may take to close.
func within(limit time.Duration, f func(context.Context) error) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		return f(ctx)
	}
}

// together does all at the same time.
func together(all ...func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		errs := make([]error, len(all))
		var doing sync.WaitGroup
		for i, f := range all {
			doing.Go(func() { errs[i] = f(ctx) })
		}
		doing.Wait()
		return errors.Join(errs...)
	}
}

// background runs f until the service is taken down.
func (s *service) background(f func(context.Context)) {
	s.running.Go(func() { f(s.working) })
}

// close takes the service down: first what works in the background, then each part before those that it stands on, so
// that a mint under way is finished and recorded before the log is closed.
func (s *service) close() {
	if s.stop == nil {
		return
	}
	s.stop()
	s.running.Wait()
	var errs []error
	for _, f := range slices.Backward(s.closers) {
		errs = append(errs, f())
	}
	if err := errors.Join(errs...); err != nil {
		s.log.Error("taking the service down", "error", err)
	}
}

// replica names this process's part of the audit log: the host's name, in the characters that a name may have.
func replica() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		return "sts"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
			return r
		}
		return '-'
	}, host)
}

// configFlag is the flag of all commands that read the configuration.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "config", "", "the configuration file")
	if err := cmd.MarkFlagRequired("config"); err != nil {
		panic(fmt.Sprintf("marking a flag that was just made: %v", err))
	}
}
