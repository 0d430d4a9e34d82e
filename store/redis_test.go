package store_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/testservice"
	"github.com/lakegate/sts/store"
	"github.com/lakegate/sts/store/storetest"
)

// patient is a time-out that a busy machine meets; only outages are tested with the real one.
const patient = 5 * time.Second

// fleet are replicas that share a Redis, a Databricks and a clock.
type fleet struct {
	redis    *testservice.Redis
	admin    *redis.Client
	clock    *storetest.Clock
	now      func() time.Time
	aead     tink.AEAD
	minter   *minter
	recorder *recorder
	ends     ends // what clients have given up
	replicas []*replica
	denied   bool // that commands are denied is meant
}

type replica struct {
	*world
	redis *store.Redis
}

func newFleet(t *testing.T, replicas int, timeout time.Duration) *fleet {
	t.Helper()
	f := startFleet(t, false)
	for range replicas {
		f.join(t, timeout, f.aead)
	}
	return f
}

// newSecureFleet is one without replicas, whose Redis speaks TLS.
func newSecureFleet(t *testing.T) *fleet { return startFleet(t, true) }

func startFleet(t *testing.T, secure bool) *fleet {
	t.Helper()
	server, err := testservice.StartRedis(secure)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	f := &fleet{redis: server, admin: server.Admin(), clock: storetest.NewClock(), aead: newAEAD(t), recorder: &recorder{}}
	t.Cleanup(func() { _ = f.admin.Close() })
	f.now = f.clock.Now
	f.minter = &minter{Now: f.clock.Now}
	t.Cleanup(func() {
		// It is empty after a kill, too.
		if denied, err := f.admin.Do(context.Background(), "ACL", "LOG").Slice(); !f.denied && err == nil && len(denied) > 0 {
			t.Errorf("commands beyond the documented rights: %v", denied)
		}
	})
	return f
}

// join adds a replica.
func (f *fleet) join(t *testing.T, timeout time.Duration, sealer tink.AEAD) *replica {
	t.Helper()
	r := f.make(t, f.redis.Address, timeout, sealer)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.redis.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	f.replicas = append(f.replicas, r)
	return r
}

// joinAt makes a replica that reaches Redis at another address, and asks it nothing by itself.
func (f *fleet) joinAt(t *testing.T, address string, timeout time.Duration) *replica {
	t.Helper()
	return f.make(t, address, timeout, f.aead)
}

func (f *fleet) make(t *testing.T, address string, timeout time.Duration, sealer tink.AEAD) *replica {
	t.Helper()
	w := &world{clock: f.clock, minter: f.minter, recorder: f.recorder, metrics: prometheus.NewRegistry()}
	shared := f.dial(t, address, timeout, w.metrics)
	var err error
	w.Tokens, err = store.NewTokens(store.TokensConfig{
		Minter: f.minter, Recorder: f.recorder, AEAD: sealer, Redis: shared, Ended: f.ends.ended, Log: slog.New(slog.DiscardHandler), Now: f.clock.Now, Metrics: w.metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &replica{world: w, redis: shared}
}

func (f *fleet) dial(t *testing.T, address string, timeout time.Duration, metrics prometheus.Registerer) *store.Redis {
	t.Helper()
	shared, err := store.NewRedis(store.RedisConfig{
		Address: address, Username: f.redis.Username, Password: exchange.Secret(f.redis.Password), TLS: f.redis.TLS,
		Timeout: timeout, Log: discard(), Metrics: metrics, Now: f.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shared.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			t.Error(err)
		}
	})
	return shared
}

// allow changes what the service's user may do.
func (f *fleet) allow(t *testing.T, rule string) {
	t.Helper()
	f.denied = true
	must(t, f.admin.Do(t.Context(), "ACL", "SETUSER", f.redis.Username, rule).Err())
}

// keys are those of Redis that match.
func (f *fleet) keys(t *testing.T, pattern string) []string {
	t.Helper()
	keys, err := f.admin.Keys(t.Context(), pattern).Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// entry is the single entry there is.
func (f *fleet) entry(t *testing.T) string {
	t.Helper()
	keys := f.keys(t, "sts:1:token:*")
	if len(keys) != 1 {
		t.Fatalf("%d entries, want one", len(keys))
	}
	return keys[0]
}

func (f *fleet) value(t *testing.T, key string) string {
	t.Helper()
	value, err := f.admin.Get(t.Context(), key).Result()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func (f *fleet) set(t *testing.T, key, value string) {
	t.Helper()
	if err := f.admin.Set(t.Context(), key, value, time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
}

func wantCache(t *testing.T, token exchange.Token, want exchange.Cache) {
	t.Helper()
	if token.Cache != want {
		t.Errorf("the token came from %q, want %q", token.Cache, want)
	}
}

// The suite of all caches over a Redis that two replicas share.
func TestTokensOverRedis(t *testing.T) {
	f := newFleet(t, 0, patient)
	storetest.Tokens(t, func(t *testing.T, c storetest.TokensConfig) (one, other storetest.TokensHandle) {
		must(t, f.redis.Flush())
		open := func() storetest.TokensHandle {
			metrics := prometheus.NewRegistry()
			shared := f.dial(t, f.redis.Address, patient, metrics)
			tokens, err := store.NewTokens(store.TokensConfig{
				Minter: c.Minter, Recorder: c.Recorder, AEAD: c.AEAD, Redis: shared, Log: discard(), Now: c.Now, Metrics: metrics,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { must(t, tokens.Close(context.Background())) })
			return storetest.TokensHandle{Tokens: tokens, Metrics: metrics}
		}
		return open(), open()
	})
	eventually(t, "all locks are given back", func() bool { return len(f.keys(t, "sts:1:lock:*")) == 0 })
}

func TestReplicasShareAToken(t *testing.T) {
	f := newFleet(t, 2, patient)
	one, other := f.replicas[0], f.replicas[1]
	minted := one.get(t, grant(), 24*time.Hour)
	wantCache(t, minted, exchange.CacheMinted)
	shared := other.get(t, grant(), 24*time.Hour)
	wantCache(t, shared, exchange.CacheRedis)
	wantCache(t, other.get(t, grant(), 24*time.Hour), exchange.CacheMemory)
	if minted.Text != shared.Text || minted.Mint != shared.Mint || !minted.TrueExpiry.Equal(shared.TrueExpiry) {
		t.Error("they are not the same token")
	}
	one.wantMints(t, 1)

	entry := f.entry(t)
	if strings.Contains(f.value(t, entry), shared.Text.Reveal()) {
		t.Error("the token lies in Redis in the clear")
	}
	life, err := f.admin.PTTL(t.Context(), entry).Result()
	if want := time.Hour - 45*time.Second; err != nil || life > want || life < want-10*time.Second {
		t.Errorf("the entry lives for %v, %v; want %v", life, err, want)
	}
}

// A replica that dies while it mints leaves its lock behind. The next waits for as long as that lasts, and one mints.
func TestTheLocksHolderDies(t *testing.T) {
	f := newFleet(t, 3, patient)
	f.replicas[0].get(t, grant(), 24*time.Hour)
	entry := f.entry(t)
	lock := strings.Replace(entry, "token", "lock", 1)
	f.admin.Del(t.Context(), entry)
	f.admin.Set(t.Context(), lock, "a dead one", 700*time.Millisecond)
	f.clock.Add(time.Hour)
	started := time.Now()
	var all sync.WaitGroup
	for _, r := range f.replicas {
		all.Go(func() { r.get(t, grant(), 24*time.Hour) })
	}
	all.Wait()
	f.replicas[0].wantMints(t, 2)
	if took := time.Since(started); took < 600*time.Millisecond {
		t.Errorf("nobody waited for the lock: it took %v", took)
	}
}

// A lock is held for as long as it is needed, however long that is.
func TestTheLockIsKept(t *testing.T) {
	f := newFleet(t, 2, patient)
	one, other := f.replicas[0].redis, f.replicas[1].redis
	const ttl = 2 * time.Second
	unlock, ok, err := one.TryLock(t.Context(), "x", ttl)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	eventually(t, "it is older than it was made for", func() bool {
		if _, ok, err := other.TryLock(t.Context(), "x", ttl); ok || err != nil {
			t.Fatal("a lock that is held was taken", err)
		}
		return f.replicas[0].metric(t, "sts_redis_calls_total", "operation", "extend", "result", "ok") > 6 // each is a quarter of ttl
	})
	unlock()
	eventually(t, "the lock is free", func() bool {
		unlock, ok, err := other.TryLock(t.Context(), "x", ttl)
		if ok {
			unlock()
		}
		return ok && err == nil
	})
}

// A lock that was lost is not given back in the next holder's stead.
func TestALostLockIsAnothers(t *testing.T) {
	f := newFleet(t, 1, patient)
	unlock, ok, err := f.replicas[0].redis.TryLock(t.Context(), "x", time.Hour)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	f.set(t, "sts:1:lock:x", "another's")
	unlock()
	if err := f.replicas[0].redis.Close(); err != nil { // which waits for what works for locks
		t.Fatal(err)
	}
	if f.value(t, "sts:1:lock:x") != "another's" {
		t.Error("it has taken another's lock away")
	}
}

func TestTamperedEntries(t *testing.T) {
	for _, c := range []struct {
		name   string
		tamper func(t *testing.T, f *fleet, mine string)
	}{
		{"a flipped bit", func(t *testing.T, f *fleet, mine string) {
			value := []byte(f.value(t, mine))
			value[len(value)/2] ^= 1
			f.set(t, mine, string(value))
		}},
		{"cut short", func(t *testing.T, f *fleet, mine string) {
			value := f.value(t, mine)
			f.set(t, mine, value[:len(value)-1])
		}},
		{"another grant's", func(t *testing.T, f *fleet, mine string) {
			f.admin.Del(t.Context(), mine)
			other := grant()
			other.ApplicationID = "99999999-2222-3333-4444-555555555555"
			f.replicas[0].get(t, other, 24*time.Hour)
			f.set(t, mine, f.value(t, f.entry(t)))
		}},
		{"another step's", func(t *testing.T, f *fleet, mine string) {
			value := f.value(t, mine)
			f.admin.Del(t.Context(), mine)
			f.replicas[0].get(t, grant(), 10*time.Minute)
			short := f.entry(t)
			f.set(t, short, value)
		}},
		{"empty of meaning", func(t *testing.T, f *fleet, mine string) { f.set(t, mine, "x") }},
		{"far too long", func(t *testing.T, f *fleet, mine string) { f.set(t, mine, strings.Repeat("x", 1<<20)) }},
		{"not even a text", func(t *testing.T, f *fleet, mine string) {
			f.admin.Del(t.Context(), mine)
			f.admin.LPush(t.Context(), mine, "x")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t, 1, patient)
			f.replicas[0].get(t, grant(), 24*time.Hour)
			c.tamper(t, f, f.entry(t))
			before := f.minter.Count()

			reader := f.join(t, patient, f.aead)
			wantCache(t, reader.get(t, grant(), 24*time.Hour), exchange.CacheMinted)
			reader.wantMints(t, before+1)
			if got := reader.metric(t, "sts_tokens_dropped_total"); got != 1 {
				t.Errorf("%v entries were counted as dropped, want 1", got)
			}
			// What was minted has taken its place.
			last := f.join(t, patient, f.aead)
			wantCache(t, last.get(t, grant(), 24*time.Hour), exchange.CacheRedis)
			if err := reader.redis.Health(); err != nil {
				t.Error(err)
			}
		})
	}
}

// The end is believed only from inside the seal: an entry that is put back after its token's end is of no use.
func TestAnOldEntryIsPutBack(t *testing.T) {
	f := newFleet(t, 1, patient)
	f.replicas[0].get(t, grant(), 24*time.Hour)
	entry := f.entry(t)
	value := f.value(t, entry)
	f.clock.Add(time.Hour)
	f.set(t, entry, value)
	reader := f.join(t, patient, f.aead)
	wantCache(t, reader.get(t, grant(), 24*time.Hour), exchange.CacheMinted)
	if got := reader.metric(t, "sts_tokens_dropped_total", "tier", "redis", "cause", "stale"); got != 1 {
		t.Errorf("%v entries were counted as put back, want 1", got)
	}
	wantCache(t, f.join(t, patient, f.aead).get(t, grant(), 24*time.Hour), exchange.CacheRedis)
}

func TestKeysets(t *testing.T) {
	manager := keyset.NewManager()
	first, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	second, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	with := func(primary uint32) tink.AEAD {
		if err := manager.SetPrimary(primary); err != nil {
			t.Fatal(err)
		}
		handle, err := manager.Handle()
		if err != nil {
			t.Fatal(err)
		}
		a, err := aead.New(handle)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	before, after := with(first), with(second)
	for _, c := range []struct {
		name   string
		reader tink.AEAD
		want   exchange.Cache
	}{
		{"a rotation opens what was sealed before", after, exchange.CacheRedis},
		{"another keyset opens nothing", newAEAD(t), exchange.CacheMinted},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t, 0, patient)
			f.join(t, patient, before).get(t, grant(), 24*time.Hour)
			wantCache(t, f.join(t, patient, c.reader).get(t, grant(), 24*time.Hour), c.want)
		})
	}
}

// eventually waits for what happens in the background.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
