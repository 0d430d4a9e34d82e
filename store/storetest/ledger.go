// Package storetest holds the conformance suites of the ports that package store implements. Every backend runs them.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

// OpenLedger opens two handles on one empty ledger, as two processes would, and closes them when the test ends.
type OpenLedger func(t *testing.T, now func() time.Time) (one, other exchange.Ledger)

// Ledger is the suite of exchange.Ledger.
func Ledger(t *testing.T, open OpenLedger) {
	for _, test := range []struct {
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
			for i, value := range []string{"", "\x00\xff\n'\"", string(make([]byte, 1<<20))} {
				key := fmt.Sprint("key'", i)
				l.put(t, key, value, 0, time.Time{})
				l.want(t, l.other, key, value)
			}
			if err := l.one.Put(t.Context(), "nil", nil, 0, time.Time{}); err != nil {
				t.Fatal(err)
			}
			l.want(t, l.other, "nil", "")
		}},
		{"keys are told apart by case and length", func(t *testing.T, l *ledgers) {
			l.put(t, "key", "1", 0, time.Time{})
			l.put(t, "Key", "2", 0, time.Time{})
			l.put(t, "key ", "3", 0, time.Time{})
			l.want(t, l.one, "key", "1")
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
			l.wantConflict(t, l.other, "key", second+1)
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
		t.Run(test.name, func(t *testing.T) {
			clock := NewClock()
			one, other := open(t, clock.Now)
			test.run(t, &ledgers{clock: clock, one: one, other: other})
		})
	}
}

type ledgers struct {
	clock      *Clock
	one, other exchange.Ledger
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
	if diff := cmp.Diff(value, string(got)); diff != "" {
		t.Fatalf("Get(%q) (-want +got):\n%s", key, diff)
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
