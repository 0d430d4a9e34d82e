package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
	"github.com/lakegate/sts/identity/aws"
	"github.com/lakegate/sts/identity/graph"
	"github.com/lakegate/sts/identity/saml"
)

// verifiers are all who prove whom a token speaks of, one for each way of proving. They are reloaded together.
type verifiers struct {
	tokens *identity.Pool  // JWTs, and opaque tokens by introspection
	graph  *graph.Resolver // groups that a token leaves out
	aws    *aws.Verifier   // requests to AWS STS
	saml   *saml.Pool      // SAML assertions
}

var _ exchange.Verifier = (*verifiers)(nil)

func newVerifiers(cfg *config.Config, once exchange.Once, log *slog.Logger, metrics prometheus.Registerer) (*verifiers, error) {
	v := &verifiers{}
	var err error
	v.graph, err = graph.New(graph.Config{Providers: directoriesOf(cfg), Now: now, Log: log, Metrics: metrics})
	if err != nil {
		return nil, err
	}
	v.tokens, err = identity.New(identity.Config{Providers: providersOf(cfg), Groups: v.graph, ClientAudience: cfg.Issuer, Once: once, Now: now, Log: log, Metrics: metrics})
	if err != nil {
		return nil, err
	}
	v.aws, err = aws.New(aws.Config{Provider: awsOf(cfg), Once: once, Now: now, Metrics: metrics})
	if err != nil {
		return nil, err
	}
	v.saml, err = saml.New(saml.Config{Providers: samlOf(cfg), Once: once, Now: now, Log: log, Metrics: metrics})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Verify implements exchange.Verifier.
func (v *verifiers) Verify(ctx context.Context, p exchange.Presented, use exchange.Use) (*exchange.Identity, error) {
	switch p.Type {
	case exchange.TypeAWS4Request:
		return v.aws.Verify(ctx, p, use)
	case exchange.TypeSAML2:
		return v.saml.Verify(ctx, p, use)
	}
	return v.tokens.Verify(ctx, p, use)
}

// examiner is a verifier that can be looked at, provider by provider.
type examiner interface {
	Examine(ctx context.Context, provider string) identity.Examination
}

// of is who verifies the tokens of a provider.
func (v *verifiers) of(p config.Provider) examiner {
	switch {
	case p.AWS != nil:
		return v.aws
	case p.SAML != nil:
		return v.saml
	}
	return v.tokens
}

// prepare checks changed settings. Nothing changes before the function that it returns is called, which can't fail.
func (v *verifiers) prepare(cfg *config.Config) (commit func(), err error) {
	tokens, err := v.tokens.Prepare(providersOf(cfg))
	if err != nil {
		return nil, err
	}
	commitGraph, err := v.graph.Prepare(directoriesOf(cfg))
	if err != nil {
		return nil, err
	}
	commitAWS, err := v.aws.Prepare(awsOf(cfg))
	if err != nil {
		return nil, err
	}
	assertions, err := v.saml.Prepare(samlOf(cfg))
	if err != nil {
		return nil, err
	}
	return func() { commitGraph(); tokens.Commit(); commitAWS(); assertions.Commit() }, nil
}

// run keeps keys and metadata fresh until ctx ends.
func (v *verifiers) run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { v.tokens.Run(ctx) })
	both.Go(func() { v.saml.Run(ctx) })
	both.Wait()
}

// health names the providers whose tokens can't be verified at the moment, and why.
func (v *verifiers) health() error {
	return errors.Join(v.tokens.Health(), v.aws.Health(), v.saml.Health())
}
