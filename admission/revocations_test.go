package admission_test

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
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lakegate/sts/admission"
	"github.com/lakegate/sts/exchange"
)

var errAway = errors.New("away")

// ledger has one entry, which ends like a real one's, and can be away.
type ledger struct {
	now func() time.Time

	mu      sync.Mutex
	key     string
	value   []byte
	version uint64
	last    uint64
	until   time.Time
	away    bool
	// meddle is what somebody else does just before a Put.
	meddle func()
}

func (l *ledger) Get(_ context.Context, key string) ([]byte, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.away:
		return nil, 0, errAway
	case key != l.key, !l.until.After(l.now()):
		return nil, 0, nil
	}
	return l.value, l.version, nil
}

func (l *ledger) Put(ctx context.Context, key string, value []byte, version uint64, until time.Time) error {
	if meddle := l.meddle; meddle != nil {
		l.meddle = nil
		meddle()
	}
	_, current, err := l.Get(ctx, key)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case current != version:
		return exchange.ErrConflict
	}
	l.last++
	l.key, l.value, l.version, l.until = key, value, l.last, until
	return nil
}

func (l *ledger) setAway(away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = away
}

func newLedger() (*ledger, *clock) {
	now := &clock{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	return &ledger{now: now.now}, now
}

func newRevocations(t *testing.T, l *ledger, change ...func(*admission.RevocationsConfig)) *admission.Revocations {
	t.Helper()
	c := admission.RevocationsConfig{Ledger: l, Log: slog.New(slog.DiscardHandler), Now: l.now}
	for _, f := range change {
		f(&c)
	}
	r, err := admission.NewRevocations(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func token(name string) [sha256.Size]byte { return sha256.Sum256([]byte(name)) }

// TestEnd holds that an end is in force here at once, elsewhere with the next look, after a restart, and for the client
// and the token alone that it is of.
func TestEnd(t *testing.T) {
	l, now := newLedger()
	here, there := newRevocations(t, l), newRevocations(t, l)
	gone, cancel := context.WithCancel(t.Context())
	l.meddle = cancel // the caller leaves while it is written
	if err := here.End(gone, "kong", token("a"), now.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if !here.Ended("kong", token("a")) || here.Ended("kong", token("b")) || here.Ended("other", token("a")) {
		t.Error("here: another end than was asked for")
	}
	if there.Ended("kong", token("a")) {
		t.Error("there: known without a look")
	}
	if err := there.Look(t.Context()); err != nil || !there.Ended("kong", token("a")) {
		t.Errorf("there: not known after a look: %v", err)
	}
	if err := there.End(t.Context(), "other", token("a"), now.now().Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	restarted := newRevocations(t, l)
	for _, client := range []string{"kong", "other"} {
		if !restarted.Ended(client, token("a")) || !there.Ended(client, token("a")) {
			t.Errorf("%s: not known after a restart, or after a second one", client)
		}
	}
}

// TestEndsEnd holds that nothing is kept longer than its token lives.
func TestEndsEnd(t *testing.T) {
	l, now := newLedger()
	r := newRevocations(t, l)
	for name, life := range map[string]time.Duration{"short": time.Minute, "long": time.Hour} {
		if err := r.End(t.Context(), "kong", token(name), now.now().Add(life)); err != nil {
			t.Fatal(err)
		}
	}
	now.forward(2 * time.Minute)
	if err := r.End(t.Context(), "kong", token("new"), now.now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if r.Ended("kong", token("short")) || !r.Ended("kong", token("long")) || !r.Ended("kong", token("new")) {
		t.Error("the wrong ones were forgotten")
	}
	now.forward(time.Hour)
	if err := r.Look(t.Context()); err != nil || r.Ended("kong", token("long")) {
		t.Errorf("the ledger's entry is over, but not here: %v", err)
	}
}

// TestTooManyEnds holds that a client's list is bounded, that the refusal says until when, and that others are spared.
func TestTooManyEnds(t *testing.T) {
	l, now := newLedger()
	r := newRevocations(t, l, func(c *admission.RevocationsConfig) { c.MaxPerClient = 3 })
	for i := range 3 {
		if err := r.End(t.Context(), "kong", token(fmt.Sprint(i)), now.now().Add(time.Duration(i+1)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	var refused *exchange.Error
	err := r.End(t.Context(), "kong", token("one more"), now.now().Add(time.Hour))
	if !errors.As(err, &refused) || refused.Code != exchange.CodeRateLimited || refused.RetryAfter != time.Minute || r.Ended("kong", token("one more")) {
		t.Fatalf("got %v", err)
	}
	if err := r.End(t.Context(), "other", token("one more"), now.now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
	now.forward(time.Minute)
	if err := r.End(t.Context(), "kong", token("one more"), now.now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
}

// TestEndedElsewhere holds that what was ended at another replica a moment ago is ended, and no further end.
func TestEndedElsewhere(t *testing.T) {
	l, now := newLedger()
	one := func(c *admission.RevocationsConfig) { c.MaxPerClient = 1 }
	here, there := newRevocations(t, l, one), newRevocations(t, l, one)
	if err := there.End(t.Context(), "kong", token("a"), now.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := here.End(t.Context(), "kong", token("a"), now.now().Add(time.Hour)); err != nil || !here.Ended("kong", token("a")) || l.last != 1 {
		t.Errorf("%v, after %d writes", err, l.last)
	}
}

// TestEndsDontQueue holds that an end doesn't wait for ever behind one that a hanging ledger holds up.
func TestEndsDontQueue(t *testing.T) {
	l, now := newLedger()
	r := newRevocations(t, l, func(c *admission.RevocationsConfig) { c.Wait = time.Millisecond })
	hangs, goOn, first := make(chan struct{}), make(chan struct{}), make(chan error)
	l.meddle = func() { close(hangs); <-goOn }
	go func() { first <- r.End(t.Context(), "kong", token("a"), now.now().Add(time.Hour)) }()
	<-hangs
	var refused *exchange.Error
	err := r.End(t.Context(), "kong", token("b"), now.now().Add(time.Hour))
	if !errors.As(err, &refused) || refused.Code != exchange.CodeUnavailable || refused.RetryAfter == 0 || r.Ended("kong", token("b")) {
		t.Errorf("got %v", err)
	}
	close(goOn)
	if err := <-first; err != nil || !r.Ended("kong", token("a")) {
		t.Errorf("got %v", err)
	}
}

// TestEndRaces holds that nobody's end is lost where several write at once.
func TestEndRaces(t *testing.T) {
	l, now := newLedger()
	here, there := newRevocations(t, l), newRevocations(t, l)
	l.meddle = func() {
		if err := there.End(t.Context(), "other", token("b"), now.now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
	}
	if err := here.End(t.Context(), "kong", token("a"), now.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if err := here.End(t.Context(), "kong", token(fmt.Sprint(i)), now.now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if err := here.Look(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 20 {
		if !here.Ended("kong", token(fmt.Sprint(i))) {
			t.Errorf("%d is lost", i)
		}
	}
	if !here.Ended("kong", token("a")) || !here.Ended("other", token("b")) {
		t.Error("the first ones are lost")
	}
}

// TestWithoutTheLedger holds that what is known stays in force, that nothing new is, and that it says so.
func TestWithoutTheLedger(t *testing.T) {
	l, now := newLedger()
	r := newRevocations(t, l)
	if err := r.End(t.Context(), "kong", token("a"), now.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	l.setAway(true)
	if err := r.End(t.Context(), "kong", token("b"), now.now().Add(time.Hour)); !errors.Is(err, errAway) {
		t.Errorf("got %v", err)
	}
	if err := r.Look(t.Context()); err == nil || r.Health() == nil {
		t.Errorf("got %v, health %v", err, r.Health())
	}
	if !r.Ended("kong", token("a")) || r.Ended("kong", token("b")) {
		t.Error("what was known is forgotten, or what wasn't stored is in force")
	}
	if _, err := admission.NewRevocations(t.Context(), admission.RevocationsConfig{Ledger: l, Log: slog.New(slog.DiscardHandler)}); !errors.Is(err, errAway) {
		t.Errorf("a replica starts without knowing what is revoked: %v", err)
	}
	l.setAway(false)
	if err := r.Look(t.Context()); err != nil || r.Health() != nil {
		t.Errorf("got %v, health %v", err, r.Health())
	}
}

// TestDamagedRevocations holds that a list that can't be read changes nothing, and that nothing is added to it.
func TestDamagedRevocations(t *testing.T) {
	for _, damage := range []string{"{", `{"claims":{"kong":{"short":1}}}`, `{"claims":[]}`} {
		l, now := newLedger()
		r := newRevocations(t, l)
		if err := r.End(t.Context(), "kong", token("a"), now.now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		l.value, l.version = []byte(damage), l.version+1
		if err := r.Look(t.Context()); err == nil || !r.Ended("kong", token("a")) {
			t.Errorf("%s: %v", damage, err)
		}
		var refused *exchange.Error
		if err := r.End(t.Context(), "kong", token("b"), now.now().Add(time.Hour)); !errors.As(err, &refused) || refused.Reason != exchange.ReasonLedgerUnavailable {
			t.Errorf("%s: %v", damage, err)
		}
	}
}

// TestRun holds that a replica looks by itself, at least each second.
func TestRun(t *testing.T) {
	l, now := newLedger()
	here, there := newRevocations(t, l), newRevocations(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { there.Run(ctx) })
	if err := here.End(t.Context(), "kong", token("a"), now.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); !there.Ended("kong", token("a")); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never looks")
		}
	}
	cancel()
	running.Wait()
}

func TestRevocationsConfig(t *testing.T) {
	l, _ := newLedger()
	for name, c := range map[string]admission.RevocationsConfig{
		"Ledger": {Log: slog.New(slog.DiscardHandler)}, "Log": {Ledger: l},
		"MaxPerClient": {Ledger: l, Log: slog.New(slog.DiscardHandler), MaxPerClient: -1},
	} {
		if _, err := admission.NewRevocations(t.Context(), c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestRevocationsMetric(t *testing.T) {
	l, now := newLedger()
	registry := prometheus.NewRegistry()
	r := newRevocations(t, l, func(c *admission.RevocationsConfig) { c.Metrics = registry })
	if err := r.End(t.Context(), "kong", token("a"), now.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	want := `
# HELP sts_revocations What was ended before its time and has not expired yet, by kind: claim is a client's on a token.
# TYPE sts_revocations gauge
sts_revocations{kind="claim"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	now.forward(2 * time.Hour)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(strings.Replace(want, "} 1", "} 0", 1))); err != nil {
		t.Error(err)
	}
}

// Asking is on the way of every request: while nothing is revoked it must cost next to nothing, and it never allocates.
func BenchmarkEnded(b *testing.B) {
	for _, ends := range []int{0, 1000} {
		b.Run(fmt.Sprint(ends), func(b *testing.B) {
			l, now := newLedger()
			r, err := admission.NewRevocations(b.Context(), admission.RevocationsConfig{Ledger: l, Log: slog.New(slog.DiscardHandler), Now: l.now})
			if err != nil {
				b.Fatal(err)
			}
			for i := range ends {
				if err := r.End(b.Context(), "kong", token(fmt.Sprint(i)), now.now().Add(time.Hour)); err != nil {
					b.Fatal(err)
				}
			}
			asked := token("asked")
			b.ReportAllocs()
			for b.Loop() {
				if r.Ended("kong", asked) {
					b.Fatal("ended")
				}
			}
		})
	}
}

// Whatever the ledger holds, it is either refused or read as what would be written again.
func FuzzClaims(f *testing.F) {
	for _, text := range []string{"", "{}", `{"claims":{}}`, `{"claims":{"kong":{"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU":1795000000}}}`, `{"claims":{"kong":{"x":1}}}`, "null", "[1]"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		once, err := admission.RewriteClaims(text)
		if err != nil {
			return
		}
		twice, err := admission.RewriteClaims(once)
		if err != nil || string(once) != string(twice) {
			t.Fatalf("%s is read as %s, and that as %s, %v", text, once, twice, err)
		}
	})
}
