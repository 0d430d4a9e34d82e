package saml_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/saml"
	"github.com/lakegate/sts/internal/emulator/samlidp"
)

const (
	audience  = "https://sts.example/saml"
	recipient = "https://sts.example/oauth2/token"
)

// clock is moved by tests.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// marks are an exchange.Once that says what it was told.
type marks struct {
	mu    sync.Mutex
	seen  map[string][2]time.Time // the earliest use, and the end
	fault error
}

func newMarks() *marks { return &marks{seen: map[string][2]time.Time{}} }

func (m *marks) Claim(ctx context.Context, key string, earliest, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := errors.Join(m.fault, ctx.Err()); err != nil {
		return false, err
	}
	_, there := m.seen[key]
	m.seen[key] = [2]time.Time{earliest, until}
	return !there, nil
}

// world is a provider and a pool that accepts its assertions.
type world struct {
	clock *clock
	idp   *samlidp.Server
	marks *marks
	pool  *saml.Pool
}

func newIDP(t testing.TB, c *clock) *samlidp.Server {
	t.Helper()
	idp, err := samlidp.New(samlidp.Config{Now: c.Now, Audience: audience, Recipient: recipient})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := idp.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(idp.Close)
	return idp
}

func newWorld(t testing.TB, change ...func(*saml.Provider)) *world {
	t.Helper()
	w := &world{clock: newClock(), marks: newMarks()}
	w.idp = newIDP(t, w.clock)
	w.pool = w.newPool(t, w.provider(change...))
	return w
}

func (w *world) provider(change ...func(*saml.Provider)) saml.Provider {
	p := saml.Provider{
		Name: "legacy", EntityID: w.idp.EntityID(), MetadataURI: w.idp.MetadataURI(),
		Audience: audience, Recipient: recipient, ClockSkew: 30 * time.Second,
	}
	for _, f := range change {
		f(&p)
	}
	return p
}

func (w *world) newPool(t testing.TB, providers ...saml.Provider) *saml.Pool {
	t.Helper()
	pool, err := saml.New(saml.Config{
		Providers: providers, Once: w.marks, Now: w.clock.Now, Random: func() float64 { return 0 }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

func (w *world) verify(t testing.TB, token string) (*exchange.Identity, error) {
	t.Helper()
	return w.verifyAs(t, token, exchange.UseSubject)
}

func (w *world) verifyAs(t testing.TB, token string, use exchange.Use) (*exchange.Identity, error) {
	t.Helper()
	return w.pool.Verify(t.Context(), exchange.Presented{Token: exchange.Secret(token), Type: exchange.TypeSAML2}, use)
}

// mustVerify verifies a good assertion.
func (w *world) mustVerify(t testing.TB, a samlidp.Assertion) *exchange.Identity {
	t.Helper()
	id, err := w.verify(t, w.idp.Token(a))
	if err != nil {
		t.Fatalf("a good assertion is refused: %v", err)
	}
	return id
}

func wantReason(t testing.TB, name string, err error, want exchange.Reason) {
	t.Helper()
	var refusal *exchange.Error
	if !errors.As(err, &refusal) || refusal.Reason != want {
		t.Errorf("%s: %v, want %s", name, err, want)
	}
}

// wantCause holds that an attack is refused for what it is, in words that hold nothing of it.
func wantCause(t testing.TB, name string, err error, cause string) {
	t.Helper()
	var refusal *exchange.Error
	if !errors.As(err, &refusal) || refusal.Code != exchange.CodeInvalidRequest || !strings.Contains(refusal.Message, cause) {
		t.Errorf("%s: %v, want an invalid_request that says %q", name, err, cause)
	}
	if err != nil && (strings.Contains(err.Error(), "admin") || strings.Contains(err.Error(), "u-1001") || strings.Contains(err.Error(), "evil")) {
		t.Errorf("%s: the message holds text of the token: %v", name, err)
	}
}

// fetches are how often the metadata was fetched.
func (w *world) fetches() int { return w.idp.Totals()[samlidp.MetadataRoute].Calls }
