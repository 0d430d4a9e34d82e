package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/lakegate/sts/audit/search"
	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
)

// newExplainer is MappingService for a command that explains what was decided: over the policy's files and the versions in
// the ledger, of which it changes nothing.
func newExplainer(ctx context.Context, cfg *config.Config, ledger exchange.Ledger, events *search.Service) (*mapping.Service, error) {
	engine, err := mapping.NewEngine(mapping.Config{
		Ledger: reading{ledger}, Recorder: unrecorded{}, Now: now, Random: rand.Reader, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	files, err := readPolicy(cfg.Policy.Files)
	if err != nil {
		err = engine.Resume(ctx, nil, environmentOf(cfg), err)
	} else {
		err = engine.Start(ctx, files, environmentOf(cfg))
	}
	if err != nil {
		return nil, err
	}
	clients := map[string]*exchange.Client{}
	for _, r := range registrationsOf(cfg) {
		clients[r.Client.ID] = &r.Client
	}
	return mapping.NewService(mapping.ServiceConfig{
		Engine: engine, Verifier: unverified{}, Client: func(id string) *exchange.Client { return clients[id] }, Past: past{events}, Delegation: delegationOf(cfg), Now: now,
	})
}

// reading is a ledger of which nothing is changed.
type reading struct{ exchange.Ledger }

// Put implements exchange.Ledger.
func (reading) Put(context.Context, string, []byte, uint64, time.Time) error { return nil }

// unrecorded takes the records of a policy that is in force for one command.
type unrecorded struct{}

// Record implements exchange.Recorder.
func (unrecorded) Record(context.Context, *exchange.Event) error { return nil }

// RecordFailure implements exchange.Recorder.
func (unrecorded) RecordFailure(exchange.Failure) string { return "" }

// unverified stands where no token is verified: what is explained here is what was recorded.
type unverified struct{}

// Verify implements exchange.Verifier.
func (unverified) Verify(context.Context, exchange.Presented, exchange.Use) (*exchange.Identity, error) {
	return nil, errors.New("no token is verified here")
}
