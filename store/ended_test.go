package store_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/store"
)

// ends are the tokens that clients have given up.
type ends struct{ known sync.Map }

func (e *ends) ended(client string, token [sha256.Size]byte) bool {
	_, ended := e.known.Load(fmt.Sprint(client, token))
	return ended
}

func (e *ends) end(client string, token exchange.Token) {
	e.known.Store(fmt.Sprint(client, token.SHA256), true)
}

func of(client string, g exchange.Grant) exchange.Grant {
	g.Client = client
	return g
}

// TestGivenUp holds that a client never gets what it gave up, that others keep it until another takes its place, and that
// giving up costs one mint.
func TestGivenUp(t *testing.T) {
	for name, g := range map[string]exchange.Grant{"bounded": grant(), "served": bySecret(time.Hour)} {
		t.Run(name, func(t *testing.T) {
			var e ends
			w := newWorld(t, func(c *store.TokensConfig) { c.Ended = e.ended })
			first := w.get(t, of("kong", g), 2*time.Hour)
			if again := w.get(t, of("job", g), 2*time.Hour); again.Mint != first.Mint {
				t.Fatal("they don't share a token")
			}
			e.end("kong", first)
			if kept := w.get(t, of("job", g), 2*time.Hour); kept.Mint != first.Mint {
				t.Error("another client lost its token")
			}
			w.clock.Add(time.Second)
			second := w.get(t, of("kong", g), 2*time.Hour)
			if second.Mint == first.Mint || second.Cache != exchange.CacheMinted {
				t.Errorf("the client was handed what it gave up, from %s", second.Cache)
			}
			for _, client := range []string{"kong", "job"} {
				if next := w.get(t, of(client, g), 2*time.Hour); next.Mint != second.Mint {
					t.Errorf("%s: the new token did not take the place of the old one", client)
				}
			}
			w.wantMints(t, 2)
		})
	}
}

// TestGivenUpWhileMintingIsUnavailable holds that what was given up is not handed out for want of a better one.
func TestGivenUpWhileMintingIsUnavailable(t *testing.T) {
	var e ends
	w := newWorld(t, func(c *store.TokensConfig) { c.Ended = e.ended })
	first := w.get(t, of("kong", grant()), 2*time.Hour)
	e.end("kong", first)
	w.minter.Fail(errDown)
	for range 2 {
		if _, err := w.try(of("kong", grant()), 2*time.Hour); reason(err) != "upstream_unavailable" {
			t.Errorf("got %v", err)
		}
	}
	if kept := w.get(t, of("job", grant()), 2*time.Hour); kept.Mint != first.Mint {
		t.Error("another client lost its token")
	}
}

// TestGivenUpAndMintedAgain holds that a Databricks that answers the same token once more doesn't make us ask for ever.
func TestGivenUpAndMintedAgain(t *testing.T) {
	var e ends
	w := newWorld(t, func(c *store.TokensConfig) { c.Ended = e.ended })
	w.minter.Will(func(_ context.Context, token exchange.Token) (exchange.Token, error) {
		token.Text = "always the same"
		token.SHA256 = sha256.Sum256([]byte(token.Text.Reveal()))
		return token, nil
	})
	e.end("kong", w.get(t, of("kong", grant()), 2*time.Hour))
	if _, err := w.try(of("kong", grant()), 2*time.Hour); reason(err) != "upstream_invalid" {
		t.Errorf("got %v", err)
	}
	w.wantMints(t, 2)
}

// TestGivenUpInAFlight holds that who waits for a flight gets nothing that he gave up while it was in the air.
func TestGivenUpInAFlight(t *testing.T) {
	f := newFleet(t, 2, patient)
	first := f.replicas[0].get(t, of("job", grant()), 24*time.Hour)
	f.ends.end("kong", first)
	// The other replica has nothing in memory: job's flight brings the token from Redis, and kong may be aboard.
	var all sync.WaitGroup
	for range 50 {
		for _, client := range []string{"job", "kong"} {
			all.Go(func() {
				if token := f.replicas[1].get(t, of(client, grant()), 24*time.Hour); client == "kong" && token.Mint == first.Mint {
					t.Error("the client was handed what it gave up")
				}
			})
		}
	}
	all.Wait()
	f.replicas[0].wantMints(t, 2)
}

// TestGivenUpOnOtherReplicas holds that what is minted for who gave up takes the old one's place on all replicas, in
// memory too.
func TestGivenUpOnOtherReplicas(t *testing.T) {
	f := newFleet(t, 2, patient)
	one, other := f.replicas[0], f.replicas[1]
	first := one.get(t, of("kong", grant()), 24*time.Hour)
	wantCache(t, other.get(t, of("kong", grant()), 24*time.Hour), exchange.CacheRedis)
	f.ends.end("kong", first)
	second := one.get(t, of("kong", grant()), 24*time.Hour)
	if !second.TrueExpiry.Equal(first.TrueExpiry) || second.Mint == first.Mint {
		t.Fatal("not another token with the same end")
	}
	third := other.get(t, of("kong", grant()), 24*time.Hour)
	wantCache(t, third, exchange.CacheRedis)
	if third.Mint != second.Mint {
		t.Error("the other replica handed out another token")
	}
	wantCache(t, other.get(t, of("kong", grant()), 24*time.Hour), exchange.CacheMemory)
	one.wantMints(t, 2)
}
