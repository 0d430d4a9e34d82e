package store_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lakegate/sts/exchange"
)

// A token in use is renewed once, shortly before it would no longer fit, and nobody waits for it.
func TestRenewalAhead(t *testing.T) {
	for name, test := range map[string]struct {
		grant exchange.Grant
		fit   time.Duration // how long the token fits
		ahead bool
	}{
		"an hour":           {grant(), 55 * time.Minute, true},
		"37 minutes":        {lasting(37 * time.Minute), 32 * time.Minute, true},
		"ten minutes":       {lasting(10 * time.Minute), 5 * time.Minute, true},
		"under ten minutes": {lasting(10*time.Minute - time.Second), 295 * time.Second, false},
		"two minutes":       {lasting(2 * time.Minute), time.Minute, false},
		"client secret":     {bySecret(time.Hour), 55 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, inBubble)
				first := w.get(t, test.grant, 8*time.Hour)
				fits := time.Now().Add(test.fit - 2*time.Second)
				time.Sleep(max(0, test.fit-2*time.Minute))
				w.minter.Will(slow(time.Second))
				renewed := time.Duration(0)
				for time.Now().Before(fits) { // somebody asks every second
					time.Sleep(time.Second)
					token, err := w.try(test.grant, 8*time.Hour)
					if err != nil || token.Cache != exchange.CacheMemory {
						t.Fatalf("somebody waited: %s, %v", token.Cache, err)
					}
					if token.Mint != first.Mint && renewed == 0 {
						renewed = time.Until(first.TrueExpiry)
					}
				}
				if (renewed != 0) != test.ahead {
					t.Errorf("renewed with %v left", renewed)
				}
				if !test.ahead {
					w.wantMints(t, 1)
					return
				}
				w.wantMints(t, 2)
				if e := w.lastEvent(t); e.Mint.Cause != exchange.CauseRenewal {
					t.Errorf("the second mint's cause is %s", e.Mint.Cause)
				}
			})
		})
	}
}

// What nobody asks for is not renewed.
func TestIdleIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, inBubble)
		w.get(t, grant(), 8*time.Hour)
		time.Sleep(3 * time.Hour)
		w.wantMints(t, 1)
	})
}

// Tokens that were minted together are not renewed together.
func TestRenewalJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, inBubble)
		var grants []exchange.Grant
		for i := range 30 {
			g := grant()
			g.Isolation = string(rune('a' + i))
			grants = append(grants, g)
			w.get(t, g, 8*time.Hour)
		}
		time.Sleep(53 * time.Minute)
		moments := 0
		for range 120 {
			time.Sleep(time.Second)
			before := w.minter.Count()
			for _, g := range grants {
				w.get(t, g, 8*time.Hour)
			}
			synctest.Wait()
			if n := w.minter.Count() - before; n > 10 {
				t.Errorf("%d renewals in one second", n)
			} else if n > 0 {
				moments++
			}
		}
		if moments < 5 {
			t.Errorf("all renewals happened within %d seconds", moments)
		}
		w.wantMints(t, 60)
	})
}

// While renewing fails, the old token is served to its last 45 seconds, and Databricks is asked less and less often.
func TestRenewalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, inBubble)
		first := w.get(t, grant(), 8*time.Hour)
		time.Sleep(52 * time.Minute)
		w.minter.Fail(errDown)
		for time.Until(first.TrueExpiry) > 47*time.Second {
			time.Sleep(time.Second)
			if token, err := w.try(grant(), 8*time.Hour); err != nil || token.Mint != first.Mint {
				t.Fatalf("with %v left: %v", time.Until(first.TrueExpiry), err)
			}
			synctest.Wait()
		}
		// 1, 2, 4, 8, 16 s, then every 30 s for at most seven minutes.
		if n := w.minter.Count() - 1; n < 10 || n > 20 {
			t.Errorf("%d attempts to renew", n)
		}
		time.Sleep(3 * time.Second)
		if token, err := w.try(grant(), 8*time.Hour); err == nil {
			t.Errorf("served with %v left", time.Until(token.TrueExpiry))
		}
		w.minter.Will(nil)
		if token := w.get(t, grant(), 8*time.Hour); token.Mint == first.Mint {
			t.Error("the outage outlives itself")
		}
	})
}

// While minting is unavailable a rest of 45 s is enough; while it is refused, it is not.
func TestOutage(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		ago    time.Duration
		served bool
	}{
		"unavailable, 2 min left": {errDown, 58 * time.Minute, true},
		"unavailable, 45 s left":  {errDown, 59*time.Minute + 14*time.Second, true},
		"unavailable, 44 s left":  {errDown, 59*time.Minute + 16*time.Second, false},
		"refused, 2 min left":     {errRejected, 58 * time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.get(t, grant(), 8*time.Hour)
			w.clock.Add(test.ago)
			w.minter.Fail(test.err)
			for range 2 { // before the failure is known, and after
				token, err := w.try(grant(), 8*time.Hour)
				if (err == nil) != test.served || err != nil && reason(err) != reason(test.err) {
					t.Errorf("from %s, %v", token.Cache, err)
				}
			}
		})
	}
}

// Even in an outage nothing outlives the subject's token.
func TestOutageKeepsTheBound(t *testing.T) {
	w := newWorld(t)
	w.get(t, grant(), 8*time.Hour)
	w.clock.Add(50 * time.Minute)
	w.minter.Fail(errDown)
	if token, err := w.try(grant(), 5*time.Minute); err == nil {
		t.Errorf("served a token with %v left", token.TrueExpiry.Sub(w.clock.Now()))
	}
}

// In an outage the callers do not each wait for the next attempt to time out.
func TestOutageIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, inBubble)
		w.get(t, grant(), 8*time.Hour)
		time.Sleep(57 * time.Minute)
		w.minter.Fail(errDown)
		w.get(t, grant(), 8*time.Hour)
		w.minter.Will(slow(8 * time.Second))
		time.Sleep(2 * time.Second)
		asked := time.Now()
		w.get(t, grant(), 8*time.Hour)
		if waited := time.Since(asked); waited != 0 {
			t.Errorf("waited for %v", waited)
		}
		time.Sleep(9 * time.Second)
		if token := w.get(t, grant(), 8*time.Hour); time.Until(token.TrueExpiry) < 50*time.Minute {
			t.Error("nothing was minted in the background")
		}
	})
}
