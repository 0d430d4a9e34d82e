package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

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
		w.secrets["redis"] = r.Password
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

// TestReplicasShareTokens is what several replicas promise: one mint for all who miss at the same time, and one more at
// most where the replica that mints is killed.
func TestReplicasShareTokens(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	w := newWorld(t, on(postgres.NewDatabase(t)), over(redis, "1s"), // a busy machine meets these times
		func(_ *world, s *setup) { s.config["databricks"].(object)["timeout"] = "10s" })
	replicas := []*world{w, w.Replica(), w.Replica()}
	for _, r := range replicas {
		r.http.Timeout = 2 * patience
		mustGrant(t, r.Ask(token(r.lasting("ada", "data-eng")), as("poster")), tenMinutes) // keys are fetched
	}
	if got := w.mints(); got != 1 {
		t.Errorf("%d mints, one after the other", got)
	}

	slow := w.dbx.AddFault(emulator.Fault{Route: databricks.TokenRoute, Delay: 500 * time.Millisecond})
	before := w.mints()
	eve := w.lasting("eve", "etl")
	var all sync.WaitGroup
	answers := make([]answer, 1000)
	for i := range answers {
		all.Go(func() { answers[i] = replicas[i%3].Ask(token(eve)) })
	}
	all.Wait()
	slow()
	if got := w.mints() - before; got != 1 {
		t.Errorf("%d mints for %d misses over 3 replicas", got, len(answers))
	}
	caches := map[string]int{}
	for i, a := range answers {
		if a.Status != http.StatusOK || a.AccessToken != answers[0].AccessToken {
			t.Fatalf("caller %d: status %d, another token than caller 0: %s", i, a.Status, a.Body)
		}
	}
	for _, r := range replicas {
		for _, e := range r.Of("exchange") {
			caches[e.Cache]++
		}
	}
	if caches["minted"] == 0 || caches["redis"] == 0 {
		t.Errorf("tokens came from %v", caches)
	}
	holdsNoTokenInTheClear(t, w, redis)

	// The replica that mints is killed.
	hung := w.dbx.AddFault(emulator.Fault{Route: databricks.TokenRoute, Delay: time.Minute})
	before = w.mints()
	zoe := w.lasting("zoe", "legacy")
	go func() { _, _ = replicas[2].try(replicas[2].tokenRequest(zoe)) }()
	w.Eventually("it mints", func() bool { return w.mints() == before+1 })
	hung()
	replicas[2].sts.Kill()
	for _, r := range replicas[:2] {
		all.Go(func() { mustGrant(t, r.Ask(token(zoe)), tenMinutes) })
	}
	all.Wait()
	if got := w.mints() - before; got != 2 {
		t.Errorf("%d mints, want one of the dead and one more", got)
	}
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

// TestRedisGoes holds that no exchange fails while Redis is down or hung, that /readyz says so, and that all is well again
// by itself, with the same signing key.
func TestRedisGoes(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	w := newWorld(t, on(postgres.NewDatabase(t)), over(redis, "50ms"))
	keys := w.JWKS()
	for _, c := range []struct {
		name          string
		trouble, mend func() error
	}{
		{"killed", func() error { redis.Kill(); return nil }, redis.Start},
		{"hung", redis.Hang, redis.Resume},
	} {
		mustGrant(t, w.Ask(), tenMinutes)
		if err := c.trouble(); err != nil {
			t.Fatal(err)
		}
		w.Eventually(c.name+": /readyz says so", func() bool {
			ready := w.Ready()
			return ready.HTTP == http.StatusOK && ready.Status == "degraded" && ready.Parts["redis"].Reason != ""
		})
		for _, group := range []string{"data-eng", "etl", "legacy", "private"} {
			if a := w.Ask(token(w.lasting(c.name, group))); a.Status != http.StatusOK {
				t.Errorf("%s: %d %s", c.name, a.Status, a.Body)
			}
		}
		if err := c.mend(); err != nil {
			t.Fatal(err)
		}
		w.Eventually(c.name+": all is well again", func() bool { return w.Ready().Status == "ok" })
	}
	if again := w.JWKS(); again != keys {
		t.Error("the signing keys have changed")
	}
}
