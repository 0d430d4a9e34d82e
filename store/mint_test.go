package store_test

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/store"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Every attempt is one event that tells what was asked, why, and what came of it.
func TestMintEvents(t *testing.T) {
	w := newWorld(t)
	started := w.clock.Now()
	w.minter.Will(func(_ context.Context, token exchange.Token) (exchange.Token, error) {
		w.clock.Add(3 * time.Second)
		return token, nil
	})
	token := w.get(t, grant(), 2*time.Hour)
	e := w.lastEvent(t)
	if e.ID != string(token.Mint) || !e.Time.Equal(started) || e.Exchange != nil || e.Admin != nil {
		t.Errorf("event %s at %v of the mint %s", e.ID, e.Time, token.Mint)
	}
	want := exchange.Mint{Cause: exchange.CauseMiss, Grant: grant(), Asked: started.Add(time.Hour).Truncate(time.Second), Token: token, Duration: 3 * time.Second}
	if diff := cmp.Diff(want, *e.Mint); diff != "" {
		t.Errorf("mint (-want +got):\n%s", diff)
	}

	w.minter.Fail(errDown)
	if _, err := w.try(lasting(time.Minute), 90*time.Second); reason(err) != "upstream_unavailable" {
		t.Errorf("error %v", err)
	}
	failed := w.lastEvent(t)
	if m := failed.Mint; m.Err == nil || m.Err.Reason != errDown.Reason || m.Token.Text != "" || failed.ID == e.ID {
		t.Errorf("the failed mint was recorded as %+v", m)
	}
	w.wantMints(t, 2)
}

// What does not answer what was asked is never served, and never kept.
func TestMintAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(token *exchange.Token)
		grant exchange.Grant
		want  string
	}{
		"as asked":               {func(*exchange.Token) {}, grant(), "ok"},
		"shorter than asked":     {func(t *exchange.Token) { t.TrueExpiry = t.TrueExpiry.Add(-20 * time.Minute) }, grant(), "ok"},
		"empty":                  {func(t *exchange.Token) { t.Text, t.SHA256 = "", sha256.Sum256(nil) }, grant(), "upstream_invalid"},
		"wrong hash":             {func(t *exchange.Token) { t.SHA256[0]++ }, grant(), "upstream_invalid"},
		"of another mint":        {func(t *exchange.Token) { t.Mint = "1" }, grant(), "upstream_invalid"},
		"outlives its assertion": {func(t *exchange.Token) { t.TrueExpiry = t.TrueExpiry.Add(time.Second) }, grant(), "upstream_invalid"},
		"dead":                   {func(t *exchange.Token) { t.TrueExpiry = t.TrueExpiry.Add(-time.Hour) }, grant(), "upstream_invalid"},
		"44 s left":              {func(t *exchange.Token) { t.TrueExpiry = t.TrueExpiry.Add(-time.Hour + 45*time.Second) }, grant(), "upstream_invalid"},
		"fraction of a second":   {func(t *exchange.Token) { t.TrueExpiry = t.TrueExpiry.Add(-time.Millisecond) }, grant(), "upstream_invalid"},
		"not bounded":            {func(t *exchange.Token) { t.Bound = exchange.BoundServed }, grant(), "upstream_invalid"},
		"no end at all":          {func(t *exchange.Token) { t.TrueExpiry = time.Time{} }, bySecret(time.Hour), "upstream_invalid"},
		"wider":                  {func(t *exchange.Token) { t.Scopes = append(t.Scopes[:1:1], "all-apis") }, grant(), "upstream_invalid"},
		"narrower":               {func(t *exchange.Token) { t.Scopes = t.Scopes[:1] }, grant(), "upstream_invalid"},
		"without its details":    {func(t *exchange.Token) { t.Details = nil }, detailed("/1"), "upstream_invalid"},
		"with others' details":   {func(t *exchange.Token) { t.Details = detailed("/2").Details }, detailed("/1"), "upstream_invalid"},
		"claims to be bounded":   {func(t *exchange.Token) { t.Bound = exchange.BoundToken }, bySecret(time.Hour), "upstream_invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.minter.Will(func(_ context.Context, token exchange.Token) (exchange.Token, error) {
				test.spoil(&token)
				return token, nil
			})
			if _, err := w.try(test.grant, 2*time.Hour); reason(err) != test.want {
				t.Errorf("error %v, want %s", err, test.want)
			}
			if e := w.lastEvent(t).Mint; (test.want == "ok") != (e.Err == nil) {
				t.Errorf("recorded %+v", e)
			}
			w.minter.Will(nil)
			if again := w.get(t, test.grant, 2*time.Hour); (again.Cache == exchange.CacheMemory) != (test.want == "ok") {
				t.Errorf("the next call was answered from %s", again.Cache)
			}
		})
	}
}

// A minter that panics has failed, for the record and for everybody who waits.
func TestMintPanics(t *testing.T) {
	w := newWorld(t)
	w.minter.Will(func(context.Context, exchange.Token) (exchange.Token, error) { panic("boom") })
	if _, err := w.try(grant(), 2*time.Hour); reason(err) != "internal" {
		t.Errorf("error %v", err)
	}
	w.wantMints(t, 1)
	w.minter.Will(nil)
	w.get(t, grant(), 2*time.Hour)
}

// A mint ends in bounded time, as an outage of Databricks and not as anybody's deadline.
func TestMintTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, inBubble, func(c *store.TokensConfig) { c.MintTimeout = 5 * time.Second })
		w.minter.Will(func(ctx context.Context, _ exchange.Token) (exchange.Token, error) {
			<-ctx.Done()
			return exchange.Token{}, ctx.Err()
		})
		started := time.Now()
		if _, err := w.try(grant(), 2*time.Hour); reason(err) != "upstream_unavailable" || time.Since(started) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(started))
		}
		if e := w.lastEvent(t); e.Mint.Err == nil {
			t.Error("recorded as a success")
		}
	})
}

// A slow mint can't stretch a token: its end was fixed when it was asked for.
func TestSlowMintIsShorter(t *testing.T) {
	w := newWorld(t)
	started := w.clock.Now()
	w.minter.Will(func(_ context.Context, token exchange.Token) (exchange.Token, error) {
		w.clock.Add(9 * time.Second)
		return token, nil
	})
	token := w.get(t, lasting(time.Minute), 2*time.Hour)
	if token.TrueExpiry.After(started.Add(time.Minute)) {
		t.Errorf("ends at %v, asked for at %v", token.TrueExpiry, started)
	}
}

// Closing waits for what is in the air, and lets nothing more start.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, inBubble)
		w.minter.Will(slow(3 * time.Second))
		ctx, hangUp := context.WithCancel(t.Context())
		go func() { _, _ = w.Obtain(ctx, grant(), time.Hour, time.Now().Add(2*time.Hour)) }()
		synctest.Wait()
		hangUp()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.Close(short); err == nil {
			t.Error("closed while a mint was in the air")
		}
		if err := w.Close(t.Context()); err != nil || len(w.recorder.All()) != 1 {
			t.Errorf("closed with %v and %d events", err, len(w.recorder.All()))
		}
		if _, err := w.try(lasting(time.Minute), time.Hour); exchange.AsError(err) == nil || exchange.AsError(err).Code != exchange.CodeUnavailable {
			t.Errorf("a closed store mints: %v", err)
		}
	})
}
