package issuer_test

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/issuer"
)

const (
	hour     = time.Hour
	day      = 24 * hour
	ahead    = day
	rotation = 30 * day
)

func TestFirstKeySignsAtOnce(t *testing.T) {
	w := newWorld(t)
	i := w.start(t)
	claims := []byte(`{"sub":"11111111-2222-3333-4444-555555555555"}`)
	text, err := i.Sign(t.Context(), claims, w.now().Add(hour))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(text.Reveal(), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	set := parseJWKS(t, i.JWKS())
	if len(set.Keys) != 1 {
		t.Fatalf("%d keys are published, want 1", len(set.Keys))
	}
	payload, err := jws.Verify(set.Keys[0])
	if err != nil || string(payload) != string(claims) {
		t.Errorf("verified %q, %v", payload, err)
	}
	sum, err := set.Keys[0].Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	kid := base64.RawURLEncoding.EncodeToString(sum)
	var header map[string]any
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(text.Reveal(), ".")[0])
	if err := errors.Join(err, json.Unmarshal(b, &header)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"alg": "ES256", "typ": "JWT", "kid": kid}, header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"key.create " + kid, "key.activate " + kid}, w.recorder.actions()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// The JWKS holds public members only, whatever happens to the library.
func TestJWKSIsPublic(t *testing.T) {
	w := newWorld(t)
	i := w.start(t)
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(i.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		for member := range k {
			if !slices.Contains([]string{"kty", "crv", "x", "y", "kid", "alg", "use"}, member) {
				t.Errorf("the JWKS has a member %q", member)
			}
		}
		if k["alg"] != "ES256" || k["use"] != "sig" || k["crv"] != "P-256" {
			t.Errorf("key %v", k)
		}
	}
}

func TestRestartSignsWithTheSameKey(t *testing.T) {
	w := newWorld(t)
	first := w.kid(t, w.start(t))
	w.add(3 * day)
	if again := w.kid(t, w.start(t)); again != first {
		t.Errorf("after a restart %s signs, before it was %s", again, first)
	}
}

// Replicas that start together on an empty ledger sign with one key, and what they publish is the same.
func TestFirstStartRace(t *testing.T) {
	w := newWorld(t)
	var issuers [8]*issuer.Issuer
	var wg sync.WaitGroup
	for n := range issuers {
		wg.Go(func() { issuers[n] = w.start(t) })
	}
	wg.Wait()
	for _, i := range issuers {
		if w.kid(t, i) != w.kid(t, issuers[0]) || string(i.JWKS()) != string(issuers[0].JWKS()) {
			t.Fatal("two replicas have different keys")
		}
	}
	// An event that two replicas recorded is one event.
	ids := map[string]bool{}
	for _, e := range w.recorder.all() {
		ids[e.ID] = true
	}
	if len(ids) != 2 {
		t.Errorf("%d events, want the making and the activation of one key", len(ids))
	}
}

func TestRotation(t *testing.T) {
	w := newWorld(t)
	i := w.start(t)
	first := w.kid(t, i)
	for _, step := range []struct {
		after     time.Duration // since the first start
		published int
		signs     bool // the first key still signs
	}{
		{rotation - ahead - time.Second, 1, true},
		{rotation - ahead, 2, true},
		{rotation - time.Second, 2, true},
		{rotation, 2, false},
		{rotation + issuer.MaxLifetime, 2, false},
		{rotation + issuer.MaxLifetime + hour, 1, false},
	} {
		w.set(step.after)
		w.advance(t, i)
		if n := len(parseJWKS(t, i.JWKS()).Keys); n != step.published {
			t.Errorf("after %v %d keys are published, want %d", step.after, n, step.published)
		}
		if signs := w.kid(t, i) == first; signs != step.signs {
			t.Errorf("after %v the first key signs: %v, want %v", step.after, signs, step.signs)
		}
	}
	second := w.kid(t, i)
	if diff := cmp.Diff([]string{"key.create " + first, "key.activate " + first, "key.create " + second, "key.activate " + second, "key.retire " + first},
		w.recorder.actions()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// The activation needs no tick: it is a fact of the clock.
func TestActivationBetweenTicks(t *testing.T) {
	w := newWorld(t)
	i := w.start(t)
	first := w.kid(t, i)
	w.set(rotation - ahead)
	w.advance(t, i)
	w.set(rotation)
	if w.kid(t, i) == first {
		t.Error("the old key signs beyond its time")
	}
}

// A service that slept for a year publishes a successor before it uses it, as always.
func TestLongSleep(t *testing.T) {
	w := newWorld(t)
	first := w.kid(t, w.start(t))
	w.set(365 * day)
	i := w.start(t)
	if w.kid(t, i) != first || len(parseJWKS(t, i.JWKS()).Keys) != 2 {
		t.Error("the successor is not published ahead")
	}
	w.add(ahead - time.Second)
	if w.kid(t, i) != first {
		t.Error("the successor signs too early")
	}
	w.add(time.Second)
	if w.kid(t, i) == first {
		t.Error("the successor does not sign")
	}
}

// Whatever the clock, restarts and outages: a key that signs has been published for publish_ahead, the first one aside,
// and stays published until its assertions are over. Seen from outside, through the JWKS alone.
func TestLifeProperty(t *testing.T) {
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t)
		replicas := []*issuer.Issuer{w.start(t), w.start(t)}
		seen := map[string]time.Time{}  // kid, when it was first published
		until := map[string]time.Time{} // kid, the end of the last assertion that it signed
		first := w.kid(t, replicas[0])
		for range 300 {
			w.add(time.Duration(random.Int64N(int64(18 * hour))))
			n := random.IntN(len(replicas))
			w.ledger.setAway(random.IntN(6) == 0)
			if random.IntN(10) == 0 && !w.ledger.isAway() {
				replicas[n] = w.start(t)
			}
			_ = replicas[n].Advance(t.Context()) // may fail: the ledger is away
			r := replicas[n]
			var published []string
			for _, k := range parseJWKS(t, r.JWKS()).Keys {
				published = append(published, k.KeyID)
				if _, ok := seen[k.KeyID]; !ok {
					seen[k.KeyID] = w.now()
				}
			}
			for kid, end := range until {
				if w.now().Before(end) && !slices.Contains(published, kid) && r.Health() == nil {
					t.Fatalf("seed %d: %s left the JWKS before %v", seed, kid, end)
				}
			}
			end := w.now().Add(time.Duration(random.Int64N(int64(issuer.MaxLifetime))))
			text, err := r.Sign(t.Context(), []byte("{}"), end)
			if err != nil {
				if !w.ledger.isAway() {
					t.Fatalf("seed %d: %v", seed, err)
				}
				continue
			}
			kid := kidOf(t, text)
			if since, ok := seen[kid]; kid != first && (!ok || w.now().Sub(since) < ahead) {
				t.Fatalf("seed %d: %s signs %v after it was published", seed, kid, w.now().Sub(since))
			}
			if end.After(until[kid]) {
				until[kid] = end
			}
		}
		if len(seen) < 3 {
			t.Errorf("seed %d saw only %d keys", seed, len(seen))
		}
	}
}

func TestLedgerAway(t *testing.T) {
	w := newWorld(t)
	i := w.start(t)
	first := w.kid(t, i)
	w.ledger.setAway(true)
	if err := i.Advance(t.Context()); err == nil || i.Health() == nil {
		t.Errorf("a ledger that is away goes unnoticed: %v, %v", err, i.Health())
	}
	w.set(ahead + 10*hour)
	if got := w.kid(t, i); got != first {
		t.Errorf("%s signs, want the known key", got)
	}
	// Another replica may have replaced the key by now; it is published for so long that assertions within are good.
	if _, err := i.Sign(t.Context(), []byte("{}"), w.now().Add(issuer.MaxLifetime)); exchange.AsError(err) == nil || exchange.AsError(err).Reason != exchange.ReasonLedgerUnavailable {
		t.Errorf("signed beyond what can be known: %v", err)
	}
	w.ledger.setAway(false)
	if _, err := i.Sign(t.Context(), []byte("{}"), w.now().Add(issuer.MaxLifetime)); err != nil {
		t.Errorf("after the outage: %v", err)
	}
	if err := i.Health(); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

// A new key on a ledger that was swapped under a running service would sign at once, and be known to nobody.
func TestLedgerLost(t *testing.T) {
	w := newWorld(t)
	i := w.start(t)
	first := w.kid(t, i)
	w.ledger.wipe()
	if err := i.Advance(t.Context()); err == nil || !strings.Contains(err.Error(), "restore it") {
		t.Errorf("error %v", err)
	}
	if w.kid(t, i) != first {
		t.Error("another key signs")
	}
}

func TestStartRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(w *world)
		want  string
	}{
		"ledger away":    {func(w *world) { w.ledger.setAway(true) }, "reading the signing keys"},
		"another keyset": {func(w *world) { w.aead = newAEAD(w.t) }, "store.keyset_file"},
		"entry damaged":  {func(w *world) { w.ledger.replace(func([]byte) []byte { return []byte("{") }) }, "restore the ledger"},
		"entry empty":    {func(w *world) { w.ledger.replace(func([]byte) []byte { return []byte("{}") }) }, "restore the ledger"},
		"another algorithm": {func(w *world) {
			w.ledger.replace(func(b []byte) []byte { return []byte(strings.Replace(string(b), "ES256", "ES512", 1)) })
		}, `"ES512"`},
		"audit log away":    {func(w *world) { w.ledger.wipe(); w.recorder.setAway(true) }, "recording"},
		"rotation too fast": {func(w *world) { w.rotation = ahead }, "key_rotation"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.start(t)
			test.spoil(w)
			before := w.ledger.dump()
			_, err := w.tryStart(t)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
			if name != "audit log away" && w.ledger.dump() != before {
				t.Error("a start that failed has changed the ledger")
			}
		})
	}
}

// What the audit log missed it gets later, with the ids that it would have had.
func TestEventsAreOwed(t *testing.T) {
	w := newWorld(t)
	w.recorder.setAway(true)
	if _, err := w.tryStart(t); err == nil {
		t.Fatal("started without a record")
	}
	w.recorder.setAway(false)
	i := w.start(t)
	w.advance(t, i)
	kid := w.kid(t, i)
	if diff := cmp.Diff([]string{"key.create " + kid, "key.activate " + kid}, w.recorder.actions()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestSignRefusesLongAssertions(t *testing.T) {
	w := newWorld(t)
	i := w.start(t)
	if _, err := i.Sign(t.Context(), []byte("{}"), w.now().Add(issuer.MaxLifetime+time.Second)); err == nil {
		t.Error("signed an assertion that may outlive its key")
	}
}

func TestRunAdvances(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		w.clock = time.Now
		i, err := w.tryStart(t)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { i.Run(ctx) })
		w.ledger.setAway(true)
		time.Sleep(1100 * time.Millisecond) // of the bubble's time
		synctest.Wait()
		if i.Health() == nil {
			t.Error("the outage goes unnoticed")
		}
		w.ledger.setAway(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if err := i.Health(); err != nil {
			t.Errorf("the end of the outage goes unnoticed: %v", err)
		}
		stop()
		wg.Wait()
	})
}

func BenchmarkSign(b *testing.B) {
	w := newWorld(b)
	i, err := w.tryStart(b)
	if err != nil {
		b.Fatal(err)
	}
	claims := []byte(fmt.Sprintf(`{"iss":"https://sts.acme.example","sub":%q,"exp":1}`, strings.Repeat("a", 36)))
	for b.Loop() {
		if _, err := i.Sign(b.Context(), claims, w.now().Add(hour)); err != nil {
			b.Fatal(err)
		}
	}
}

// world is what an issuer stands in.
type world struct {
	t        testing.TB
	ledger   *memoryLedger
	recorder *recorder
	aead     tink.AEAD
	rotation time.Duration
	clock    func() time.Time

	mu     sync.Mutex
	offset time.Duration
}

var epoch = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

func newWorld(t testing.TB) *world {
	w := &world{t: t, ledger: &memoryLedger{}, recorder: &recorder{}, aead: newAEAD(t), rotation: rotation}
	w.clock = w.now
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return epoch.Add(w.offset)
}

func (w *world) add(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offset += d
}

func (w *world) set(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offset = d
}

func (w *world) tryStart(t testing.TB) (*issuer.Issuer, error) {
	return issuer.New(t.Context(), issuer.Config{
		Ledger: w.ledger, Recorder: w.recorder, AEAD: w.aead, Log: slog.New(slog.DiscardHandler),
		PublishAhead: ahead, Rotation: w.rotation, Now: w.clock,
	})
}

func (w *world) start(t testing.TB) *issuer.Issuer {
	t.Helper()
	i, err := w.tryStart(t)
	if err != nil {
		t.Error(err)
	}
	return i
}

func (w *world) advance(t *testing.T, i *issuer.Issuer) {
	t.Helper()
	if err := i.Advance(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// kid signs something and returns the id of the key that did, once the JWKS has verified it.
func (w *world) kid(t *testing.T, i *issuer.Issuer) string {
	t.Helper()
	text, err := i.Sign(t.Context(), []byte("{}"), w.now().Add(hour))
	if err != nil {
		t.Fatal(err)
	}
	kid := kidOf(t, text)
	jws, err := jose.ParseSignedCompact(text.Reveal(), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	set := parseJWKS(t, i.JWKS())
	keys := set.Key(kid)
	if len(keys) != 1 {
		t.Fatalf("%s signs and is not published", kid)
	}
	if _, err := jws.Verify(keys[0]); err != nil {
		t.Fatal(err)
	}
	return kid
}

func kidOf(t *testing.T, text exchange.Secret) string {
	t.Helper()
	jws, err := jose.ParseSignedCompact(text.Reveal(), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	return jws.Signatures[0].Protected.KeyID
}

func parseJWKS(t *testing.T, text []byte) (set jose.JSONWebKeySet) {
	t.Helper()
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	return set
}

func newAEAD(t testing.TB) tink.AEAD {
	t.Helper()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	a, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
