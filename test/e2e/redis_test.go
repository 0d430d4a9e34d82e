package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/databricks"
	"github.com/lakegate/sts/internal/testservice"
)

// startRedis starts a Redis for one test, with TLS.
func startRedis(t *testing.T) *testservice.Redis {
	t.Helper()
	r, err := testservice.StartRedis(true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// over lets a world share its tokens over a Redis; it comes after what names a keyset.
func over(r *testservice.Redis, timeout string) func(*world, *setup) {
	return func(w *world, s *setup) {
		w.redis, w.secrets["redis"] = r, r.Password
		shared := maps.Clone(s.config["store"].(object))
		shared["redis"] = object{
			"addresses": list{r.Address}, "username": r.Username, "password_file": filepath.Join(r.Folder, "password"),
			"tls": object{"ca_file": filepath.Join(r.Folder, "ca.crt")}, "timeout": timeout,
		}
		s.config["store"] = shared
	}
}

// mints are those that arrived at Databricks.
func (w *world) mints() int { return w.dbx.Totals()[databricks.TokenRoute].Calls }

// untimely counts the calls of Redis that were not answered in time, over replicas.
func untimely(replicas []*world) (calls float64) {
	for _, r := range replicas {
		calls += r.Metric("sts_redis_calls_total") - r.Metric("sts_redis_calls_total", `result="ok"`)
	}
	return calls
}

// inTime runs rounds until one in which Redis answered all calls in time, and returns that one's mints: how often a token
// is minted is only promised then, and this machine may be busy. A round returns its mints, and whether it was in time.
func inTime(t *testing.T, what string, round func(n int) (mints int, timely bool)) int {
	t.Helper()
	for n := range 8 {
		if mints, timely := round(n); timely {
			return mints
		}
		t.Logf("%s: the machine is too busy for the time-outs; once more", what)
	}
	t.Fatalf("%s: never in time", what)
	return 0
}

// TestReplicasShareTokens is what several replicas promise: one mint for all who miss at the same time, and one more at
// most where the replica that mints is killed. A thousand callers run alone.
func TestReplicasShareTokens(t *testing.T) {
	redis := startRedis(t)
	w := newWorld(t, on(postgres.NewDatabase(t)), over(redis, "1s"),
		func(_ *world, s *setup) { s.config["databricks"].(object)["timeout"] = "10s" })
	replicas := []*world{w, w.Replica(), w.Replica()}
	for _, r := range replicas {
		r.http.Timeout = 2 * patience
		mustGrant(t, r.Ask(token(r.lasting("ada", "data-eng")), as("poster")), tenMinutes) // keys are fetched
	}

	mints := inTime(t, "1,000 misses", func(n int) (int, bool) {
		slow := w.dbx.AddFault(emulator.Fault{Route: databricks.TokenRoute, Delay: 500 * time.Millisecond})
		defer slow()
		before, late := w.mints(), untimely(replicas)
		minted := missAtOnce(t, replicas, w.lasting(fmt.Sprint("eve", n), "private"))
		return w.mints() - before, minted && untimely(replicas) == late
	})
	if mints != 1 {
		t.Errorf("%d mints for 1,000 misses over 3 replicas", mints)
	}
	caches := map[string]int{}
	for _, r := range replicas {
		for _, e := range r.Of("exchange") {
			caches[e.Cache]++
		}
	}
	if caches["minted"] == 0 || caches["redis"] == 0 {
		t.Errorf("tokens came from %v", caches)
	}
	holdsNoTokenInTheClear(t, w, redis)

	mints = inTime(t, "the replica that mints is killed", func(n int) (int, bool) {
		dying, others := replicas[2], replicas[:2]
		if n > 0 {
			dying.Start()
		}
		w.putPrincipals() // Databricks asks one for our keys that stays
		hung := w.dbx.AddFault(emulator.Fault{Route: databricks.TokenRoute, Delay: time.Minute})
		before, late := w.mints(), untimely(others)
		zoe := w.lasting(fmt.Sprint("zoe", n), "private")
		request := dying.tokenRequest(zoe)
		go func() { _, _ = dying.try(request) }()
		w.Eventually("it mints", func() bool { return w.mints() == before+1 })
		hung()
		locked := untimely([]*world{dying}) == 0
		dying.sts.Kill()
		var all sync.WaitGroup
		answers := make([]answer, len(others))
		for i, r := range others {
			next := r.tokenRequest(zoe)
			all.Go(func() {
				var err error
				if answers[i], err = r.try(next); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, a := range answers {
			if a.Reason == string(exchange.ReasonUpstreamUnavailable) {
				return 0, false
			}
			mustGrant(t, a, tenMinutes)
		}
		return w.mints() - before, locked && untimely(others) == late
	})
	if mints != 2 {
		t.Errorf("%d mints, want one of the dead and one more", mints)
	}
}

// missAtOnce asks a thousand times at once, over all replicas, and holds that all get the same token; one of each replica
// where Redis did not answer in time. It returns false if the machine was too busy for the mint, or for so many callers.
func missAtOnce(t *testing.T, replicas []*world, subject string) bool {
	t.Helper()
	requests := make([]*http.Request, 1000)
	for i := range requests {
		requests[i] = replicas[i%len(replicas)].tokenRequest(subject)
	}
	var all sync.WaitGroup
	answers, errs := make([]answer, len(requests)), make([]error, len(requests))
	for i := range requests {
		all.Go(func() { answers[i], errs[i] = replicas[i%len(replicas)].try(requests[i]) })
	}
	all.Wait()
	tokens := map[string]bool{}
	for i, a := range answers {
		switch {
		case errs[i] != nil:
			t.Logf("caller %d: %v", i, errs[i])
			return false
		case a.Reason == string(exchange.ReasonUpstreamUnavailable):
			return false
		case a.Status != http.StatusOK:
			t.Fatalf("caller %d: %s", i, a.Body)
		}
		tokens[a.AccessToken] = true
	}
	if len(tokens) > len(replicas) {
		t.Errorf("the callers have %d tokens", len(tokens))
	}
	return true
}

// tokenRequest is the baseline request for a subject token.
func (w *world) tokenRequest(subject string) *http.Request {
	r := b0(w)
	r.Params.Set("subject_token", subject)
	req := w.FormRequest(r.Params.Encode())
	req.Header.Set("Authorization", w.basicAuth("kong"))
	return req
}

// holdsNoTokenInTheClear looks through all that stands in a Redis.
func holdsNoTokenInTheClear(t *testing.T, w *world, r *testservice.Redis) {
	t.Helper()
	admin := r.Admin()
	defer func() { _ = admin.Close() }()
	keys, err := admin.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	var dump strings.Builder
	entries := 0
	for _, key := range keys {
		value, err := admin.Get(t.Context(), key).Result()
		life, lifeErr := admin.PTTL(t.Context(), key).Result()
		if err != nil || lifeErr != nil {
			continue // a lock that has just been given back
		}
		fmt.Fprintf(&dump, "%s %s\n", key, value)
		if strings.HasPrefix(key, "sts:1:token:") {
			entries++
			if life <= 0 || life > time.Hour {
				t.Errorf("%s lives for %v", key, life)
			}
		}
	}
	if entries == 0 {
		t.Fatal("there are no entries to look through")
	}
	secrets := append(w.idp.Secrets(), w.dbx.Secrets()...)
	for _, s := range w.secrets {
		secrets = append(secrets, s)
	}
	if found := newScanner(secrets).find(dump.String()); found != "" {
		t.Errorf("redis holds a secret: %.12s…", found)
	}
}

// redisLoad are callers while something happens to Redis: of each replica, some ask for a token that all have, and some for
// one that nobody has yet.
type redisLoad struct {
	stop          chan struct{}
	running       sync.WaitGroup
	warm, misses  atomic.Int64
	slowest       atomic.Int64 // nanoseconds
	mu            sync.Mutex
	firstFailures []string
}

func loadReplicas(replicas []*world) *redisLoad {
	l := &redisLoad{stop: make(chan struct{})}
	for i, r := range replicas {
		warm := r.lasting("ada", "data-eng")
		l.running.Go(func() { l.ask(r, &l.warm, func(int) string { return warm }) })
		l.running.Go(func() {
			l.ask(r, &l.misses, func(n int) string { return r.lasting(fmt.Sprintf("nobody-%d-%d", i, n), "private") })
		})
	}
	return l
}

func (l *redisLoad) ask(r *world, answered *atomic.Int64, subject func(n int) string) {
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		started := time.Now()
		a, err := r.try(r.tokenRequest(subject(n)))
		if err != nil || a.Status != http.StatusOK {
			l.mu.Lock()
			if len(l.firstFailures) < 5 {
				l.firstFailures = append(l.firstFailures, fmt.Sprintf("%v: %d %s", err, a.Status, a.Body))
			}
			l.mu.Unlock()
		}
		answered.Add(1)
		if took := int64(time.Since(started)); took > l.slowest.Load() {
			l.slowest.Store(took)
		}
		time.Sleep(10 * time.Millisecond) // other tests run, too
	}
}

// goOn waits until so many more of both kinds were answered.
func (l *redisLoad) goOn(w *world, when string, more int64) {
	w.t.Helper()
	warm, misses := l.warm.Load()+more, l.misses.Load()+more
	w.Eventually(when+": requests are answered", func() bool { return l.warm.Load() >= warm && l.misses.Load() >= misses })
}

// TestRedisGoes holds that under load no exchange fails whatever becomes of Redis, that /readyz says so, and that all is
// well again by itself, with the same signing key. How long a miss waits is proven in the store's own tests; here it only
// must not wait as long as a client of Redis does that was not told otherwise.
func TestRedisGoes(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	w := newWorld(t, on(postgres.NewDatabase(t)), over(redis, "1s"))
	replicas := []*world{w, w.Replica()}
	keys := w.JWKS()
	for _, r := range replicas {
		mustGrant(t, r.Ask(token(r.lasting("ada", "data-eng"))), tenMinutes)
	}
	l := loadReplicas(replicas)
	kill := func() error { redis.Kill(); return nil }
	nothing := func() error { return nil }
	for _, c := range []struct {
		name          string
		trouble, mend func() error
		degraded      bool
	}{
		{"killed", kill, redis.Start, true},
		{"hung", redis.Hang, redis.Resume, true},
		{"flushed", redis.Flush, nothing, false},
		{"restarted", func() error { redis.Kill(); return redis.Start() }, nothing, false},
	} {
		l.goOn(w, "before", 5)
		if err := c.trouble(); err != nil {
			t.Fatal(err)
		}
		if c.degraded {
			w.Eventually(c.name+": /readyz says so", func() bool {
				ready := w.Ready()
				return ready.HTTP == http.StatusOK && ready.Status == "degraded" && ready.Parts["redis"].Reason != ""
			})
		}
		l.goOn(w, c.name, 20)
		if err := c.mend(); err != nil {
			t.Fatal(err)
		}
		n := 0
		w.Eventually(c.name+": tokens are shared again", func() bool {
			n++
			fresh := w.lasting(fmt.Sprint(c.name, n), "private")
			replicas[0].Ask(token(fresh))
			return replicas[1].Exchange(replicas[1].Ask(token(fresh)).DecisionID).Cache == "redis"
		})
	}
	close(l.stop)
	l.running.Wait()
	for _, failure := range l.firstFailures {
		t.Error(failure)
	}
	if slowest := time.Duration(l.slowest.Load()); slowest > 20*time.Second {
		t.Errorf("a request took %v", slowest)
	}
	w.Eventually("all is well", func() bool { return w.Ready().Status == "ok" && replicas[1].Ready().Status == "ok" })
	if again := w.JWKS(); again != keys {
		t.Error("the signing keys have changed")
	}
}

// TestKeysetRotation gives replicas that share a Redis a new key to seal by, one after the other: at every step each takes
// what the other has minted, nothing is minted anew, and the signing keys stay.
func TestKeysetRotation(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	w := newWorld(t, on(postgres.NewDatabase(t)), over(redis, "1s"))
	replicas := []*world{w, w.Replica()}
	keys := w.JWKS()
	keyset := w.config["store"].(object)["keyset_file"].(string)

	first := w.lasting("before it all", "private")
	mustGrant(t, w.Ask(token(first)), tenMinutes)
	n := 0
	share := func(when string) {
		t.Helper()
		for i, one := range replicas {
			other := replicas[1-i]
			w.Eventually(when+": replicas open what others seal", func() bool { // once Redis answers in time
				n++
				fresh := w.lasting(fmt.Sprint("step ", n), "private")
				one.Ask(token(fresh))
				return other.Exchange(other.Ask(token(fresh)).DecisionID).Cache == "redis"
			})
		}
		for _, r := range replicas {
			if strings.Contains(r.Metrics(), `sts_tokens_dropped_total{cause="unopened",tier="redis"} 0`) {
				continue
			}
			t.Errorf("%s: a replica could not open an entry", when)
		}
	}
	for _, step := range []string{"add", "promote"} {
		if said, err := exec.Command(program, "keys", "rotate", step, keyset).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		for i, r := range []*world{replicas[1], replicas[0]} {
			r.sts.Stop(t)
			r.Start()
			share(fmt.Sprint(step, ", replicas restarted: ", i+1))
		}
	}
	if a := replicas[1].Ask(token(first)); replicas[1].Exchange(a.DecisionID).Cache != "redis" {
		t.Error("what the old key has sealed does not open any more")
	}
	if again := replicas[1].JWKS(); again != keys {
		t.Error("the signing keys have changed")
	}
}
