package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/store"
	"github.com/lakegate/sts/store/storetest"
)

const onceSpan = storetest.OnceSpan

func newOnce(t *testing.T, c store.OnceConfig) *store.MemoryOnce {
	t.Helper()
	o, err := store.NewMemoryOnce(c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestMemoryOnce(t *testing.T) {
	storetest.Once(t, func(t *testing.T, now func() time.Time, span time.Duration) (one, other exchange.Once) {
		o := newOnce(t, store.OnceConfig{Span: span, Now: now})
		return o, o
	})
}

// A full store refuses what is new and still knows what it has; it has room again when marks have died.
func TestMemoryOnceIsBounded(t *testing.T) {
	clock := storetest.NewClock()
	o := newOnce(t, store.OnceConfig{Span: onceSpan, MaxMarks: 10, Now: clock.Now})
	claim := func(key string) (bool, error) { return o.Claim(t.Context(), key, clock.Now().Add(onceSpan)) }
	for i := range 10 {
		if fresh, err := claim(fmt.Sprint(i)); !fresh || err != nil {
			t.Fatalf("claim %d: %v, %v", i, fresh, err)
		}
	}
	if fresh, err := claim("one more"); fresh || err == nil {
		t.Errorf("beyond the bound: %v, %v", fresh, err)
	}
	if fresh, err := claim("3"); fresh || err != nil {
		t.Errorf("a mark of a full store: %v, %v", fresh, err)
	}
	clock.Add(4 * onceSpan)
	if fresh, err := claim("one more"); !fresh || err != nil {
		t.Errorf("after the marks have died: %v, %v", fresh, err)
	}
}

// A clock that was ahead and is set right again must not bring back what it had let die.
func TestMemoryOnceUnderAClockThatIsSetBack(t *testing.T) {
	clock := storetest.NewClock()
	o := newOnce(t, store.OnceConfig{Span: onceSpan, Now: clock.Now})
	until := clock.Now().Add(onceSpan)
	if fresh, err := o.Claim(t.Context(), "a", until); !fresh || err != nil {
		t.Fatal(fresh, err)
	}
	clock.Add(10 * onceSpan)
	if fresh, err := o.Claim(t.Context(), "b", clock.Now().Add(onceSpan)); !fresh || err != nil {
		t.Fatal(fresh, err)
	}
	clock.Add(-10 * onceSpan)
	if fresh, _ := o.Claim(t.Context(), "a", until); fresh {
		t.Error("a replay got through")
	}
}

func TestMemoryOnceRefuses(t *testing.T) {
	if _, err := store.NewMemoryOnce(store.OnceConfig{}); err == nil {
		t.Error("made marks without a span")
	}
	clock := storetest.NewClock()
	o := newOnce(t, store.OnceConfig{Span: onceSpan, Now: clock.Now})
	if _, err := o.Claim(t.Context(), "a", clock.Now().Add(3*onceSpan)); err == nil {
		t.Error("took a mark that it would drop early")
	}
}
