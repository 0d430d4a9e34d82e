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
	s, err := b.newInstance("cold", audit.SyncMint)
	if err != nil {
		return err
	}
	tokens, err := b.mint(regulars, regulars, "ES256")
	if err != nil {
		return err
	}
	known := b.requests(tokens)
	_, sample, err := s.warm(ctx, known)
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
	// How many more tokens there are than a trial of the bare handler asks for: signing by RSA takes a millisecond each.
	for _, tokens := range []struct {
		algorithm string
		margin    float64
	}{{"ES256", 3}, {"RS256", 1.8}} {
		if err := b.coldBy(ctx, tokens.algorithm, tokens.margin, s, bare, known, &answers); err != nil {
			return fmt.Errorf("%s: %w", tokens.algorithm, err)
		}
	}
	if err := s.complete(answers); err != nil {
		return err
	}
	s.stop()
	bare.stop()
	return nil
}

// coldBy measures tokens of one algorithm. Before each round the service forgets that it verified them, since RSA takes a
// millisecond to sign one; its memory has grown by then to what it will be.
func (b *bench) coldBy(ctx context.Context, algorithm string, margin float64, s *instance, bare *process, known []request, answers *int) error {
	length := max(b.length/2, time.Second).Truncate(time.Second)
	file := filepath.Join(b.dir, algorithm+".requests")
	if err := b.writeCold(file, algorithm, 2_000); err != nil {
		return err
	}
	trial, err := b.round(ctx, b.wrk, bare, file, time.Second)
	if err != nil {
		return err
	}
	if err := b.writeCold(file, algorithm, int(margin*trial.perSecond*length.Seconds())); err != nil {
		return err
	}
	first, err := b.round(ctx, b.wrk, s.process, file, length)
	if err != nil {
		return err
	}
	*answers += first.requests

	theirs := &side{process: bare, requests: file, length: length}
	ours := &side{process: s.process, requests: file, length: length}
	anew := 0.0
	ours.before = func(ctx context.Context) error {
		if err := s.forget(ctx, known[0]); err != nil {
			return err
		}
		*answers += len(known)
		if _, err := sendAll(ctx, s.http, known, connections); err != nil {
			return err
		}
		anew, err = s.metric(ctx, verifiedAnew)
		s.saveProfiles(ctx, algorithm, length, len(ours.measured))
		return err
	}
	ours.after = func(ctx context.Context, m measure) error {
		*answers += m.requests
		after, err := s.metric(ctx, verifiedAnew)
		if err == nil && int(after-anew) < m.requests {
			return void("%d requests, and only %.0f tokens that were not known: there were too few, or the machine is too unsteady", m.requests, after-anew)
		}
		return err
	}
	if err := b.alternate(ctx, theirs, ours); err != nil {
		return err
	}
	b.tell("cold token, warm grant, "+algorithm, "bare + go-jose", ours, theirs, 0.80, ">= 0.80")
	return nil
}

func (b *bench) writeCold(file, algorithm string, n int) error {
	tokens, err := b.mint(n, regulars, algorithm)
	if err != nil {
		return err
	}
	return writeRequests(file, b.requests(tokens))
}
