package main

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
)

// verifiers are all who prove whom a token speaks of, one for each way of proving. They are reloaded together.
type verifiers struct {
	tokens *identity.Pool // JWTs, and opaque tokens by introspection
}

var _ exchange.Verifier = (*verifiers)(nil)

func newVerifiers(cfg *config.Config, once exchange.Once, log *slog.Logger, metrics prometheus.Registerer) (*verifiers, error) {
	v := &verifiers{}
	var err error
	v.tokens, err = identity.New(identity.Config{Providers: providersOf(cfg), ClientAudience: cfg.Issuer, Once: once, Now: now, Log: log, Metrics: metrics})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Verify implements exchange.Verifier.
func (v *verifiers) Verify(ctx context.Context, p exchange.Presented, use exchange.Use) (*exchange.Identity, error) {
	return v.tokens.Verify(ctx, p, use)
}

// prepare checks changed settings. Nothing changes before the function that it returns is called, which can't fail.
func (v *verifiers) prepare(cfg *config.Config) (commit func(), err error) {
	tokens, err := v.tokens.Prepare(providersOf(cfg))
	if err != nil {
		return nil, err
	}
	return tokens.Commit, nil
}

// run keeps keys and metadata fresh until ctx ends.
func (v *verifiers) run(ctx context.Context) { v.tokens.Run(ctx) }

// health names the providers whose tokens can't be verified at the moment, and why.
func (v *verifiers) health() error { return v.tokens.Health() }
