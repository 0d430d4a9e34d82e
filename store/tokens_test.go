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

	"github.com/google/go-cmp/cmp"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/store"
)

// J01: five minutes left and a rule of an hour: what is minted dies by then.
func TestJ01BoundByTheSubject(t *testing.T) {
	w := newWorld(t)
	end := w.clock.Now().Add(5 * time.Minute).Truncate(time.Second)
	token, err := w.Obtain(t.Context(), grant(), time.Hour, end)
	if err != nil || token.TrueExpiry.After(end) {
		t.Errorf("lives until %v, %v; the subject until %v", token.TrueExpiry, err, end)
	}
}

// J02: a hit is the same token with the same end, so that 100 s later there are 100 s less.
func TestJ02HitKeepsItsEnd(t *testing.T) {
	w := newWorld(t)
	minted := w.get(t, grant(), 2*time.Hour)
	w.clock.Add(100 * time.Second)
	hit := w.get(t, grant(), 2*time.Hour)
	want := minted
	want.Cache = exchange.CacheMemory
	if diff := cmp.Diff(want, hit); diff != "" {
		t.Errorf("hit (-want +got):\n%s", diff)
	}
	w.wantMints(t, 1)
	if w.metric(t, "sts_tokens_hits_total") != 1 || w.metric(t, "sts_tokens_misses_total") != 1 || w.metric(t, "sts_mints_total") != 1 {
		t.Error("a hit, a miss and a mint were not counted as such")
	}
}

// J02, with the emptiest and the fullest of tokens: a hit is whole.
func TestEntryKeepsEverything(t *testing.T) {
	for name, g := range map[string]exchange.Grant{"federation": grant(), "client secret": bySecret(time.Hour), "with details": detailed("/serving-endpoints/1")} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			minted := w.get(t, g, 2*time.Hour)
			minted.Cache = exchange.CacheMemory
			if diff := cmp.Diff(minted, w.get(t, g, 2*time.Hour)); diff != "" {
				t.Errorf("hit (-want +got):\n%s", diff)
			}
		})
	}
}

// J03: what no longer fits is minted anew, and never served again.
func TestJ03NoLongerFits(t *testing.T) {
	w := newWorld(t)
	old := w.get(t, lasting(5*time.Minute), time.Hour)
	w.clock.Add(3 * time.Minute)
	fresh := w.get(t, lasting(5*time.Minute), time.Hour)
	if fresh.Mint == old.Mint || fresh.Cache != exchange.CacheMinted {
		t.Errorf("served the old token, with %v left", old.TrueExpiry.Sub(w.clock.Now()))
	}
	if again := w.get(t, lasting(5*time.Minute), time.Hour); again.Mint != fresh.Mint {
		t.Error("the fresh token is not the one that is kept")
	}
}

// J04: a life of less than a second in the cache is none, and never "for ever".
func TestJ04NoTimeToLive(t *testing.T) {
	for name, test := range map[string]struct {
		rest time.Duration // of the new token
		kept bool
	}{
		"45.4 s": {45*time.Second + 400*time.Millisecond, false},
		"45.0 s": {45 * time.Second, false},
		"46.0 s": {46 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			end := w.clock.Now().Add(2 * time.Second).Truncate(time.Second)
			w.clock.Add(end.Sub(w.clock.Now()) - test.rest%time.Second) // so that the end is in whole seconds
			w.minter.will(func(_ context.Context, token exchange.Token) (exchange.Token, error) {
				token.TrueExpiry = w.clock.Now().Add(test.rest)
				return token, nil
			})
			w.get(t, bySecret(time.Minute), time.Hour)
			kept := w.get(t, bySecret(time.Minute), 50*time.Second).Cache == exchange.CacheMemory
			if kept != test.kept {
				t.Errorf("kept: %v", kept)
			}
			w.clock.Add(100 * time.Hour)
			w.minter.fail(errDown)
			if token, err := w.try(bySecret(time.Minute), time.Hour); err == nil {
				t.Errorf("served a token that ended at %v", token.TrueExpiry)
			}
		})
	}
}

// J07: two subjects who become one principal share its token; J09: nobody shares what nobody is named by.
func TestJ07Shared(t *testing.T) {
	w := newWorld(t)
	one, other := w.get(t, grant(), 2*time.Hour), w.get(t, grant(), 3*time.Hour)
	if one.Mint != other.Mint {
		t.Error("two subjects of one grant have two tokens")
	}
	w.wantMints(t, 1)
}

func TestJ09Incomplete(t *testing.T) {
	for name, spoil := range map[string]func(g *exchange.Grant){
		"host":           func(g *exchange.Grant) { g.Host = "" },
		"application id": func(g *exchange.Grant) { g.ApplicationID = "" },
		"method":         func(g *exchange.Grant) { g.Method = "" },
		"other method":   func(g *exchange.Grant) { g.Method = "pat" },
		"scopes":         func(g *exchange.Grant) { g.Scopes = nil },
		"lifetime":       func(g *exchange.Grant) { g.Lifetime = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			g := grant()
			spoil(&g)
			if _, err := w.Obtain(t.Context(), g, time.Hour, w.clock.Now().Add(time.Hour)); reason(err) != "internal" {
				t.Errorf("error %v", err)
			}
			w.wantMints(t, 0)
		})
	}
}

func detailed(path string, actions ...string) exchange.Grant {
	g := grant()
	var err error
	g.Details, err = exchange.MakeDetails([]exchange.Detail{{
		Type: exchange.DetailTypeWorkspacePermission, ObjectType: "serving-endpoints", ObjectPath: path, Actions: append(actions, "query_inference_endpoint"),
	}})
	if err != nil {
		panic(err)
	}
	return g
}

// J08, J10: grants that differ anywhere, however slyly, have different tokens.
func TestJ08J10DistinctEntries(t *testing.T) {
	with := func(change func(g *exchange.Grant)) exchange.Grant {
		g := grant()
		change(&g)
		return g
	}
	scopes := func(s ...string) exchange.Grant { return with(func(g *exchange.Grant) { g.Scopes = s }) }
	pair := func(host, app string) exchange.Grant {
		return with(func(g *exchange.Grant) { g.Host, g.ApplicationID = host, app })
	}
	secret := func(credential, isolation string) exchange.Grant {
		g := bySecret(time.Hour)
		g.Credential, g.Isolation = credential, isolation
		return g
	}
	grants := []exchange.Grant{
		grant(),
		with(func(g *exchange.Grant) { g.Host += "m" }),
		with(func(g *exchange.Grant) { g.ApplicationID += "1" }),
		with(func(g *exchange.Grant) { g.Isolation = "alice" }),
		with(func(g *exchange.Grant) { g.Isolation = "bob" }),
		with(func(g *exchange.Grant) { g.Credential = "1" }),
		bySecret(time.Hour), secret("2", ""), secret("2", "1"), secret("21", ""), secret("", "21"), secret("2\x001", ""),
		pair("https://a", "bc"), pair("https://ab", "c"), pair("https://a\x00", "bc"), pair("https://a|", "bc"), pair("https://a", "|bc"),
		scopes("sql"), scopes("model-serving"), scopes("all-apis"), scopes("sql model-serving"), scopes("sql", "sql"), scopes("sq", "l"), scopes("sql", ""),
		detailed("/serving-endpoints/1"), detailed("/serving-endpoints/2"), detailed("/serving-endpoints/1", "manage"),
		with(func(g *exchange.Grant) { g.Details = append(detailed("/1").Details, detailed("/2").Details...) }),
	}
	w := newWorld(t)
	minted := map[exchange.MintID]int{}
	for i, g := range grants {
		token := w.get(t, g, 2*time.Hour)
		if other, ok := minted[token.Mint]; ok {
			t.Errorf("grants %d and %d share a token:\n%+v\n%+v", other, i, grants[other], g)
		}
		minted[token.Mint] = i
	}
	for i, g := range grants {
		if token := w.get(t, g, 2*time.Hour); minted[token.Mint] != i {
			t.Errorf("grant %d found the token of grant %d", i, minted[token.Mint])
		}
	}
}

// Names are labels: what differs in them alone is one token.
func TestNamesDoNotCount(t *testing.T) {
	w := newWorld(t)
	w.get(t, grant(), 2*time.Hour)
	g := grant()
	g.Workspace, g.Principal, g.Account = "renamed", "renamed", "renamed"
	if token := w.get(t, g, 2*time.Hour); token.Cache != exchange.CacheMemory {
		t.Error("a renamed principal was minted anew")
	}
}

// J11: 1,000 who ask at once for what isn't there cause one mint.
func TestJ11OneMint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, inBubble)
		w.minter.will(slow(2 * time.Second))
		var wg sync.WaitGroup
		tokens := make([]exchange.Token, 1000)
		for i := range tokens {
			wg.Go(func() { tokens[i] = w.get(t, grant(), 2*time.Hour) })
		}
		synctest.Wait()
		if got := w.metric(t, "sts_flight_waiters"); got != 1000 {
			t.Errorf("%v wait, want 1000", got)
		}
		wg.Wait()
		for _, token := range tokens {
			if token.Mint != tokens[0].Mint || token.Cache != exchange.CacheMinted {
				t.Fatalf("a caller has another token, from %s", token.Cache)
			}
		}
		w.wantMints(t, 1)
		if got := w.metric(t, "sts_flight_waiters"); got != 0 {
			t.Errorf("%v wait still", got)
		}
	})
}

// J11, without any order between them: the one who looked just before the token came does not mint it again.
func TestOneMintWhateverTheOrder(t *testing.T) {
	for range 20 {
		w := newWorld(t)
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				if _, err := w.try(grant(), 2*time.Hour); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.wantMints(t, 1)
	}
}

// J12: the first caller hangs up, and the others get the token. M06: whose deadline passes gets that, and the mint goes on.
func TestJ12LeaderLeaves(t *testing.T) {
	for name, leave := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"hangs up": context.WithCancel,
		"deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 50*time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, inBubble)
				w.minter.will(slow(2 * time.Second))
				ctx, cancel := leave(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() {
					_, err := w.Obtain(ctx, grant(), time.Hour, time.Now().Add(2*time.Hour))
					if err == nil || !errors.Is(err, ctx.Err()) {
						t.Errorf("the leader got %v", err)
					}
				})
				synctest.Wait()
				for range 10 {
					wg.Go(func() { w.get(t, grant(), 2*time.Hour) })
				}
				synctest.Wait()
				if name == "hangs up" {
					cancel()
				}
				wg.Wait()
				cancel()
				w.wantMints(t, 1)
			})
		})
	}
}

// Who has hung up before it starts causes nothing.
func TestNobodyWaits(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Obtain(ctx, grant(), time.Hour, w.clock.Now().Add(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	w.wantMints(t, 0)
}

// J13: all who wait get the leader's error, once; the next one tries at once.
func TestJ13LeaderFails(t *testing.T) {
	for name, failure := range map[string]error{"unavailable": errDown, "rejected": errRejected, "foreign": errors.New("boom")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, inBubble)
				w.minter.will(func(context.Context, exchange.Token) (exchange.Token, error) {
					time.Sleep(time.Second)
					return exchange.Token{}, failure
				})
				var wg sync.WaitGroup
				for range 50 {
					wg.Go(func() {
						if _, err := w.try(grant(), 2*time.Hour); reason(err) != reason(failure) {
							t.Errorf("a follower got %v", err)
						}
					})
				}
				wg.Wait()
				w.wantMints(t, 1)
				w.minter.will(nil)
				w.get(t, grant(), 2*time.Hour)
				w.wantMints(t, 2)
			})
		})
	}
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
		w.minter.will(func(_ context.Context, token exchange.Token) (exchange.Token, error) {
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

// J14: what was moved to another key, or changed, is dropped, counted and minted anew.
func TestJ14SealedEntries(t *testing.T) {
	for name, spoil := range map[string]func(box []byte, other []byte) []byte{
		"moved from another key": func(_, other []byte) []byte { return other },
		"one bit flipped":        func(box, _ []byte) []byte { box[len(box)/2] ^= 1; return box },
		"cut short":              func(box, _ []byte) []byte { return box[:len(box)-1] },
		"empty":                  func(_, _ []byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			spoiler := &spoilingAEAD{AEAD: newAEAD(t)}
			w := newWorld(t, func(c *store.TokensConfig) { c.AEAD = spoiler })
			foreign := grant()
			foreign.Isolation = "somebody else"
			w.get(t, foreign, 2*time.Hour)
			spoiler.spoil = spoil
			first := w.get(t, grant(), 2*time.Hour)
			spoiler.spoil = nil
			second := w.get(t, grant(), 2*time.Hour)
			if second.Cache != exchange.CacheMinted || second.Mint == first.Mint {
				t.Errorf("served from %s", second.Cache)
			}
			if got := w.metric(t, "sts_tokens_dropped_total"); got != 1 {
				t.Errorf("%v entries dropped, want 1", got)
			}
			if third := w.get(t, grant(), 2*time.Hour); third.Mint != second.Mint {
				t.Error("the new token was not kept")
			}
		})
	}
}

// A token that can't be sealed is served, and not kept.
func TestUnsealable(t *testing.T) {
	spoiler := &spoilingAEAD{AEAD: newAEAD(t), fail: true}
	w := newWorld(t, func(c *store.TokensConfig) { c.AEAD = spoiler })
	w.get(t, grant(), 2*time.Hour)
	w.get(t, grant(), 2*time.Hour)
	w.wantMints(t, 2)
	if got := w.metric(t, "sts_tokens_dropped_total"); got != 2 {
		t.Errorf("%v entries dropped, want 2", got)
	}
}

// spoilingAEAD changes what it seals, given what it sealed before.
type spoilingAEAD struct {
	tink.AEAD
	spoil func(box, other []byte) []byte
	fail  bool
	other []byte
}

func (a *spoilingAEAD) Encrypt(plain, ad []byte) ([]byte, error) {
	if a.fail {
		return nil, errors.New("the key is gone")
	}
	box, err := a.AEAD.Encrypt(plain, ad)
	if a.spoil != nil {
		box = a.spoil(box, a.other)
	}
	a.other = box
	return box, err
}

// Nothing that is kept holds a token in the clear.
func TestEntriesAreSealed(t *testing.T) {
	spoiler := &spoilingAEAD{AEAD: newAEAD(t)}
	w := newWorld(t, func(c *store.TokensConfig) { c.AEAD = spoiler })
	token := w.get(t, grant(), 2*time.Hour)
	if box := string(spoiler.other); len(box) < len(token.Text) || strings.Contains(box, token.Text.Reveal()) || strings.Contains(box, string(token.Mint)) {
		t.Error("the entry is not sealed")
	}
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
