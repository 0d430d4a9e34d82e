package store_test

import (
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/store/storetest"
)

func TestRedisOnce(t *testing.T) {
	f := newFleet(t, 0, patient)
	storetest.Once(t, func(t *testing.T, now func() time.Time) (one, other exchange.Once) {
		must(t, f.redis.Flush())
		f.now = now
		one = f.join(t, patient, f.aead).redis
		eventually(t, "it is born", func() bool { return len(f.keys(t, "sts:1:birth")) == 1 })
		return one, f.join(t, patient, f.aead).redis
	})
}

// Whatever loses marks permits no replay: what may have been used before is refused, and what is issued later is not.
func TestLostMarksPermitNoReplay(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(t *testing.T, f *fleet)
	}{
		{"a flush", func(t *testing.T, f *fleet) { must(t, f.redis.Flush()) }},
		{"a restart from an old snapshot", func(t *testing.T, f *fleet) {
			// The birth is in the snapshot, the mark is not.
			birth := f.value(t, "sts:1:birth")
			f.redis.Kill()
			must(t, f.redis.Start())
			must(t, f.admin.Set(t.Context(), "sts:1:birth", birth, 0).Err())
		}},
		{"an eviction", func(t *testing.T, f *fleet) {
			must(t, f.admin.ConfigSet(t.Context(), "maxmemory-policy", "volatile-random").Err())
			must(t, f.admin.ConfigSet(t.Context(), "maxmemory", "1").Err())
			_ = f.admin.Set(t.Context(), "x", "x", time.Hour).Err() // may not fit; something else went for it
			must(t, f.admin.ConfigSet(t.Context(), "maxmemory", "0").Err())
			if len(f.keys(t, "sts:1:once:*")) != 0 {
				t.Fatal("nothing was evicted")
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t, 1, patient)
			r := f.replicas[0]
			o := r.redis
			eventually(t, "it is born", func() bool { return len(f.keys(t, "sts:1:birth")) == 1 })
			f.clock.Add(time.Minute)
			made := f.clock.Now()
			until := made.Add(onceLife)
			if fresh, err := o.Claim(t.Context(), "a", made, until); !fresh || err != nil {
				t.Fatal(fresh, err)
			}
			f.clock.Add(time.Second)
			c.lose(t, f)
			for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
				if fresh, err := o.Claim(t.Context(), "a", made, until); fresh || err == nil {
					t.Fatalf("a replay: %v, %v", fresh, err)
				}
			}
			f.clock.Add(time.Second)
			if fresh, err := o.Claim(t.Context(), "b", f.clock.Now(), f.clock.Now().Add(onceLife)); !fresh || err != nil {
				t.Errorf("a new one: %v, %v", fresh, err)
			}
		})
	}
}

func TestNobodyCanTellWithoutRedis(t *testing.T) {
	f := newFleet(t, 1, 0)
	o := f.replicas[0].redis
	f.redis.Kill()
	for range 10 {
		if fresh, err := o.Claim(t.Context(), "a", f.clock.Now(), f.clock.Now().Add(time.Minute)); fresh || err == nil {
			t.Errorf("%v, %v", fresh, err)
		}
	}
}
