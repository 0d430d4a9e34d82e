package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

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
	w.minter = &minter{now: c.Now}
	c.Minter = w.minter
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
	return w.Obtain(context.Background(), g, g.Lifetime, w.minter.now().Add(rest))
}

func (w *world) wantMints(t testing.TB, want int) {
	t.Helper()
	if got := w.minter.count(); got != want {
		t.Errorf("%d mints, want %d", got, want)
	}
	if got := len(w.recorder.all()); got != want {
		t.Errorf("%d mint events, want %d", got, want)
	}
}

// grant is minted by federation and lives an hour at most.
func grant() exchange.Grant {
	return exchange.Grant{
		Workspace: "prod", Principal: "ml", Account: "aws", Host: "https://dbc.cloud.databricks.com",
		ApplicationID: "11111111-2222-3333-4444-555555555555", Method: exchange.MethodFederation,
		Scopes: []string{"model-serving", "sql"}, Lifetime: time.Hour, MinLifetime: time.Minute,
	}
}

func lasting(lifetime time.Duration) exchange.Grant {
	g := grant()
	g.Lifetime = lifetime
	return g
}

// bySecret is minted by client secret: it lives an hour, whatever is asked.
func bySecret(lifetime time.Duration) exchange.Grant {
	g := lasting(lifetime)
	g.Method, g.Credential = exchange.MethodClientSecret, "1"
	return g
}

// minter answers like Databricks, until it is told otherwise.
type minter struct {
	now func() time.Time

	mu     sync.Mutex
	asked  []time.Time
	answer func(ctx context.Context, token exchange.Token) (exchange.Token, error)
}

func (m *minter) Mint(ctx context.Context, id exchange.MintID, g exchange.Grant, until time.Time) (exchange.Token, error) {
	m.mu.Lock()
	m.asked = append(m.asked, until)
	answer := m.answer
	m.mu.Unlock()
	token := exchange.Token{
		Text: exchange.Secret("token of " + id), Scopes: g.Scopes, Details: g.Details, TrueExpiry: until, Bound: exchange.BoundToken, Mint: id,
	}
	if g.Method == exchange.MethodClientSecret {
		token.Bound, token.TrueExpiry = exchange.BoundServed, m.now().Add(time.Hour).Truncate(time.Second)
	}
	token.SHA256 = sha256.Sum256([]byte(token.Text.Reveal()))
	if answer != nil {
		return answer(ctx, token)
	}
	return token, nil
}

// longer is the token with a text of that many bytes.
func longer(token exchange.Token, size int) exchange.Token {
	token.Text += exchange.Secret(strings.Repeat("x", size-len(token.Text)))
	token.SHA256 = sha256.Sum256([]byte(token.Text.Reveal()))
	return token
}

func (m *minter) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.asked)
}

// will says what every later mint answers; nil is the usual.
func (m *minter) will(answer func(ctx context.Context, token exchange.Token) (exchange.Token, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = answer
}

func (m *minter) fail(err error) {
	m.will(func(context.Context, exchange.Token) (exchange.Token, error) { return exchange.Token{}, err })
}

var (
	errDown     = exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable, "down").After(time.Second)
	errRejected = exchange.Refuse(exchange.CodeUpstream, exchange.ReasonUpstreamRejected, "refused")
)

// recorder keeps what was recorded, and can be full.
type recorder struct {
	mu     sync.Mutex
	events []exchange.Event
	full   bool
}

func (r *recorder) Record(ctx context.Context, e *exchange.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, *e)
	if r.full || ctx.Err() != nil {
		return errors.New("no space left")
	}
	return nil
}

func (*recorder) RecordFailure(exchange.Failure) string { return "" }

func (r *recorder) setFull(full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.full = full
}

func (r *recorder) all() []exchange.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]exchange.Event(nil), r.events...)
}

func (r *recorder) last(t testing.TB) exchange.Event {
	t.Helper()
	all := r.all()
	if len(all) == 0 {
		t.Fatal("nothing was recorded")
	}
	return all[len(all)-1]
}

func newAEAD(t testing.TB) tink.AEAD {
	t.Helper()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	a, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	return a
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
