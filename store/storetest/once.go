package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
)

// onceLife is how long what is claimed here may be used.
const onceLife = 10 * time.Minute

// OpenOnce opens two handles on one store of marks that is born now, as two processes would; a store of one process gives the
// same twice.
type OpenOnce func(t *testing.T, now func() time.Time) (one, other exchange.Once)

// Once is the suite of exchange.Once.
func Once(t *testing.T, open OpenOnce) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, m *marks)
	}{
		{"the first claim is fresh, and no other through any handle", func(t *testing.T, m *marks) {
			m.want(t, m.one, "a", onceLife, true)
			m.want(t, m.one, "a", onceLife, false)
			m.want(t, m.other, "a", onceLife, false)
		}},
		{"another key is another claim", func(t *testing.T, m *marks) {
			m.want(t, m.one, "a", onceLife, true)
			m.want(t, m.other, "b", onceLife, true)
			m.want(t, m.other, "", onceLife, true)
		}},
		{"a key may be any text", func(t *testing.T, m *marks) {
			for _, key := range []string{"a b", "a\x00b", "a\nb", "ä", "\xff", string(make([]byte, 10_000))} {
				m.want(t, m.one, key, onceLife, true)
				m.want(t, m.other, key, onceLife, false)
			}
		}},
		{"a mark holds until its end, and is then forgotten", func(t *testing.T, m *marks) {
			m.want(t, m.one, "a", onceLife, true)
			m.clock.Add(onceLife - time.Second)
			m.want(t, m.other, "a", onceLife, false)
			m.clock.Add(2 * time.Second)
			m.want(t, m.other, "a", onceLife, true)
		}},
		{"a refused claim doesn't move the end", func(t *testing.T, m *marks) {
			m.want(t, m.one, "a", onceLife, true)
			m.clock.Add(onceLife / 2)
			m.want(t, m.other, "a", onceLife, false)
			m.clock.Add(onceLife/2 + time.Second)
			m.want(t, m.other, "a", onceLife, true)
		}},
		{"marks end in another order than they began", func(t *testing.T, m *marks) {
			for i, life := range []time.Duration{3 * time.Hour, time.Minute, time.Hour, time.Second} {
				now := m.clock.Now()
				if fresh, err := m.one.Claim(t.Context(), fmt.Sprint(i), now, now.Add(life)); !fresh || err != nil {
					t.Fatal(fresh, err)
				}
			}
			started := m.clock.Now()
			m.clock.Add(30 * time.Minute)
			now := m.clock.Now()
			for i, want := range []bool{false, true, false, true} {
				if fresh, err := m.other.Claim(t.Context(), fmt.Sprint(i), started, now.Add(time.Hour)); fresh != want || err != nil {
					t.Errorf("claim %d: %v, %v; want %v", i, fresh, err, want)
				}
			}
		}},
		{"marks hold over many lives", func(t *testing.T, m *marks) {
			for i := range 40 {
				key := fmt.Sprint("key", i)
				m.want(t, m.one, key, onceLife, true)
				m.clock.Add(onceLife / 4)
				m.want(t, m.other, key, onceLife*3/4, false)
			}
		}},
		{"what may have been used before the birth is refused", func(t *testing.T, m *marks) {
			m.wantError(t, m.one, "a", onceLife-time.Minute)
			m.clock.Add(time.Minute)
			m.want(t, m.one, "a", onceLife, true)
			m.wantError(t, m.other, "b", onceLife-2*time.Minute)
		}},
		{"what has ended is refused", func(t *testing.T, m *marks) {
			m.clock.Add(3 * onceLife)
			m.wantError(t, m.one, "a", -time.Second)
		}},
		{"of many at once, one is fresh", func(t *testing.T, m *marks) {
			until := m.clock.Now().Add(onceLife)
			var fresh atomic.Int64
			var all sync.WaitGroup
			for i := range 64 {
				all.Go(func() {
					handle := m.one
					if i%2 == 1 {
						handle = m.other
					}
					switch first, err := handle.Claim(t.Context(), "a", m.clock.Now(), until); {
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
			m.one, m.other = open(t, m.clock.Now)
			test.run(t, m)
		})
	}
}

// marks are two handles on one store.
type marks struct {
	clock      *Clock
	one, other exchange.Once
}

// want claims a key of something that was issued a life before it ends, which is so long from now.
func (m *marks) want(t *testing.T, o exchange.Once, key string, until time.Duration, fresh bool) {
	t.Helper()
	end := m.clock.Now().Add(until)
	got, err := o.Claim(t.Context(), key, end.Add(-onceLife), end)
	if err != nil || got != fresh {
		t.Fatalf("claiming %.20q: %v, %v; want %v", key, got, err, fresh)
	}
}

func (m *marks) wantError(t *testing.T, o exchange.Once, key string, until time.Duration) {
	t.Helper()
	end := m.clock.Now().Add(until)
	if fresh, err := o.Claim(t.Context(), key, end.Add(-onceLife), end); err == nil || fresh {
		t.Fatalf("claiming %q: %v, %v; want a refusal", key, fresh, err)
	}
}
