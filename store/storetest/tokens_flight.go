package storetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
)

// The part of the suite that is about who waits for a mint, and about what is kept of it.

// hold makes mints wait; release lets them go on.
func (m *Minter) hold(then error) (release func()) {
	held := make(chan struct{})
	m.Will(func(_ context.Context, token exchange.Token) (exchange.Token, error) {
		<-held
		if then != nil {
			return exchange.Token{}, then
		}
		return token, nil
	})
	return sync.OnceFunc(func() { close(held) })
}

// 1,000 who ask at once for what isn't there, through both, cause one mint.
func oneMint(t *testing.T, s *tokens) {
	release := s.minter.hold(nil)
	defer release()
	var all sync.WaitGroup
	got := make([]exchange.Token, 1000)
	for i := range got {
		from := s.one
		if i%2 == 1 {
			from = s.other
		}
		all.Go(func() { got[i], _ = s.try(from, Grant(), 2*time.Hour) })
	}
	s.eventually(t, "all wait", func() bool { return s.metric(t, "sts_flight_waiters") == 1000 && s.minter.Count() > 0 })
	release()
	all.Wait()
	for i, token := range got {
		if token.Text == "" || token.Mint != got[0].Mint {
			t.Fatalf("caller %d has another token, from %s", i, token.Cache)
		}
	}
	s.wantMints(t, 1)
	if waiting := s.metric(t, "sts_flight_waiters"); waiting != 0 {
		t.Errorf("%v wait still", waiting)
	}
}

// Who looked just before the token came does not mint it again.
func oneMintInAnyOrder(t *testing.T, s *tokens) {
	for range 10 {
		s := s.again(t)
		var all sync.WaitGroup
		for i := range 64 {
			from := s.one
			if i%2 == 1 {
				from = s.other
			}
			all.Go(func() {
				if _, err := s.try(from, Grant(), 2*time.Hour); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		s.wantMints(t, 1)
	}
}

// The first caller hangs up, and the others get the token.
func leaderLeaves(t *testing.T, s *tokens) {
	release := s.minter.hold(nil)
	defer release()
	ctx, hangUp := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := s.one.Obtain(ctx, Grant(), time.Hour, s.clock.Now().Add(2*time.Hour))
		left <- err
	}()
	s.eventually(t, "it is minted", func() bool { return s.minter.Count() == 1 })
	var all sync.WaitGroup
	for i := range 20 {
		from := s.one
		if i%2 == 1 {
			from = s.other
		}
		all.Go(func() {
			if _, err := s.try(from, Grant(), 2*time.Hour); err != nil {
				t.Error(err)
			}
		})
	}
	s.eventually(t, "all wait", func() bool { return s.metric(t, "sts_flight_waiters") == 21 })
	hangUp()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the leader got %v", err)
	}
	release()
	all.Wait()
	s.wantMints(t, 1)
}

func nobodyWaits(t *testing.T, s *tokens) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.one.Obtain(ctx, Grant(), time.Hour, s.clock.Now().Add(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	s.wantMints(t, 0)
}

// All who wait in one process get the leader's error, once; the next one tries at once.
func leaderFails(t *testing.T, s *tokens) {
	for name, failure := range map[string]error{"unavailable": ErrDown, "rejected": ErrRejected, "foreign": errors.New("boom")} {
		s := s.again(t)
		release := s.minter.hold(failure)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				_, err := s.try(s.one, Grant(), 2*time.Hour)
				if err == nil || exchange.AsError(err).Reason != exchange.AsError(failure).Reason {
					t.Errorf("%s: a follower got %v", name, err)
				}
			})
		}
		s.eventually(t, "all wait", func() bool { return s.metric(t, "sts_flight_waiters") == 50 })
		release()
		all.Wait()
		s.wantMints(t, 1)
		s.minter.Will(nil)
		s.get(t, s.other, Grant(), 2*time.Hour)
		s.wantMints(t, 2)
	}
}

// What was moved to another key, or changed, is dropped, counted and minted anew.
func spoiledEntries(t *testing.T, s *tokens) {
	for name, spoil := range map[string]func(box, before []byte) []byte{
		"moved from another key": func(_, before []byte) []byte { return before },
		"one bit flipped":        func(box, _ []byte) []byte { box[len(box)/2] ^= 1; return box },
		"cut short":              func(box, _ []byte) []byte { return box[:len(box)-1] },
		"empty of meaning":       func(_, _ []byte) []byte { return []byte("x") },
	} {
		s := s.again(t)
		foreign := Grant()
		foreign.Isolation = "somebody else"
		s.get(t, s.one, foreign, 2*time.Hour)
		s.spoiler.Spoil = spoil
		first := s.get(t, s.one, Grant(), 2*time.Hour)
		s.spoiler.Spoil = nil
		second := s.get(t, s.other, Grant(), 2*time.Hour)
		if second.Cache != exchange.CacheMinted || second.Mint == first.Mint {
			t.Errorf("%s: served from %s", name, second.Cache)
		}
		if got := s.metric(t, "sts_tokens_dropped_total"); got != 1 {
			t.Errorf("%s: %v entries dropped, want 1", name, got)
		}
		if third := s.get(t, s.other, Grant(), 2*time.Hour); third.Mint != second.Mint {
			t.Errorf("%s: the new token was not kept", name)
		}
	}
}

// A token that can't be sealed is served, and not kept.
func unsealable(t *testing.T, s *tokens) {
	s.spoiler.Fails = true
	s.get(t, s.one, Grant(), 2*time.Hour)
	s.get(t, s.other, Grant(), 2*time.Hour)
	s.wantMints(t, 2)
	if got := s.metric(t, "sts_tokens_dropped_total"); got != 2 {
		t.Errorf("%v entries dropped, want 2", got)
	}
}

func sealed(t *testing.T, s *tokens) {
	token := s.get(t, s.one, Grant(), 2*time.Hour)
	if box := string(s.spoiler.Last); len(box) < len(token.Text) || strings.Contains(box, token.Text.Reveal()) || strings.Contains(box, string(token.Mint)) {
		t.Error("the entry is not sealed")
	}
}

// A mint that can't be recorded did not happen: its token goes to nobody, now or later.
func unrecorded(t *testing.T, s *tokens) {
	s.recorder.SetFull(true)
	_, err := s.try(s.one, Grant(), 2*time.Hour)
	if e := exchange.AsError(err); e == nil || e.Reason != exchange.ReasonAuditUnavailable || e.Code != exchange.CodeUnavailable {
		t.Errorf("error %v", err)
	}
	s.recorder.SetFull(false)
	if token := s.get(t, s.other, Grant(), 2*time.Hour); token.Cache != exchange.CacheMinted {
		t.Error("the token of the unrecorded mint was kept")
	}
}

// Whoever is first renews for all, and nobody waits for it.
func oneRenewal(t *testing.T, s *tokens) {
	both := []TokensHandle{s.one, s.other}
	for _, h := range both {
		s.get(t, h, Grant(), 24*time.Hour)
	}
	s.clock.Add(time.Hour - 5*time.Minute - 10*time.Second) // comfort is about to end
	for _, h := range both {
		if token := s.get(t, h, Grant(), 24*time.Hour); token.Cache != exchange.CacheMemory {
			t.Errorf("somebody waited: %s", token.Cache)
		}
	}
	s.eventually(t, "all have the new one", func() bool {
		for _, h := range both {
			if s.get(t, h, Grant(), 24*time.Hour).TrueExpiry.Sub(s.clock.Now()) < 50*time.Minute {
				return false
			}
		}
		return true
	})
	s.wantMints(t, 2)
}

// While Databricks is down, a token that any process has minted is good to its last 45 s, and not longer.
func outage(t *testing.T, s *tokens) {
	s.get(t, s.one, Grant(), 24*time.Hour)
	s.clock.Add(58 * time.Minute)
	s.minter.Fail(ErrDown)
	if _, err := s.try(s.other, Grant(), 24*time.Hour); err != nil {
		t.Error(err)
	}
	s.clock.Add(90 * time.Second)
	for _, h := range []TokensHandle{s.one, s.other} {
		if token, err := s.try(h, Grant(), 24*time.Hour); err == nil {
			t.Errorf("served with %v left", token.TrueExpiry.Sub(s.clock.Now()))
		}
	}
}
