// Package storetest holds the conformance suites of the ports that package store implements. Every backend runs them.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
)

// Clock is a clock that stands still until it is moved. It may be read while it is moved.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at a fixed moment, within a second and not at its start.
func NewClock() *Clock {
	return &Clock{now: time.Date(2026, 11, 24, 8, 0, 0, 250_000_000, time.UTC)}
}

// Now is what to give as Config.Now.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock, back too.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// OpenLedger opens two handles on one empty ledger, as two processes would. Whoever passes it closes them in the end.
type OpenLedger func(now func() time.Time) (one, other exchange.Ledger)

// Ledger is the suite of exchange.Ledger. Its tests share one ledger, each with keys of its own, on a clock that is only
// moved on: a database for each would take longer than all of them.
func Ledger(t *testing.T, open OpenLedger) {
	clock := NewClock()
	one, other := open(clock.Now)
	for i, test := range []struct {
		name string
		run  func(t *testing.T, l *ledgers)
	}{
		{"what was never put is not there", func(t *testing.T, l *ledgers) {
			l.wantNone(t, l.one, "key")
		}},
		{"what was put is read through every handle", func(t *testing.T, l *ledgers) {
			v := l.put(t, "key", "value", 0, time.Time{})
			for _, h := range []exchange.Ledger{l.one, l.other} {
				if got := l.want(t, h, "key", "value"); got != v {
					t.Errorf("version %d, want %d", got, v)
				}
			}
		}},
		{"values are bytes", func(t *testing.T, l *ledgers) {
			large := make([]byte, 1<<20)
			for i := range large {
				large[i] = byte((i>>8 ^ i) & 0xff)
			}
			for i, value := range []string{"", "\x00\xff\n'\"", string(large)} {
				key := fmt.Sprint("key", i)
				l.put(t, key, value, 0, time.Time{})
				l.want(t, l.other, key, value)
			}
			if err := l.one.Put(t.Context(), "nil", nil, 0, time.Time{}); err != nil {
				t.Fatal(err)
			}
			l.want(t, l.other, "nil", "")
		}},
		{"keys are text, told apart by each byte", func(t *testing.T, l *ledgers) {
			keys := []string{
				"key", "Key", "key ", " key", "key\n", "k", "k%", "k_", `k\`, "k'", `k"`, "k;--", "'); DROP TABLE ledger; --", "$1", "?",
				"é", "e\u0301", "ключ", "\u202e", "\U0010ffff", strings.Repeat("k", maxKey-len(l.prefix)),
			}
			for i, key := range keys {
				l.put(t, key, fmt.Sprint(i), 0, time.Time{})
			}
			for i, key := range keys {
				l.want(t, l.other, key, fmt.Sprint(i))
			}
		}},
		{"what is no key is an error, and neither a conflict nor an outage", func(t *testing.T, l *ledgers) {
			for _, key := range []string{"", "\x00", "a\x00", "\xff", "\xed\xa0\x80", strings.Repeat("k", maxKey+1)} {
				_, _, getErr := one.Get(t.Context(), key)
				for what, err := range map[string]error{"Get": getErr, "Put": one.Put(t.Context(), key, nil, 0, time.Time{})} {
					if err == nil || errors.Is(err, exchange.ErrConflict) || exchange.AsError(err).Code != exchange.CodeInternal {
						t.Errorf("%s(%.10q): %v", what, key, err)
					}
				}
			}
		}},
		{"version 0 puts only what is new", func(t *testing.T, l *ledgers) {
			l.put(t, "key", "first", 0, time.Time{})
			l.wantConflict(t, l.other, "key", 0)
			l.want(t, l.one, "key", "first")
		}},
		{"only the version that was read can be replaced", func(t *testing.T, l *ledgers) {
			first := l.put(t, "key", "first", 0, time.Time{})
			second := l.put(t, "key", "second", first, time.Time{})
			if second == first || second == 0 {
				t.Errorf("version %d follows %d", second, first)
			}
			l.wantConflict(t, l.other, "key", first)
			for _, never := range []uint64{second + 1, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
				l.wantConflict(t, l.other, "key", never)
			}
			l.want(t, l.one, "key", "second")
		}},
		{"a key that isn't there has no version but 0", func(t *testing.T, l *ledgers) {
			l.wantConflict(t, l.one, "key", 1)
			l.wantNone(t, l.one, "key")
		}},
		{"until then it is there, afterwards it isn't", func(t *testing.T, l *ledgers) {
			l.put(t, "key", "value", 0, l.clock.Now().Add(time.Minute))
			l.clock.Add(time.Minute - time.Millisecond)
			l.want(t, l.other, "key", "value")
			l.clock.Add(time.Millisecond)
			l.wantNone(t, l.other, "key")
		}},
		{"an end is never early, and within a millisecond", func(t *testing.T, l *ledgers) {
			l.put(t, "key", "value", 0, l.clock.Now().Add(time.Nanosecond))
			l.want(t, l.other, "key", "value")
			l.clock.Add(time.Millisecond)
			l.wantNone(t, l.other, "key")
		}},
		{"an end that has come drops it", func(t *testing.T, l *ledgers) {
			v := l.put(t, "key", "value", 0, time.Time{})
			if err := l.one.Put(t.Context(), "key", nil, v, l.clock.Now()); err != nil {
				t.Fatal(err)
			}
			l.wantNone(t, l.other, "key")
			l.wantConflict(t, l.other, "key", v)
			l.put(t, "key", "anew", 0, time.Time{})
		}},
		{"what is over can be made anew, and its old version is never met again", func(t *testing.T, l *ledgers) {
			old := l.put(t, "key", "old", 0, l.clock.Now().Add(time.Minute))
			l.clock.Add(time.Hour)
			l.wantConflict(t, l.other, "key", old)
			fresh := l.put(t, "key", "new", 0, time.Time{})
			if fresh == old {
				t.Error("the version of the old entry was given out again")
			}
			l.wantConflict(t, l.other, "key", old)
		}},
		{"a version is not reused after a purge", func(t *testing.T, l *ledgers) {
			old := l.put(t, "key", "old", 0, l.clock.Now().Add(time.Minute))
			l.clock.Add(time.Hour)
			for i := range 3 { // writes are what purges
				l.put(t, fmt.Sprint("other", i), "", 0, time.Time{})
			}
			if fresh := l.put(t, "key", "new", 0, time.Time{}); fresh == old {
				t.Error("the version of a purged entry was given out again")
			}
		}},
		{"an end can be lifted and set", func(t *testing.T, l *ledgers) {
			v := l.put(t, "key", "value", 0, l.clock.Now().Add(time.Minute))
			v = l.put(t, "key", "value", v, time.Time{})
			l.clock.Add(time.Hour)
			l.want(t, l.one, "key", "value")
			l.put(t, "key", "value", v, l.clock.Now().Add(time.Second))
			l.clock.Add(time.Second)
			l.wantNone(t, l.one, "key")
		}},
		{"of many who swap at once, each counts", swapAtOnce},
		{"of many who are first at once, one is", firstAtOnce},
		{"a context that has ended is an error and no conflict", func(t *testing.T, l *ledgers) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, _, err := l.one.Get(ctx, "key"); err == nil {
				t.Error("Get: no error")
			}
			if err := l.one.Put(ctx, "key", nil, 0, time.Time{}); err == nil || errors.Is(err, exchange.ErrConflict) {
				t.Errorf("Put: %v", err)
			}
		}},
	} {
		prefix := fmt.Sprint(i, "/")
		t.Run(test.name, func(t *testing.T) {
			test.run(t, &ledgers{clock: clock, prefix: prefix, one: within{one, prefix}, other: within{other, prefix}})
		})
	}
}

// maxKey is the longest key, in bytes.
const maxKey = 512

// ledgers are two handles on a test's own part of a ledger.
type ledgers struct {
	clock      *Clock
	prefix     string
	one, other exchange.Ledger
}

// within is a ledger's keys that begin alike.
type within struct {
	ledger exchange.Ledger
	prefix string
}

func (w within) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	return w.ledger.Get(ctx, w.prefix+key)
}

func (w within) Put(ctx context.Context, key string, value []byte, version uint64, until time.Time) error {
	return w.ledger.Put(ctx, w.prefix+key, value, version, until)
}

// put puts through the first handle and returns the version that was given.
func (l *ledgers) put(t *testing.T, key, value string, version uint64, until time.Time) uint64 {
	t.Helper()
	if err := l.one.Put(t.Context(), key, []byte(value), version, until); err != nil {
		t.Fatalf("Put(%q, version %d): %v", key, version, err)
	}
	return l.want(t, l.one, key, value)
}

func (l *ledgers) want(t *testing.T, h exchange.Ledger, key, value string) uint64 {
	t.Helper()
	got, version, err := h.Get(t.Context(), key)
	if err != nil || version == 0 {
		t.Fatalf("Get(%q): version %d, error %v", key, version, err)
	}
	if string(got) != value {
		t.Fatalf("Get(%q) = %.80q (%d bytes), want %.80q (%d bytes)", key, got, len(got), value, len(value))
	}
	return version
}

func (l *ledgers) wantNone(t *testing.T, h exchange.Ledger, key string) {
	t.Helper()
	if value, version, err := h.Get(t.Context(), key); value != nil || version != 0 || err != nil {
		t.Fatalf("Get(%q) = %q, %d, %v; want nothing", key, value, version, err)
	}
}

func (l *ledgers) wantConflict(t *testing.T, h exchange.Ledger, key string, version uint64) {
	t.Helper()
	if err := h.Put(t.Context(), key, []byte("mine"), version, time.Time{}); !errors.Is(err, exchange.ErrConflict) {
		t.Fatalf("Put(%q, version %d): %v, want ErrConflict", key, version, err)
	}
}

// Count adds one to the number at key by compare and swap, trying until it succeeds.
func Count(ctx context.Context, l exchange.Ledger, key string) error {
	for {
		value, version, err := l.Get(ctx, key)
		if err != nil {
			return err
		}
		n := 0
		if version != 0 {
			if _, err := fmt.Sscan(string(value), &n); err != nil {
				return fmt.Errorf("reading the count %q: %w", value, err)
			}
		}
		err = l.Put(ctx, key, fmt.Append(nil, n+1), version, time.Time{})
		if !errors.Is(err, exchange.ErrConflict) {
			return err
		}
	}
}

func swapAtOnce(t *testing.T, l *ledgers) {
	const each = 10
	var wg sync.WaitGroup
	for _, h := range []exchange.Ledger{l.one, l.one, l.other, l.other} {
		wg.Go(func() {
			for range each {
				if err := Count(t.Context(), h, "count"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	l.want(t, l.one, "count", fmt.Sprint(4*each))
}

func firstAtOnce(t *testing.T, l *ledgers) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := map[string]int{}
	for i := range 8 {
		h := l.one
		if i%2 == 1 {
			h = l.other
		}
		wg.Go(func() {
			err := h.Put(t.Context(), "key", fmt.Append(nil, i), 0, time.Time{})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won[fmt.Sprint(i)]++
			case !errors.Is(err, exchange.ErrConflict):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	value, _, err := l.one.Get(t.Context(), "key")
	if err != nil || len(won) != 1 || won[string(value)] != 1 {
		t.Errorf("winners %v, entry %q, error %v", won, value, err)
	}
}
