package e2e_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/databricks"
	"github.com/lakegate/sts/internal/testservice"
)

// TestRowsJ11J14 runs the rows about the tier that replicas share, through the entrances of two of them. What a load of
// requests makes of the same outages, TestRedisGoes and TestReplicasShareTokens hold.
func TestRowsJ11J14(t *testing.T) {
	t.Parallel()
	shared := startRedis(t)
	one := newWorld(t, on(postgres.NewDatabase(t)), over(shared, "1s"), // a busy machine meets this time
		func(_ *world, s *setup) { s.config["databricks"].(object)["timeout"] = "10s" })
	two := one.Replica()
	beside := func(w *world) *world { // the other replica, asked in the same way
		other := two.Through(w.door)
		other.t, other.base = w.t, w.base
		return other
	}
	// nobody else's: each subject of this principal has a token of its own.
	alone := func(w *world, sub string) func(*request) { return token(w.lasting(sub, "private")) }

	eachOf(t, singles, one, "J11", func(t *testing.T, w *world) {
		replicas := []*world{w, beside(w)}
		for _, r := range replicas {
			mustGrant(t, r.Probe(alone(r, "before")), tenMinutes) // keys are fetched
		}
		defer w.dbx.AddFault(emulator.Fault{Route: databricks.TokenRoute, Delay: 200 * 1e6})()
		ada, before := alone(w, "ada"), w.mints()
		answers := make([]answer, 100)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { answers[i] = replicas[i%2].Probe(ada) })
		}
		all.Wait()
		for i, a := range answers {
			if mustGrant(t, a, tenMinutes); a.AccessToken != answers[0].AccessToken {
				t.Fatalf("caller %d got another token than caller 0", i)
			}
		}
		if n := w.mints() - before; n != 1 {
			t.Errorf("%d mints for %d misses over two replicas", n, len(answers))
		}
	})
	eachOf(t, singles, one, "J14", func(t *testing.T, w *world) {
		other := beside(w)
		good := w.Ask(alone(w, "good"))
		mustGrant(t, good, tenMinutes)
		if a := other.Probe(alone(w, "good")); a.AccessToken != good.AccessToken || other.Exchange(a.DecisionID).Cache != "redis" {
			t.Fatalf("an entry in good order isn't taken: %s", a.Body)
		}
		for what, spoil := range map[string]func(entries map[string]string){
			"corrupted": func(entries map[string]string) {
				for key, sealed := range entries {
					entries[key] = sealed[:len(sealed)/2] + string(sealed[len(sealed)/2]^1) + sealed[len(sealed)/2+1:]
				}
			},
			"cut off": func(entries map[string]string) {
				for key, sealed := range entries {
					entries[key] = sealed[:len(sealed)/2]
				}
			},
			"moved": func(entries map[string]string) {
				var last string
				for key := range entries {
					if last != "" {
						entries[key], entries[last] = entries[last], entries[key]
					}
					last = key
				}
			},
		} {
			t.Run(what, func(t *testing.T) {
				mine := map[string]string{}
				for i := range 2 {
					sub := fmt.Sprint(what, i)
					a := w.Probe(alone(w, sub))
					mustGrant(t, a, tenMinutes)
					mine[sub] = a.AccessToken
				}
				rewrite(t, shared, spoil)
				for sub, spoilt := range mine {
					a := other.Probe(alone(w, sub))
					mustGrant(t, a, tenMinutes)
					if e := other.Exchange(a.DecisionID); a.AccessToken == spoilt || e.Cache != "minted" || e.Principal != "private" {
						t.Errorf("%s: recorded as %+v", sub, e)
					}
					if other := mine[sub]; a.AccessToken == other {
						t.Errorf("%s got what was spoilt", sub)
					}
				}
			})
		}
	})
	for what, outage := range map[string]struct{ trouble, mend func() error }{
		"down": {func() error { shared.Kill(); return nil }, shared.Start},
		"slow": {shared.Hang, shared.Resume},
	} {
		t.Run(what, func(t *testing.T) {
			if err := outage.trouble(); err != nil {
				t.Fatal(err)
			}
			for _, e := range entrances {
				covered.note("J14", e.name)
				w := one.Through(e)
				for i := range 2 {
					a := w.Probe(alone(w, fmt.Sprint(what, e.name, i)))
					mustGrant(t, a, tenMinutes)
					if r := w.Exchange(a.DecisionID); r.Cache != "minted" || r.Principal != "private" || r.Entrance != e.recorded {
						t.Errorf("%s: recorded as %+v", e.name, r)
					}
				}
			}
			if err := outage.mend(); err != nil {
				t.Fatal(err)
			}
			one.Eventually("all is well again", func() bool { return one.Ready().Status == "ok" && two.Ready().Status == "ok" })
		})
	}
}

// rewrite changes all entries of tokens in a Redis.
func rewrite(t *testing.T, r *testservice.Redis, spoil func(entries map[string]string)) {
	t.Helper()
	admin := r.Admin()
	defer func() { _ = admin.Close() }()
	keys, err := admin.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string]string{}
	for _, key := range keys {
		if strings.HasPrefix(key, "sts:1:token:") {
			if entries[key], err = admin.Get(t.Context(), key).Result(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(entries) < 2 {
		t.Fatalf("%d entries to spoil", len(entries))
	}
	spoil(entries)
	for key, sealed := range entries {
		if err := admin.Set(t.Context(), key, sealed, redis.KeepTTL).Err(); err != nil {
			t.Fatal(err)
		}
	}
}
