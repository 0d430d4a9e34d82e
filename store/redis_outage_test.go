package store_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
)

const (
	mintTime = 20 * time.Millisecond
	// mostDelay is what a Redis in trouble may cost a miss beside the mint.
	mostDelay = 100 * time.Millisecond
)

// load are callers of all replicas, while something happens to Redis: some ask for a token that all have, some for one
// that nobody has yet.
type load struct {
	stop    atomic.Bool
	running sync.WaitGroup
	warm    atomic.Int64
	misses  atomic.Int64
	failed  atomic.Int64
	slowest atomic.Int64 // miss, in nanoseconds
	name    atomic.Int64 // of the next grant that nobody has asked for
}

func (f *fleet) load() *load {
	l := &load{}
	for i := range 2 * len(f.replicas) {
		r, fresh := f.replicas[i/2], i%2 == 1
		l.running.Go(func() {
			for !l.stop.Load() {
				g := grant()
				if fresh {
					g.ApplicationID = fmt.Sprint("application ", l.name.Add(1))
				}
				started := time.Now()
				token, err := r.Obtain(context.Background(), g, g.Lifetime, f.clock.Now().Add(24*time.Hour))
				took := time.Since(started)
				switch {
				case err != nil || token.Text == "":
					l.failed.Add(1)
				case fresh:
					l.misses.Add(1)
					if took > time.Duration(l.slowest.Load()) {
						l.slowest.Store(int64(took))
					}
				default:
					l.warm.Add(1)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	return l
}

func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop.Store(true)
	l.running.Wait()
	if l.failed.Load() > 0 {
		t.Errorf("%d requests failed", l.failed.Load())
	}
	if l.warm.Load() == 0 || l.misses.Load() == 0 {
		t.Errorf("%d warm requests and %d misses were answered", l.warm.Load(), l.misses.Load())
	}
	if slowest := time.Duration(l.slowest.Load()); slowest > mintTime+mostDelay {
		t.Errorf("a miss took %v, want at most %v", slowest, mintTime+mostDelay)
	}
}

func TestRedisFailsUnderLoad(t *testing.T) {
	for _, c := range []struct {
		name     string
		trouble  func(t *testing.T, f *fleet)
		degraded bool
		mend     func(t *testing.T, f *fleet)
	}{
		{"killed", func(_ *testing.T, f *fleet) { f.redis.Kill() }, true, func(t *testing.T, f *fleet) { must(t, f.redis.Start()) }},
		{"hung", func(t *testing.T, f *fleet) { must(t, f.redis.Hang()) }, true, func(t *testing.T, f *fleet) { must(t, f.redis.Resume()) }},
		{"flushed", func(t *testing.T, f *fleet) { must(t, f.redis.Flush()) }, false, func(*testing.T, *fleet) {}},
		{"restarted", func(t *testing.T, f *fleet) { f.redis.Kill(); must(t, f.redis.Start()) }, false, func(*testing.T, *fleet) {}},
		{"full", func(t *testing.T, f *fleet) { must(t, f.admin.ConfigSet(t.Context(), "maxmemory", "1").Err()) }, true,
			func(t *testing.T, f *fleet) { must(t, f.admin.ConfigSet(t.Context(), "maxmemory", "0").Err()) }},
		{"closed to us", func(t *testing.T, f *fleet) { must(t, f.admin.Do(t.Context(), "ACL", "SETUSER", "sts", "-@all").Err()) }, true,
			func(t *testing.T, f *fleet) { must(t, f.admin.Do(t.Context(), "ACL", "SETUSER", "sts", "+@all").Err()) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t, 2, 0)
			f.minter.will(func(_ context.Context, token exchange.Token) (exchange.Token, error) {
				time.Sleep(mintTime)
				return token, nil
			})
			for _, r := range f.replicas {
				r.get(t, grant(), 24*time.Hour)
			}
			l := f.load()
			time.Sleep(300 * time.Millisecond) // let it run
			c.trouble(t, f)
			if c.degraded {
				eventually(t, "health tells", func() bool { return f.replicas[0].redis.Health() != nil })
			}
			time.Sleep(1500 * time.Millisecond) // of load in this state
			c.mend(t, f)
			l.end(t)
			f.clock.Add(10 * time.Second) // past what Health remembers
			eventually(t, "all is well again", func() bool { return f.replicas[0].redis.Health() == nil && f.replicas[1].redis.Health() == nil })

			g := grant()
			g.ApplicationID = "after it"
			eventually(t, "tokens are shared again", func() bool {
				g.ApplicationID += "."
				f.replicas[0].get(t, g, 24*time.Hour)
				return f.replicas[1].get(t, g, 24*time.Hour).Cache == exchange.CacheRedis
			})
		})
	}
}

// A Redis that hangs costs the first few calls their time-out, and the others nothing.
func TestAHungRedisIsLeftAlone(t *testing.T) {
	f := newFleet(t, 1, 0)
	r := f.replicas[0]
	must(t, f.redis.Hang())
	t.Cleanup(func() { _ = f.redis.Resume() })
	eventually(t, "it is left alone", func() bool { return r.redis.Health() != nil })
	g := grant()
	slow := 0
	started := time.Now()
	for i := range 200 {
		g.ApplicationID = fmt.Sprint("application ", i)
		before := time.Now()
		r.get(t, g, 24*time.Hour)
		if time.Since(before) > 25*time.Millisecond {
			slow++
		}
	}
	if most := 5 + int(time.Since(started)/(500*time.Millisecond)); slow > most {
		t.Errorf("%d of 200 misses waited for Redis, want at most %d", slow, most)
	}
	if r.metric(t, "sts_redis_breaker_state") == 0 {
		t.Error("the metric says that Redis is asked")
	}
}

// A service starts without its Redis, and finds it once it is there.
func TestRedisComesLate(t *testing.T) {
	f := newFleet(t, 0, 0)
	f.redis.Kill()
	r := f.join(t, 0, f.aead)
	wantCache(t, r.get(t, grant(), 24*time.Hour), exchange.CacheMinted)
	eventually(t, "health tells", func() bool { return r.redis.Health() != nil })
	must(t, f.redis.Start())
	f.clock.Add(10 * time.Second)
	eventually(t, "all is well", func() bool { return r.redis.Health() == nil })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
