package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
)

// load are callers of all replicas, while something happens to Redis: some ask for a token that all have, some for one
// that nobody has yet.
type load struct {
	stop    atomic.Bool
	running sync.WaitGroup
	warm    atomic.Int64
	misses  atomic.Int64
	failed  atomic.Int64
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
				token, err := r.Obtain(context.Background(), g, g.Lifetime, f.clock.Now().Add(24*time.Hour))
				switch {
				case err != nil || token.Text == "":
					l.failed.Add(1)
				case fresh:
					l.misses.Add(1)
				default:
					l.warm.Add(1)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	return l
}

// goOn waits until so many more of both kinds were answered.
func (l *load) goOn(t *testing.T, when string, more int64) {
	t.Helper()
	warm, misses := l.warm.Load()+more, l.misses.Load()+more
	eventually(t, when+": requests are answered", func() bool { return l.warm.Load() >= warm && l.misses.Load() >= misses })
}

func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop.Store(true)
	l.running.Wait()
	if l.failed.Load() > 0 {
		t.Errorf("%d requests failed", l.failed.Load())
	}
}

// Whatever becomes of Redis, no request fails, and all is well again by itself.
func TestRedisFailsUnderLoad(t *testing.T) {
	nothing := func(*testing.T, *fleet) {}
	for _, c := range []struct {
		name     string
		trouble  func(t *testing.T, f *fleet)
		degraded bool
		mend     func(t *testing.T, f *fleet)
	}{
		{"killed", func(_ *testing.T, f *fleet) { f.redis.Kill() }, true, func(t *testing.T, f *fleet) { must(t, f.redis.Start()) }},
		{"hung", func(t *testing.T, f *fleet) { must(t, f.redis.Hang()) }, true, func(t *testing.T, f *fleet) { must(t, f.redis.Resume()) }},
		{"flushed", func(t *testing.T, f *fleet) { must(t, f.redis.Flush()) }, false, nothing},
		{"restarted", func(t *testing.T, f *fleet) { f.redis.Kill(); must(t, f.redis.Start()) }, false, nothing},
		{"full", func(t *testing.T, f *fleet) { must(t, f.admin.ConfigSet(t.Context(), "maxmemory", "1").Err()) }, true,
			func(t *testing.T, f *fleet) { must(t, f.admin.ConfigSet(t.Context(), "maxmemory", "0").Err()) }},
		{"closed to us", func(t *testing.T, f *fleet) { f.allow(t, "-@all") }, true, func(t *testing.T, f *fleet) { f.allow(t, "+@all") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t, 2, 0)
			for _, r := range f.replicas {
				r.get(t, grant(), 24*time.Hour)
			}
			l := f.load()
			l.goOn(t, "before", 50)
			c.trouble(t, f)
			if c.degraded {
				eventually(t, "health tells", func() bool { return f.replicas[0].redis.Health() != nil })
			}
			l.goOn(t, c.name, 200)
			c.mend(t, f)
			l.goOn(t, "afterwards", 50)
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

// Wherever in a flight Redis stops to answer, the flight waits for a single call that isn't answered, and mints. With a
// time-out of 50 ms that is all that an outage of Redis costs a miss.
func TestRedisCostsAFlightOneTimeOut(t *testing.T) {
	f := newFleet(t, 1, patient)
	awaited := []string{"get", "drop", "lock", "set"}
	stopped := map[string]bool{} // by operation
	for answers := 0; ; answers++ {
		// Two entries that don't open, so that there is something to drop.
		must(t, f.redis.Flush())
		g := grant()
		g.ApplicationID = fmt.Sprint("application ", answers)
		for _, rest := range []time.Duration{24 * time.Hour, 10 * time.Minute} {
			f.replicas[0].get(t, g, rest)
		}
		for _, entry := range f.keys(t, "sts:1:token:*") {
			f.set(t, entry, "x")
		}
		way := stopAfter(t, f.redis.Address, answers)
		r := f.joinAt(t, way.address, 200*time.Millisecond)
		wantCache(t, r.get(t, g, 24*time.Hour), exchange.CacheMinted)
		failed := 0
		for _, operation := range awaited {
			n := int(r.metric(t, "sts_redis_calls_total", "operation", operation, "result", "failed"))
			failed += n
			stopped[operation] = stopped[operation] || n > 0
		}
		if failed > 1 {
			t.Errorf("after %d answers: the flight waited for %d calls in vain", answers, failed)
		}
		if failed == 0 && !way.used() {
			break
		}
		if answers > 30 {
			t.Fatal("a flight makes no end of calls")
		}
	}
	for _, operation := range awaited {
		if !stopped[operation] {
			t.Errorf("no call failed of %q", operation)
		}
	}
}

// A Redis that hangs costs the first few calls their time-out, and then one call each half second; the others nothing.
func TestAHungRedisIsLeftAlone(t *testing.T) {
	const restTime = 500 * time.Millisecond
	f := newFleet(t, 1, 0)
	r := f.replicas[0]
	must(t, f.redis.Hang())
	t.Cleanup(func() { _ = f.redis.Resume() })
	eventually(t, "it is left alone", func() bool { return r.metric(t, "sts_redis_breaker_state") > 0 })
	failed := func() float64 { return r.metric(t, "sts_redis_calls_total", "result", "failed") }
	before, started := failed(), time.Now()
	for i := range 200 {
		g := grant()
		g.ApplicationID = fmt.Sprint("application ", i)
		r.get(t, g, 24*time.Hour)
	}
	if got, most := failed()-before, 2+int(time.Since(started)/restTime); int(got) > most {
		t.Errorf("%v calls waited for Redis within %v, want at most %d", got, time.Since(started), most)
	}
	if r.redis.Health() == nil {
		t.Error("health says that all is well")
	}
}

// Callers who give up say nothing of Redis: others must not have to do without it.
func TestCallersGiveUp(t *testing.T) {
	f := newFleet(t, 1, patient)
	r := f.replicas[0]
	eventually(t, "it is born", func() bool { return len(f.keys(t, "sts:1:birth")) == 1 })
	f.clock.Add(time.Minute)
	must(t, f.redis.Hang())
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if _, err := r.redis.Claim(ctx, "a", f.clock.Now(), f.clock.Now().Add(time.Minute)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a claim without an answer: %v", err)
		}
		cancel()
	}
	must(t, f.redis.Resume())
	if got := r.metric(t, "sts_redis_calls_total", "operation", "claim", "result", "left"); got != 10 || r.metric(t, "sts_redis_breaker_state") != 0 {
		t.Errorf("%v calls were left, and the breaker is in state %v", got, r.metric(t, "sts_redis_breaker_state"))
	}
	if fresh, err := r.redis.Claim(t.Context(), "b", f.clock.Now(), f.clock.Now().Add(time.Minute)); !fresh || err != nil {
		t.Errorf("a patient one: %v, %v", fresh, err)
	}
}

// A stop doesn't wait for a lock that can't be given back.
func TestCloseWhileRedisHangs(t *testing.T) {
	f := newFleet(t, 0, 0)
	r := f.join(t, 0, f.aead)
	var unlock func()
	eventually(t, "the lock is taken", func() (ok bool) {
		unlock, ok, _ = r.redis.TryLock(t.Context(), "x", time.Hour)
		return ok
	})
	must(t, f.redis.Hang())
	t.Cleanup(func() { _ = f.redis.Resume() })
	unlock()
	closed := make(chan error)
	go func() { closed <- r.redis.Close() }()
	select {
	case err := <-closed:
		must(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("it waits")
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
