package store_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lakegate/sts/exchange"
)

// What is minted for whom: the life M, by the rule's lifetime, what was asked, and what is left of the subject's token.
func TestLadder(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	for _, test := range []struct {
		name             string
		own, limit, rest time.Duration
		minted           time.Duration // 0: refused
	}{
		{"the rule's own lifetime", h, h, 8 * h, h},
		{"the rule's own lifetime, off the ladder", 37 * m, 37 * m, 8 * h, 37 * m},
		{"the rule's own lifetime, above the ladder", 8 * h, 8 * h, 9 * h, 8 * h},
		{"the rule's own lifetime is all that is left", 37 * m, 37 * m, 37 * m, 37 * m},
		{"a second less is the step below", 37 * m, 37 * m, 37*m - s, 30 * m},
		{"a little less than a long rule's", 8 * h, 8 * h, 8*h - s, h},
		{"what was asked is stepped too", h, 20 * m, 8 * h, 15 * m},
		{"what was asked may be a step", h, 10 * m, 8 * h, 10 * m},
		{"59 min left", h, h, 59 * m, 30 * m},
		{"29 min left", h, h, 29 * m, 15 * m},
		{"14 min left", h, h, 14 * m, 10 * m},
		{"9 min left", h, h, 9 * m, 5 * m},
		{"4 min left", h, h, 4 * m, 2 * m},
		{"61 s left", h, h, 61 * s, m},
		{"60 s left", h, h, 60 * s, m},
		{"60.9 s left", h, h, 60*s + 900*time.Millisecond, m},
		{"59.9 s left", h, h, 60*s - 100*time.Millisecond, 0},
		{"nothing left", h, h, 0, 0},
		{"dead for an hour", h, h, -h, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			now := w.clock.Now()
			token, err := w.Obtain(t.Context(), lasting(test.own), test.limit, now.Add(test.rest))
			if test.minted == 0 {
				if reason(err) != "subject_token_expiring" || w.minter.Count() != 0 {
					t.Errorf("%v after %d mints", err, w.minter.Count())
				}
				return
			}
			if want := now.Add(test.minted).Truncate(s); err != nil || !token.TrueExpiry.Equal(want) {
				t.Errorf("ends at %v, %v; want %v", token.TrueExpiry, err, want)
			}
		})
	}
}

// Which cached token fits: one that was minted with a life of step, some time ago.
func TestFit(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	for _, test := range []struct {
		name string
		step time.Duration // what is cached
		ago  time.Duration
		rest time.Duration // of the next subject's token
		fits bool
	}{
		{"one hour, fresh", h, 0, 2 * h, true},
		{"one hour, 5 min left of it", h, 55*m - s, 2 * h, true},
		{"one hour, less than 5 min left of it", h, 55*m + s, 2 * h, false},
		{"two minutes, one left of it", 2 * m, 59 * s, 3 * m, true},
		{"two minutes, less than one left of it", 2 * m, 61 * s, 3 * m, false},
		{"one minute, 45 s left of it", m, 14 * s, 90 * s, true},
		{"one minute, 44 s left of it", m, 15 * s, 90 * s, false},
		{"a larger step, within what is left", 30 * m, 22 * m, 9 * m, true},
		{"a larger step, beyond what is left", 30 * m, 20 * m, 9 * m, false},
		{"a smaller step that is long enough", 15 * m, 0, 2 * h, true},
		{"a smaller step that is too short", 5 * m, 30 * s, 2 * h, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.get(t, grant(), test.step)
			w.clock.Add(test.ago)
			token := w.get(t, grant(), test.rest)
			if fits := token.Cache == exchange.CacheMemory; fits != test.fits {
				t.Errorf("from %s, with %v left", token.Cache, token.TrueExpiry.Sub(w.clock.Now()))
			}
		})
	}
}

// Tokens by client secret have no ladder: one entry, judged by what each caller may use.
func TestServedFit(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	for _, test := range []struct {
		name     string
		lifetime time.Duration
		ago      time.Duration
		rest     time.Duration
		fits     bool
	}{
		{"fresh", h, 0, 2 * h, true},
		{"short rule, fresh", 5 * m, 0, 2 * h, true},
		{"little left of the subject's", h, 0, 61 * s, true},
		{"a subject with less than a minute", h, 0, 50 * s, true},
		{"5 min left of it", h, 55*m - s, 2 * h, true},
		{"less than 5 min left of it", h, 55*m + s, 2 * h, false},
		{"less than 5 min left of it, for a short rest", h, 57 * m, 4 * m, true},
		{"44 s left of it, for a short rest", h, 59*m + 16*s, m, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.get(t, bySecret(test.lifetime), 2*h)
			w.clock.Add(test.ago)
			token := w.get(t, bySecret(test.lifetime), test.rest)
			if fits := token.Cache == exchange.CacheMemory; fits != test.fits || token.Bound != exchange.BoundServed {
				t.Errorf("from %s, bound %s, with %v left", token.Cache, token.Bound, token.TrueExpiry.Sub(w.clock.Now()))
			}
		})
	}
}

// restated is the rule of docs/adr/0003 once more, in milliseconds and other words. It says what is wrong with a token that
// was asked for and given at those times; lenient, while minting is unavailable.
func restated(g exchange.Grant, limit time.Duration, notAfter, asked, given time.Time, token exchange.Token, lenient bool) string {
	l := min(limit.Milliseconds(), notAfter.Sub(asked).Milliseconds()/1000*1000)
	m := l
	if g.Method == exchange.MethodFederation {
		if token.TrueExpiry.UnixMilli() > asked.UnixMilli()+l {
			return "it ends after now + L"
		}
		if token.TrueExpiry.After(notAfter) {
			return "it outlives the subject's token"
		}
		if l != g.Lifetime.Milliseconds() {
			for _, m = range []int64{3_600_000, 1_800_000, 900_000, 600_000, 300_000, 120_000, 60_000, 0} {
				if m <= l {
					break
				}
			}
		}
	}
	least := min(m/2, 300_000)
	if least < 45_000 || lenient {
		least = 45_000
	}
	if token.TrueExpiry.UnixMilli()-given.UnixMilli() < least {
		return "its rest is too short"
	}
	return ""
}

// Whatever is asked, whenever, however slow the answers: what is served fits, and is refused only where it must be.
func TestFitProperty(t *testing.T) {
	lifetimes := []time.Duration{time.Minute, 75 * time.Second, 10 * time.Minute, 37 * time.Minute, time.Hour, 2 * time.Hour, 8 * time.Hour}
	for seed := range uint64(24) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			w := newWorld(t)
			fails, down := seed%2 == 1, false
			w.minter.Will(func(_ context.Context, token exchange.Token) (exchange.Token, error) {
				w.clock.Add(time.Duration(random.Int64N(int64(10 * time.Second))))
				if down {
					return exchange.Token{}, errDown
				}
				return token, nil
			})
			for range 500 {
				switch random.IntN(8) {
				case 0:
					w.clock.Add(-time.Duration(random.Int64N(int64(3 * time.Second))))
				case 1:
					w.clock.Add(time.Duration(random.Int64N(int64(20 * time.Minute))))
				case 2:
					down = fails && !down
				default:
					w.clock.Add(time.Duration(random.Int64N(int64(30 * time.Second))))
				}
				g := lasting(lifetimes[random.IntN(len(lifetimes))])
				if random.IntN(4) == 0 {
					g.Method = exchange.MethodClientSecret
				}
				limit := g.Lifetime
				if random.IntN(3) == 0 {
					limit = min(limit, time.Minute+time.Duration(random.Int64N(7200))*time.Second)
				}
				asked := w.clock.Now()
				notAfter := asked.Add(time.Duration(random.Int64N(int64(70 * time.Minute)))).Truncate(time.Second)
				token, err := w.Obtain(t.Context(), g, limit, notAfter)
				given := w.clock.Now()
				if token.Cache == exchange.CacheMemory {
					given = asked // a renewal that this hit started may have moved the clock already
				}
				synctest.Wait()
				switch rest := notAfter.Sub(asked); {
				case err == nil:
					if wrong := restated(g, limit, notAfter, asked, given, token, fails); wrong != "" {
						t.Fatalf("seed %d: a token from %s that ends at %v, asked at %v, given at %v (limit %v, not after %v): %s",
							seed, token.Cache, token.TrueExpiry, asked, given, limit, notAfter, wrong)
					}
				case reason(err) == "subject_token_expiring" && rest < time.Minute:
				case reason(err) == "upstream_unavailable" && down:
				default:
					t.Fatalf("seed %d: %v with %v left", seed, err, rest)
				}
			}
		})
	}
}

// 10,000 subjects with rests of 1 to 60 minutes cause at most 60 mints in 10 minutes, and each token is dead by
// the end of its subject's.
func TestTenThousandSubjects(t *testing.T) {
	for _, own := range []time.Duration{time.Hour, 8 * time.Hour} {
		for seed := range uint64(2) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 3))
				w := newWorld(t, inBubble)
				for range 10_000 {
					time.Sleep(10 * time.Minute / 10_000)
					notAfter := time.Now().Add(61*time.Second + time.Duration(random.Int64N(int64(59*time.Minute)))).Truncate(time.Second)
					token, err := w.Obtain(t.Context(), lasting(own), own, notAfter)
					if err != nil {
						t.Fatal(err)
					}
					if token.TrueExpiry.After(notAfter) {
						t.Fatalf("a token lives until %v, its subject's until %v", token.TrueExpiry, notAfter)
					}
					synctest.Wait() // for a renewal
				}
				if n := w.minter.Count(); n > 60 || n < 10 {
					t.Errorf("%d mints, want at most 60", n)
				}
			})
		}
	}
}
