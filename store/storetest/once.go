package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
)

// OnceSpan is the span of the marks under test.
const OnceSpan = 10 * time.Minute

// OpenOnce opens two handles on one store of marks that is born now, as two processes would; a store of one process gives the
// same twice.
type OpenOnce func(t *testing.T, now func() time.Time, span time.Duration) (one, other exchange.Once)

// Once is the suite of exchange.Once.
func Once(t *testing.T, open OpenOnce) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, m *marks)
	}{
		{"the first claim is fresh, and no other through any handle", func(t *testing.T, m *marks) {
			m.want(t, m.one, "a", OnceSpan, true)
			m.want(t, m.one, "a", OnceSpan, false)
			m.want(t, m.other, "a", OnceSpan, false)
		}},
		{"another key is another claim", func(t *testing.T, m *marks) {
			m.want(t, m.one, "a", OnceSpan, true)
			m.want(t, m.other, "b", OnceSpan, true)
			m.want(t, m.other, "", OnceSpan, true)
		}},
		{"a key may be any text", func(t *testing.T, m *marks) {
			for _, key := range []string{"a b", "a\x00b", "a\nb", "ä", "\xff", string(make([]byte, 10_000))} {
				m.want(t, m.one, key, OnceSpan, true)
				m.want(t, m.other, key, OnceSpan, false)
			}
		}},
		{"a mark holds until its end, and is then forgotten", func(t *testing.T, m *marks) {
			m.want(t, m.one, "a", OnceSpan, true)
			m.clock.Add(OnceSpan - time.Second)
			m.want(t, m.other, "a", OnceSpan, false)
			m.clock.Add(2 * time.Second)
			m.want(t, m.other, "a", OnceSpan, true)
		}},
		{"a refused claim doesn't move the end", func(t *testing.T, m *marks) {
			m.want(t, m.one, "a", OnceSpan, true)
			m.clock.Add(OnceSpan / 2)
			m.want(t, m.other, "a", OnceSpan, false)
			m.clock.Add(OnceSpan/2 + time.Second)
			m.want(t, m.other, "a", OnceSpan, true)
		}},
		{"marks hold over many spans", func(t *testing.T, m *marks) {
			for i := range 40 {
				key := fmt.Sprint("key", i)
				m.want(t, m.one, key, OnceSpan, true)
				m.clock.Add(OnceSpan / 4)
				m.want(t, m.other, key, OnceSpan*3/4, false)
			}
		}},
		{"what may have been used before the birth is refused", func(t *testing.T, m *marks) {
			m.wantError(t, m.one, "a", OnceSpan-time.Minute)
			m.clock.Add(time.Minute)
			m.want(t, m.one, "a", OnceSpan, true)
			m.wantError(t, m.other, "b", OnceSpan-2*time.Minute)
		}},
		{"what has ended is refused", func(t *testing.T, m *marks) {
			m.clock.Add(3 * OnceSpan)
			m.wantError(t, m.one, "a", -time.Second)
		}},
		{"of many at once, one is fresh", func(t *testing.T, m *marks) {
			until := m.clock.Now().Add(OnceSpan)
			var fresh atomic.Int64
			var all sync.WaitGroup
			for i := range 64 {
				all.Go(func() {
					handle := m.one
					if i%2 == 1 {
						handle = m.other
					}
					switch first, err := handle.Claim(t.Context(), "a", until); {
					case err != nil:
						t.Error(err)
					case first:
						fresh.Add(1)
					}
				})
			}
			all.Wait()
			if fresh.Load() != 1 {
				t.Errorf("%d fresh claims", fresh.Load())
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &marks{clock: NewClock()}
			m.one, m.other = open(t, m.clock.Now, OnceSpan)
			test.run(t, m)
		})
	}
}

// marks are two handles on one store.
type marks struct {
	clock      *Clock
	one, other exchange.Once
}

// want claims a key until so long from now.
func (m *marks) want(t *testing.T, o exchange.Once, key string, until time.Duration, fresh bool) {
	t.Helper()
	got, err := o.Claim(t.Context(), key, m.clock.Now().Add(until))
	if err != nil || got != fresh {
		t.Fatalf("claiming %.20q: %v, %v; want %v", key, got, err, fresh)
	}
}

func (m *marks) wantError(t *testing.T, o exchange.Once, key string, until time.Duration) {
	t.Helper()
	if fresh, err := o.Claim(t.Context(), key, m.clock.Now().Add(until)); err == nil || fresh {
		t.Fatalf("claiming %q: %v, %v; want a refusal", key, fresh, err)
	}
}
