package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/store"
	"github.com/lakegate/sts/store/storetest"
)

// onceLife is how long what is claimed here may be used.
const onceLife = 10 * time.Minute

func newOnce(t *testing.T, c store.OnceConfig) *store.MemoryOnce {
	t.Helper()
	o, err := store.NewMemoryOnce(c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestMemoryOnce(t *testing.T) {
	storetest.Once(t, func(t *testing.T, now func() time.Time) (one, other exchange.Once) {
		o := newOnce(t, store.OnceConfig{Now: now})
		return o, o
	})
}

// A full store refuses what is new and still knows what it has; it has room again when marks have died.
func TestMemoryOnceIsBounded(t *testing.T) {
	clock := storetest.NewClock()
	o := newOnce(t, store.OnceConfig{MaxMarks: 10, Now: clock.Now})
	claim := func(key string) (bool, error) {
		return o.Claim(t.Context(), key, clock.Now(), clock.Now().Add(onceLife))
	}
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
	clock.Add(4 * onceLife)
	if fresh, err := claim("one more"); !fresh || err != nil {
		t.Errorf("after the marks have died: %v, %v", fresh, err)
	}
}

// A clock that was ahead and is set right again must not bring back what it had let die.
func TestMemoryOnceUnderAClockThatIsSetBack(t *testing.T) {
	clock := storetest.NewClock()
	o := newOnce(t, store.OnceConfig{Now: clock.Now})
	until := clock.Now().Add(onceLife)
	if fresh, err := o.Claim(t.Context(), "a", until.Add(-onceLife), until); !fresh || err != nil {
		t.Fatal(fresh, err)
	}
	clock.Add(10 * onceLife)
	if fresh, err := o.Claim(t.Context(), "b", clock.Now(), clock.Now().Add(onceLife)); !fresh || err != nil {
		t.Fatal(fresh, err)
	}
	clock.Add(-10 * onceLife)
	if fresh, _ := o.Claim(t.Context(), "a", until.Add(-onceLife), until); fresh {
		t.Error("a replay got through")
	}
}

// However many end at the same moment, their room is there again.
func TestMemoryOnceBuriesManyAtOnce(t *testing.T) {
	clock := storetest.NewClock()
	const many = 1000
	o := newOnce(t, store.OnceConfig{MaxMarks: many, Now: clock.Now})
	for round := range 3 {
		for i := range many {
			if fresh, err := o.Claim(t.Context(), fmt.Sprint(round, i), clock.Now(), clock.Now().Add(onceLife)); !fresh || err != nil {
				t.Fatalf("round %d, claim %d: %v, %v", round, i, fresh, err)
			}
		}
		clock.Add(onceLife)
	}
}

func TestMemoryOnceRefuses(t *testing.T) {
	if _, err := store.NewMemoryOnce(store.OnceConfig{MaxMarks: -1}); err == nil {
		t.Error("made marks of a negative number")
	}
}
