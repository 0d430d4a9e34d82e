package store_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/store"
	"github.com/lakegate/sts/store/storetest"
)

// world is what Tokens stand in: a Databricks, an audit log, and a clock.
type world struct {
	*store.Tokens
	clock    *storetest.Clock
	minter   *minter
	recorder *recorder
	metrics  *prometheus.Registry
}

func newWorld(t testing.TB, change ...func(*store.TokensConfig)) *world {
	t.Helper()
	w := &world{clock: storetest.NewClock(), recorder: &recorder{}, metrics: prometheus.NewRegistry()}
	c := store.TokensConfig{
		Recorder: w.recorder, AEAD: newAEAD(t), Log: slog.New(slog.DiscardHandler), Now: w.clock.Now, Metrics: w.metrics,
	}
	for _, f := range change {
		f(&c)
	}
	w.minter = &minter{Now: c.Now}
	if c.Minter == nil {
		c.Minter = w.minter
	}
	var err error
	if w.Tokens, err = store.NewTokens(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// inBubble makes the clock that of a synctest bubble, where time passes when everybody waits.
func inBubble(c *store.TokensConfig) { c.Now = time.Now }

// get obtains a token for a subject with that much left, or ends the test.
func (w *world) get(t testing.TB, g exchange.Grant, rest time.Duration) exchange.Token {
	t.Helper()
	token, err := w.try(g, rest)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (w *world) try(g exchange.Grant, rest time.Duration) (exchange.Token, error) {
	return w.Obtain(context.Background(), g, g.Lifetime, w.minter.Now().Add(rest))
}

func (w *world) wantMints(t testing.TB, want int) {
	t.Helper()
	if got := w.minter.Count(); got != want {
		t.Errorf("%d mints, want %d", got, want)
	}
	if got := len(w.recorder.All()); got != want {
		t.Errorf("%d mint events, want %d", got, want)
	}
}

// The fakes and grants of the suite, by short names.
type (
	minter   = storetest.Minter
	recorder = storetest.Recorder
)

var (
	grant       = storetest.Grant
	lasting     = storetest.Lasting
	bySecret    = storetest.BySecret
	detailed    = storetest.Detailed
	newAEAD     = storetest.NewAEAD
	errDown     = storetest.ErrDown
	errRejected = storetest.ErrRejected
)

// longer is the token with a text of that many bytes.
func longer(token exchange.Token, size int) exchange.Token {
	token.Text += exchange.Secret(strings.Repeat("x", size-len(token.Text)))
	token.SHA256 = sha256.Sum256([]byte(token.Text.Reveal()))
	return token
}

// lastEvent is what was recorded last.
func (w *world) lastEvent(t testing.TB) exchange.Event {
	t.Helper()
	all := w.recorder.All()
	if len(all) == 0 {
		t.Fatal("nothing was recorded")
	}
	return all[len(all)-1]
}

// metric reads a metric's value, summed over its labels, or over those with these: name, value, name, value.
func (w *world) metric(t testing.TB, name string, with ...string) (sum float64) {
	t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			asked := f.GetName() == name
			for i := 0; i < len(with); i += 2 {
				asked = asked && labels[with[i]] == with[i+1]
			}
			if asked {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func reason(err error) string {
	if err == nil {
		return "ok"
	}
	return fmt.Sprint(exchange.AsError(err).Reason)
}
