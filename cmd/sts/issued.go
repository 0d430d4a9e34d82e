package main

import (
	"context"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/lakegate/sts/admission"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/store"
)

// startRevocations reads what is revoked, and goes on looking.
func (s *service) startRevocations(ctx context.Context, ledger exchange.Ledger) (*admission.Revocations, error) {
	revocations, err := admission.NewRevocations(ctx, admission.RevocationsConfig{Ledger: ledger, Log: s.log, Now: now, Metrics: s.metrics})
	if err != nil {
		return nil, err
	}
	s.background(revocations.Run)
	return revocations, nil
}

// startHandouts remembers what is handed out, over Redis where there are replicas that share one.
func (s *service) startHandouts(aead tink.AEAD, redis *store.Redis) (*store.Handouts, error) {
	handouts, err := store.NewHandouts(store.HandoutsConfig{AEAD: aead, Redis: redis, Log: s.log, Now: now})
	if err != nil {
		return nil, err
	}
	s.onClose(handouts.Close)
	s.background(handouts.Run)
	return handouts, nil
}
