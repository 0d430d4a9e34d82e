package store_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/store"
)

// handedTo is an attempt that was granted: a token by that text, which lives for that long, for a client.
func handedTo(t testing.TB, client, text string, now time.Time, life time.Duration) *exchange.Attempt {
	t.Helper()
	id, err := exchange.NewID(now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &exchange.Attempt{
		Call:    &exchange.Call{Client: &exchange.Client{ID: client}},
		Subject: &exchange.Identity{Issuer: "https://idp.example", Subject: "ada"},
		Token: exchange.Token{
			Text: exchange.Secret(text), SHA256: sha256.Sum256([]byte(text)), Mint: exchange.MintID(id),
			TrueExpiry: now.Add(life).Truncate(time.Second), Scopes: []string{"sql"},
		},
	}
}

// newHandouts makes Handouts of a replica, or without any.
func newHandouts(t testing.TB, r *store.Redis, sealer tink.AEAD, now func() time.Time) *store.Handouts {
	t.Helper()
	h, err := store.NewHandouts(store.HandoutsConfig{AEAD: sealer, Log: slog.New(slog.DiscardHandler), Redis: r, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// wantStanding looks for a token in a client's hands: "own", "others", "unknown" or an error's reason.
func wantStanding(t testing.TB, h *store.Handouts, client, text, want string) *exchange.Handout {
	t.Helper()
	found, others, err := h.Find(t.Context(), sha256.Sum256([]byte(text)), client)
	got := "unknown"
	switch {
	case err != nil:
		got = reason(err)
	case found != nil:
		got = "own"
	case others:
		got = "others"
	}
	if got != want || found != nil && others {
		t.Errorf("%s of %s is %s (%v), want %s", text, client, got, err, want)
	}
	return found
}

func TestHandoutsInMemory(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	h := newHandouts(t, nil, newAEAD(t), func() time.Time { return now })
	wantStanding(t, h, "kong", "a", "unknown")
	a := handedTo(t, "kong", "a", now, time.Hour)
	h.Note(t.Context(), a)
	found := wantStanding(t, h, "kong", "a", "own")
	if diff := cmp.Diff(exchange.HandoutOf(a), *found); diff != "" {
		t.Error(diff)
	}
	wantStanding(t, h, "job", "a", "others")
	h.Note(t.Context(), handedTo(t, "job", "a", now, time.Hour))
	wantStanding(t, h, "job", "a", "own")
	wantStanding(t, h, "kong", "a", "own")
	wantStanding(t, h, "kong", "A", "unknown")
	wantStanding(t, h, "", "a", "others")
}

// What one replica handed out every other knows, to the last detail; in Redis it lies sealed, under names that tell
// nothing, and ends with its token.
func TestHandoutsShared(t *testing.T) {
	f := newFleet(t, 2, patient)
	one, other := newHandouts(t, f.replicas[0].redis, f.aead, f.now), newHandouts(t, f.replicas[1].redis, f.aead, f.now)
	a := handedTo(t, "kong", "a.token", f.now(), time.Hour)
	a.Decision.Grant.Personal = true
	a.Actor = &exchange.Identity{Issuer: "https://idp.example", Subject: "agent"}
	one.Note(t.Context(), a)
	found := wantStanding(t, other, "kong", "a.token", "own")
	if diff := cmp.Diff(exchange.HandoutOf(a), *found); diff != "" {
		t.Error(diff)
	}
	wantStanding(t, other, "job", "a.token", "others")
	wantStanding(t, other, "kong", "another", "unknown")

	// Another client's hand-out of the same token, at the other replica, takes nothing from the first.
	other.Note(t.Context(), handedTo(t, "job", "a.token", f.now(), time.Hour))
	late := newHandouts(t, f.replicas[0].redis, f.aead, f.now)
	for _, h := range []*store.Handouts{one, other, late} {
		wantStanding(t, h, "kong", "a.token", "own")
		wantStanding(t, h, "job", "a.token", "own")
		wantStanding(t, h, "poster", "a.token", "others")
	}
	keys := f.keys(t, "sts:1:handout:*")
	if len(keys) != 3 {
		t.Errorf("keys %q", keys)
	}
	sum := sha256.Sum256([]byte("a.token"))
	for _, key := range keys {
		for _, secret := range []string{"ada", "kong", "a.token", "sql", fmt.Sprintf("%x", sum)} {
			if strings.Contains(key+f.value(t, key), secret) {
				t.Errorf("%s tells %q", key, secret)
			}
		}
		if life, err := f.admin.PTTL(t.Context(), key).Result(); err != nil || life <= 50*time.Minute || life > time.Hour {
			t.Errorf("%s lives for %v, %v", key, life, err)
		}
	}
}

// What was changed, moved, or sealed with another keyset is not believed.
func TestHandoutsThatDoNotOpen(t *testing.T) {
	f := newFleet(t, 1, patient)
	h := newHandouts(t, f.replicas[0].redis, f.aead, f.now)
	fresh := func() *store.Handouts { return newHandouts(t, f.replicas[0].redis, f.aead, f.now) }
	h.Note(t.Context(), handedTo(t, "kong", "a", f.now(), time.Hour))
	foreign := newHandouts(t, f.replicas[0].redis, newAEAD(t), f.now)
	wantStanding(t, foreign, "kong", "a", "unknown")
	of := f.keys(t, "sts:1:handout:*")
	h.Note(t.Context(), handedTo(t, "kong", "b", f.now(), time.Hour))
	values := map[string]string{}
	for _, key := range f.keys(t, "sts:1:handout:*") {
		values[key] = f.value(t, key)
	}
	// Whatever stands under a's names, it is not what was sealed under them.
	for _, key := range of {
		for moved, value := range values {
			if moved != key {
				f.set(t, key, value)
				wantNotOwn(t, fresh(), key == of[0])
			}
		}
		f.set(t, key, values[key][:len(values[key])-1])
	}
	wantStanding(t, fresh(), "kong", "a", "unknown")
	if err := f.admin.LPush(t.Context(), of[0]+"x", "list").Err(); err != nil {
		t.Fatal(err)
	}
	if err := f.admin.Rename(t.Context(), of[0]+"x", of[0]).Err(); err != nil {
		t.Fatal(err)
	}
	wantStanding(t, fresh(), "kong", "a", "unknown")
}

// wantNotOwn holds that no value of another name is taken for a hand-out to kong of token a. While the other of a's two
// names still has its own value, that is believed.
func wantNotOwn(t *testing.T, h *store.Handouts, first bool) {
	t.Helper()
	found, others, err := h.Find(t.Context(), sha256.Sum256([]byte("a")), "kong")
	if err != nil || !first && (found != nil || others) {
		t.Errorf("%+v, %v, %v", found, others, err)
	}
}

// Without Redis nobody can tell what others handed out, and that is an error; what is known here is told. What could not
// be shared is shared when Redis is back.
func TestHandoutsWithoutRedis(t *testing.T) {
	f := newFleet(t, 2, patient)
	one, other := newHandouts(t, f.replicas[0].redis, f.aead, f.now), newHandouts(t, f.replicas[1].redis, f.aead, f.now)
	one.Note(t.Context(), handedTo(t, "kong", "before", f.now(), time.Hour))
	f.redis.Kill()
	one.Note(t.Context(), handedTo(t, "kong", "meanwhile", f.now(), time.Hour))
	for _, text := range []string{"before", "meanwhile"} {
		wantStanding(t, one, "kong", text, "own")
		wantStanding(t, one, "job", text, "ledger_unavailable")
		wantStanding(t, other, "kong", text, "ledger_unavailable")
	}
	if err := f.redis.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { one.Run(ctx) })
	defer running.Wait()
	defer cancel()
	f.clock.Add(10 * time.Second) // what failed shows in Redis' health for a few seconds
	eventually(t, "the hand-out is shared", func() bool {
		found, _, err := other.Find(t.Context(), sha256.Sum256([]byte("meanwhile")), "kong")
		return err == nil && found != nil
	})
}

func TestHandoutsAreBounded(t *testing.T) {
	now := time.Now()
	h, err := store.NewHandouts(store.HandoutsConfig{AEAD: newAEAD(t), Log: slog.New(slog.DiscardHandler), MaxEntries: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	for i := range 1000 {
		h.Note(t.Context(), handedTo(t, "kong", fmt.Sprint(i), now, time.Hour))
	}
	eventually(t, "the bound holds", func() bool {
		known := 0
		for i := range 1000 {
			if found, _, err := h.Find(t.Context(), sha256.Sum256([]byte(fmt.Sprint(i))), "kong"); err == nil && found != nil {
				known++
			}
		}
		return known <= 120 && known >= 50
	})
}

func TestHandoutsConfig(t *testing.T) {
	for name, c := range map[string]store.HandoutsConfig{
		"AEAD": {Log: slog.New(slog.DiscardHandler)}, "Log": {AEAD: newAEAD(t)}, "MaxEntries": {AEAD: newAEAD(t), Log: slog.New(slog.DiscardHandler), MaxEntries: -1},
	} {
		if _, err := store.NewHandouts(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// A warm hand-out is known already: one look, and nothing allocated.
func BenchmarkNoteKnown(b *testing.B) {
	h := newHandouts(b, nil, newAEAD(b), time.Now)
	a := handedTo(b, "kong", "a", time.Now(), time.Hour)
	h.Note(b.Context(), a)
	b.ReportAllocs()
	for b.Loop() {
		h.Note(b.Context(), a)
	}
}
