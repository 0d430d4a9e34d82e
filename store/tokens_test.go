package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/store"
	"github.com/lakegate/sts/store/storetest"
)

// The suite of all caches over the memory tier; redis_test.go runs it over Redis.
func TestTokensInMemory(t *testing.T) {
	storetest.Tokens(t, func(t *testing.T, c storetest.TokensConfig) (one, other storetest.TokensHandle) {
		w := newWorld(t, func(s *store.TokensConfig) {
			s.Minter, s.Recorder, s.AEAD, s.Now = c.Minter, c.Recorder, c.AEAD, c.Now
		})
		h := storetest.TokensHandle{Tokens: w.Tokens, Metrics: w.metrics}
		return h, h
	})
}

// M06: whose deadline passes gets that, and the mint goes on.
func TestDeadlineOfTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, inBubble)
		w.minter.Will(slow(2 * time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := w.Obtain(ctx, grant(), time.Hour, time.Now().Add(2*time.Hour)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the leader got %v", err)
		}
		w.get(t, grant(), 2*time.Hour)
		w.wantMints(t, 1)
	})
}

// A caller whose clock said "a second less" when it joined may not be given what the flight, a second later, was asked
// for: it looks again.
func TestSecondBoundary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := make(chan func(), 1) // what to do, once, at the next reading
		var mu sync.Mutex
		now := time.Date(2026, 11, 24, 8, 0, 0, 900_000_000, time.UTC)
		read := func() time.Time {
			mu.Lock()
			was := now
			mu.Unlock()
			select {
			case do := <-clock:
				do()
			default:
			}
			return was
		}
		w := newWorld(t, func(c *store.TokensConfig) { c.Now = read })
		entered, landed := make(chan struct{}, 2), make(chan struct{})
		w.minter.Will(func(_ context.Context, token exchange.Token) (exchange.Token, error) {
			entered <- struct{}{}
			<-landed
			return token, nil
		})
		g := lasting(10 * time.Minute)
		end := now.Add(10*time.Minute + 50*time.Millisecond)
		var wg sync.WaitGroup
		clock <- func() { // the late one reads its clock; before it goes on, another starts the flight, a second later
			mu.Lock()
			now = now.Add(time.Second)
			mu.Unlock()
			wg.Go(func() { w.get(t, g, time.Hour) })
			<-entered
		}
		wg.Go(func() {
			token, err := w.Obtain(context.Background(), g, g.Lifetime, end)
			if err != nil || token.TrueExpiry.After(end) {
				t.Errorf("served until %v, %v; the subject ends at %v", token.TrueExpiry, err, end)
			}
		})
		synctest.Wait()
		close(landed)
		wg.Wait()
		w.wantMints(t, 2)
	})
}

// The memory tier stays within its bounds.
func TestMemoryIsBounded(t *testing.T) {
	w := newWorld(t, func(c *store.TokensConfig) { c.MaxEntries, c.MaxBytes = 50, 1<<20 })
	for i := range 500 {
		g := grant()
		g.Isolation = fmt.Sprint(i)
		w.get(t, g, 2*time.Hour)
	}
	// Making room happens just behind a write.
	for deadline := time.Now().Add(5 * time.Second); w.metric(t, "sts_tokens_entries") > 60; {
		if time.Now().After(deadline) {
			t.Fatalf("%v entries, want about 50", w.metric(t, "sts_tokens_entries"))
		}
	}
}

func TestConfigRefusals(t *testing.T) {
	for want, change := range map[string]func(c *store.TokensConfig){
		"Recorder is missing": func(c *store.TokensConfig) { c.Recorder = nil },
		"AEAD is missing":     func(c *store.TokensConfig) { c.AEAD = nil },
		"Log is missing":      func(c *store.TokensConfig) { c.Log = nil },
		"MintTimeout":         func(c *store.TokensConfig) { c.MintTimeout = 15 * time.Second },
		"can't be negative":   func(c *store.TokensConfig) { c.MaxBytes = -1 },
	} {
		c := store.TokensConfig{Minter: &minter{}, Recorder: &recorder{}, AEAD: newAEAD(t), Log: discard()}
		change(&c)
		if _, err := store.NewTokens(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// slow answers after that time.
func slow(d time.Duration) func(context.Context, exchange.Token) (exchange.Token, error) {
	return func(_ context.Context, token exchange.Token) (exchange.Token, error) {
		time.Sleep(d)
		return token, nil
	}
}
