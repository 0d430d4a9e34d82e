package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/lakegate/sts/exchange"
)

// TokensConfig is what tokens under test stand in.
type TokensConfig struct {
	Minter   exchange.Minter
	Recorder exchange.Recorder
	AEAD     tink.AEAD
	Now      func() time.Time
}

// TokensHandle is one process that obtains tokens, with what it counts.
type TokensHandle struct {
	exchange.Tokens
	Metrics prometheus.Gatherer
}

// OpenTokens opens two handles on one empty cache, as two processes would; a cache of one process gives the same twice.
type OpenTokens func(t *testing.T, c TokensConfig) (one, other TokensHandle)

// Tokens is the suite of exchange.Tokens. It only moves the clock, and waits for nothing but what it has started.
func Tokens(t *testing.T, open OpenTokens) {
	for name, run := range map[string]func(t *testing.T, s *tokens){
		"J01 nothing outlives the subject":        boundByTheSubject,
		"J02 a hit is whole and keeps its end":    hitsAreWhole,
		"J03 what no longer fits is minted anew":  noLongerFits,
		"J04 a life of nothing is none":           noTimeToLive,
		"J07 subjects of one grant share a token": sharedByGrant,
		"J08 J10 grants that differ do not":       distinctGrants,
		"J09 what is incomplete is refused":       incomplete,
		"less time, a shorter step":               everyStep,
		"J11 one mint for all who wait":           oneMint,
		"J11 one mint whatever the order":         oneMintInAnyOrder,
		"J12 the first caller leaves":             leaderLeaves,
		"who has left causes nothing":             nobodyWaits,
		"J13 the mint fails":                      leaderFails,
		"J14 what does not open":                  spoiledEntries,
		"what can't be sealed is not kept":        unsealable,
		"what is kept is sealed":                  sealed,
		"what can't be recorded is not kept":      unrecorded,
		"one renewal":                             oneRenewal,
		"an outage of minting":                    outage,
	} {
		t.Run(name, func(t *testing.T) { run(t, openTokens(t, open)) })
	}
}

// tokens are two handles on one cache, between a Databricks and an audit log.
type tokens struct {
	open       OpenTokens
	one, other TokensHandle
	clock      *Clock
	minter     *Minter
	recorder   *Recorder
	spoiler    *Spoiler
}

func openTokens(t *testing.T, open OpenTokens) *tokens {
	t.Helper()
	s := &tokens{open: open, clock: NewClock(), recorder: &Recorder{}, spoiler: &Spoiler{AEAD: NewAEAD(t)}}
	s.minter = &Minter{Now: s.clock.Now}
	s.one, s.other = open(t, TokensConfig{Minter: s.minter, Recorder: s.recorder, AEAD: s.spoiler, Now: s.clock.Now})
	return s
}

// again are handles on another empty cache.
func (s *tokens) again(t *testing.T) *tokens {
	t.Helper()
	return openTokens(t, s.open)
}

// get obtains a token for a subject with that much left, or ends the test.
func (s *tokens) get(t *testing.T, from TokensHandle, g exchange.Grant, rest time.Duration) exchange.Token {
	t.Helper()
	token, err := s.try(from, g, rest)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (s *tokens) try(from TokensHandle, g exchange.Grant, rest time.Duration) (exchange.Token, error) {
	return from.Obtain(context.Background(), g, g.Lifetime, s.clock.Now().Add(rest))
}

func (s *tokens) wantMints(t *testing.T, want int) {
	t.Helper()
	if got := s.minter.Count(); got != want {
		t.Errorf("%d mints, want %d", got, want)
	}
	if got := len(s.recorder.All()); got != want {
		t.Errorf("%d mint events, want %d", got, want)
	}
}

// metric is a metric's value, summed over its labels and both handles.
func (s *tokens) metric(t *testing.T, name string) (sum float64) {
	t.Helper()
	handles := []prometheus.Gatherer{s.one.Metrics}
	if s.other.Metrics != s.one.Metrics {
		handles = append(handles, s.other.Metrics)
	}
	for _, h := range handles {
		families, err := h.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == name {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return sum
}

// eventually waits for what happens in the background.
func (*tokens) eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// Five minutes left and a rule of an hour: what is minted dies by then.
func boundByTheSubject(t *testing.T, s *tokens) {
	end := s.clock.Now().Add(5 * time.Minute).Truncate(time.Second)
	token, err := s.one.Obtain(t.Context(), Grant(), time.Hour, end)
	if err != nil || token.TrueExpiry.After(end) {
		t.Errorf("lives until %v, %v; the subject until %v", token.TrueExpiry, err, end)
	}
}

// The emptiest and the fullest of tokens come back as they were minted, 100 s later with 100 s less.
func hitsAreWhole(t *testing.T, s *tokens) {
	for name, g := range map[string]exchange.Grant{"federation": Grant(), "client secret": BySecret(time.Hour), "with details": Detailed("/serving-endpoints/1")} {
		minted := s.get(t, s.one, g, 2*time.Hour)
		s.clock.Add(100 * time.Second)
		for range 2 { // the second finds what the first has found
			hit := s.get(t, s.other, g, 2*time.Hour)
			if hit.Cache == exchange.CacheMinted {
				t.Errorf("%s: minted anew", name)
			}
			hit.Cache = minted.Cache
			if diff := cmp.Diff(minted, hit); diff != "" {
				t.Errorf("%s: hit (-want +got):\n%s", name, diff)
			}
		}
	}
	s.wantMints(t, 3)
	if hits, misses := s.metric(t, "sts_tokens_hits_total"), s.metric(t, "sts_tokens_misses_total"); hits != 6 || misses != 3 || s.metric(t, "sts_mints_total") != 3 {
		t.Errorf("counted %v hits and %v misses", hits, misses)
	}
}

func noLongerFits(t *testing.T, s *tokens) {
	old := s.get(t, s.one, Lasting(5*time.Minute), time.Hour)
	s.clock.Add(3 * time.Minute)
	fresh := s.get(t, s.other, Lasting(5*time.Minute), time.Hour)
	if fresh.Mint == old.Mint || fresh.Cache != exchange.CacheMinted {
		t.Errorf("served the old token, with %v left", old.TrueExpiry.Sub(s.clock.Now()))
	}
	if again := s.get(t, s.one, Lasting(5*time.Minute), time.Hour); again.Mint != fresh.Mint {
		t.Error("the fresh token is not the one that is kept")
	}
}

// A life of less than a second in the cache is none, and never "for ever".
func noTimeToLive(t *testing.T, s *tokens) {
	for _, test := range []struct {
		rest time.Duration // of the new token
		kept bool
	}{
		{45*time.Second + 400*time.Millisecond, false},
		{45 * time.Second, false},
		{75 * time.Second, true},
	} {
		s := s.again(t)
		end := s.clock.Now().Add(2 * time.Second).Truncate(time.Second)
		s.clock.Add(end.Sub(s.clock.Now()) - test.rest%time.Second) // so that the end is in whole seconds
		s.minter.Will(func(_ context.Context, token exchange.Token) (exchange.Token, error) {
			token.TrueExpiry = s.clock.Now().Add(test.rest)
			return token, nil
		})
		s.get(t, s.one, BySecret(time.Minute), time.Hour)
		if kept := s.get(t, s.other, BySecret(time.Minute), 50*time.Second).Cache != exchange.CacheMinted; kept != test.kept {
			t.Errorf("%v: kept: %v", test.rest, kept)
		}
		s.clock.Add(100 * time.Hour)
		s.minter.Fail(ErrDown)
		for _, h := range []TokensHandle{s.one, s.other} {
			if token, err := s.try(h, BySecret(time.Minute), time.Hour); err == nil {
				t.Errorf("%v: served a token that ended at %v", test.rest, token.TrueExpiry)
			}
		}
	}
}

// Names are labels: what differs in them alone is one token.
func sharedByGrant(t *testing.T, s *tokens) {
	first := s.get(t, s.one, Grant(), 2*time.Hour)
	renamed := Grant()
	renamed.Workspace, renamed.Principal, renamed.Account = "renamed", "renamed", "renamed"
	for what, g := range map[string]exchange.Grant{"another subject": Grant(), "another name": renamed} {
		if token := s.get(t, s.other, g, 3*time.Hour); token.Mint != first.Mint {
			t.Errorf("%s has another token", what)
		}
	}
	s.wantMints(t, 1)
}

// Grants that differ anywhere, however slyly, have different tokens.
func distinctGrants(t *testing.T, s *tokens) {
	with := func(change func(g *exchange.Grant)) exchange.Grant {
		g := Grant()
		change(&g)
		return g
	}
	scopes := func(s ...string) exchange.Grant { return with(func(g *exchange.Grant) { g.Scopes = s }) }
	pair := func(host, app string) exchange.Grant {
		return with(func(g *exchange.Grant) { g.Host, g.ApplicationID = host, app })
	}
	secret := func(credential, isolation string) exchange.Grant {
		g := BySecret(time.Hour)
		g.Credential, g.Isolation = credential, isolation
		return g
	}
	grants := []exchange.Grant{
		Grant(),
		with(func(g *exchange.Grant) { g.Host += "m" }),
		with(func(g *exchange.Grant) { g.ApplicationID += "1" }),
		with(func(g *exchange.Grant) { g.Isolation = "alice" }),
		with(func(g *exchange.Grant) { g.Isolation = "bob" }),
		with(func(g *exchange.Grant) { g.Credential = "1" }),
		BySecret(time.Hour), secret("2", ""), secret("2", "1"), secret("21", ""), secret("", "21"), secret("2\x001", ""),
		pair("https://a", "bc"), pair("https://ab", "c"), pair("https://a\x00", "bc"), pair("https://a|", "bc"), pair("https://a", "|bc"),
		scopes("sql"), scopes("model-serving"), scopes("all-apis"), scopes("sql model-serving"), scopes("sql", "sql"), scopes("sq", "l"), scopes("sql", ""),
		Detailed("/serving-endpoints/1"), Detailed("/serving-endpoints/2"), Detailed("/serving-endpoints/1", "manage"),
		with(func(g *exchange.Grant) { g.Details = append(Detailed("/1").Details, Detailed("/2").Details...) }),
	}
	minted := map[exchange.MintID]int{}
	for i, g := range grants {
		token := s.get(t, s.one, g, 2*time.Hour)
		if other, ok := minted[token.Mint]; ok {
			t.Errorf("grants %d and %d share a token:\n%+v\n%+v", other, i, grants[other], g)
		}
		minted[token.Mint] = i
	}
	for i, g := range grants {
		if token := s.get(t, s.other, g, 2*time.Hour); minted[token.Mint] != i {
			t.Errorf("grant %d found the token of grant %d", i, minted[token.Mint])
		}
	}
}

// Nobody shares what nobody is named by.
func incomplete(t *testing.T, s *tokens) {
	for name, spoil := range map[string]func(g *exchange.Grant){
		"host":           func(g *exchange.Grant) { g.Host = "" },
		"application id": func(g *exchange.Grant) { g.ApplicationID = "" },
		"method":         func(g *exchange.Grant) { g.Method = "" },
		"other method":   func(g *exchange.Grant) { g.Method = "pat" },
		"scopes":         func(g *exchange.Grant) { g.Scopes = nil },
		"lifetime":       func(g *exchange.Grant) { g.Lifetime = 0 },
	} {
		g := Grant()
		spoil(&g)
		_, err := s.one.Obtain(t.Context(), g, time.Hour, s.clock.Now().Add(time.Hour))
		if err == nil || fmt.Sprint(exchange.AsError(err).Reason) != "internal" {
			t.Errorf("%s: error %v", name, err)
		}
	}
	s.wantMints(t, 0)
}

// Subjects with less time find a token of a shorter step, and of no step that is too long.
func everyStep(t *testing.T, s *tokens) {
	ten := s.get(t, s.one, Grant(), 10*time.Minute)
	if token := s.get(t, s.other, Grant(), 14*time.Minute); token.Mint != ten.Mint {
		t.Error("14 minutes left: the token of ten was not taken")
	}
	if token := s.get(t, s.other, Grant(), 9*time.Minute); token.Cache != exchange.CacheMinted || token.TrueExpiry.Sub(s.clock.Now()) > 5*time.Minute {
		t.Errorf("9 minutes left: a token of %v from %s", token.TrueExpiry.Sub(s.clock.Now()), token.Cache)
	}
	s.wantMints(t, 2)
}
