package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/lakegate/sts/audit"
)

// regulars is how many subjects the cold tokens are of. They have been here before with other tokens, so that no record
// of a first hand-out waits for the disk: what is measured is the verification.
const regulars = 3 * grants

// cold measures exchanges of subject tokens that the service has never seen, for grants that are warm.
func (b *bench) cold(ctx context.Context) error {
	s, err := b.newInstance("cold", string(audit.SyncMint))
	if err != nil {
		return err
	}
	tokens, err := b.mint(regulars, regulars, "ES256")
	if err != nil {
		return err
	}
	known := b.requests(tokens)
	if _, err := s.start(ctx); err != nil {
		return err
	}
	sample, err := sendAll(ctx, s.http, known, connections)
	if err != nil {
		return err
	}
	jwks, err := json.Marshal(b.world.idp.Issuer("okta").JWKS())
	if err != nil {
		return err
	}
	keys := filepath.Join(b.dir, "jwks.json")
	if err := os.WriteFile(keys, jwks, 0o600); err != nil {
		return err
	}
	bare, err := b.launchBare(ctx, sample, "-jwks", keys)
	if err != nil {
		return err
	}
	answers := len(known)
	for _, algorithm := range []string{"ES256", "RS256"} {
		if err := b.coldBy(ctx, algorithm, s, bare, known, &answers); err != nil {
			return fmt.Errorf("%s: %w", algorithm, err)
		}
	}
	if err := s.complete(answers); err != nil {
		return err
	}
	s.stop()
	bare.stop()
	return nil
}

// coldBy measures tokens of one algorithm. The service is started anew before each round, so that the same tokens are
// unknown again: RSA takes a millisecond to sign one.
func (b *bench) coldBy(ctx context.Context, algorithm string, s *instance, bare *process, known []request, answers *int) error {
	length := max(b.length/2, time.Second).Truncate(time.Second)
	file := filepath.Join(b.dir, algorithm+".requests")
	if err := b.writeCold(file, algorithm, 2_000); err != nil {
		return err
	}
	trial, err := b.round(ctx, bare, file, time.Second)
	if err != nil {
		return err
	}
	n := int(1.4 * trial.perSecond * length.Seconds())
	if err := b.writeCold(file, algorithm, n); err != nil {
		return err
	}
	theirs := &side{process: bare, requests: file, length: length}
	ours := &side{process: s.process, requests: file, length: length}
	ours.before = func(ctx context.Context) error {
		s.stop()
		if _, err := s.start(ctx); err != nil {
			return err
		}
		ours.process = s.process
		*answers += len(known)
		_, err := sendAll(ctx, s.http, known, connections)
		return err
	}
	if err := b.alternate(ctx, theirs, ours); err != nil {
		return err
	}
	for _, m := range ours.measured {
		if m.requests > n {
			return void("%d requests with %d tokens: some were not new; the machine is too unsteady", m.requests, n)
		}
	}
	*answers += ours.total()
	t, o := median(theirs.measured), median(ours.measured)
	ratio := o.perSecond / t.perSecond
	b.table.add(row{
		what: "cold token, warm grant, " + algorithm, measured: rate(o.perSecond), against: "bare + go-jose " + rate(t.perSecond),
		ratio: fmt.Sprintf("%.2f", ratio), budget: ">= 0.80", verdict: verdict(ratio >= 0.80),
	})
	b.table.add(row{what: "  p50 / p99", measured: times(o), against: times(t)})
	b.table.add(row{
		what: "  CPU a request", measured: micros(o.cpu), against: micros(t.cpu), ratio: fmt.Sprintf("%.2f", float64(o.cpu)/float64(t.cpu)),
	})
	return nil
}

func (b *bench) writeCold(file, algorithm string, n int) error {
	tokens, err := b.mint(n, regulars, algorithm)
	if err != nil {
		return err
	}
	return writeRequests(file, b.requests(tokens))
}
