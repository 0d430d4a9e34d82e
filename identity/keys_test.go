package identity_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
)

const unavailable = exchange.ReasonProviderUnavailable

// F04
func TestUnknownKidAsksOncePerTenSeconds(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	pool := newPool(t, c, p.provider())
	if _, err := verify(t, pool, p.good(t)); err != nil {
		t.Fatal(err)
	}
	if n := p.fetched(); n != 1 {
		t.Fatalf("%d fetches for the first token", n)
	}
	c.move(time.Minute) // past the ask that the first token made
	release := make(chan struct{})
	p.do(func() {
		p.handle = func(w http.ResponseWriter, _ *http.Request) {
			<-release
			p.mu.Lock()
			defer p.mu.Unlock()
			_, _ = io.WriteString(w, p.keySet)
		}
	})
	unknown := sign(t, newECKey(t), object{"alg": "ES256", "kid": "k2"}, goodClaims(c))
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			_, err := verify(t, pool, unknown)
			wantReason(t, "unknown kid", err, exchange.ReasonSubjectTokenInvalid)
		})
	}
	close(release)
	group.Wait()
	if n := p.fetched(); n != 2 {
		t.Errorf("%d fetches, want 1 more for 50 tokens at once", n)
	}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{9 * time.Second, 2}, {time.Second, 3}, {time.Second, 3}, {-time.Hour, 4}} {
		c.move(step.after)
		claims := goodClaims(c)
		_, err := verify(t, pool, sign(t, newECKey(t), object{"alg": "ES256", "kid": "k3"}, claims))
		wantReason(t, "unknown kid", err, exchange.ReasonSubjectTokenInvalid)
		if n := p.fetched(); n != step.want {
			t.Errorf("after %s: %d fetches, want %d", step.after, n, step.want)
		}
	}
	// A bad signature by a known kid is no reason to ask.
	before := p.fetched()
	c.move(time.Minute)
	_, err := verify(t, pool, sign(t, newECKey(t), goodHeader(), goodClaims(c)))
	wantReason(t, "forged", err, exchange.ReasonSubjectTokenInvalid)
	if n := p.fetched(); n != before {
		t.Errorf("a forged signature made us fetch")
	}
}

func TestRotation(t *testing.T) {
	for _, kid := range []string{"k2", ""} {
		c := newClock()
		p := newIDP(t, c)
		header := object{"alg": "ES256"}
		if kid != "" {
			header["kid"] = kid
		}
		pool := newPool(t, c, p.provider())
		old := p.good(t)
		if _, err := verify(t, pool, old); err != nil {
			t.Fatal(err)
		}
		c.move(time.Minute)
		key := newECKey(t)
		p.publish(jwk(t, kid, key.Public()))
		// The new key is found at once, by asking; with that the old one is gone, and what it signed.
		_, err := verify(t, pool, sign(t, key, header, goodClaims(c)))
		wantReason(t, "the new key "+kid, err, "")
		_, err = verify(t, pool, old)
		wantReason(t, "the withdrawn key", err, exchange.ReasonSubjectTokenInvalid)
	}
}

func TestKeyThatStaysKeepsItsTokens(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	pool := newPool(t, c, p.provider())
	token := p.good(t)
	first, err := verify(t, pool, token)
	if err != nil {
		t.Fatal(err)
	}
	p.publish(jwk(t, "k0", newECKey(t).Public()), jwk(t, "k1", p.key.Public()))
	if err := pool.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, err := verify(t, pool, token); err != nil || again != first {
		t.Errorf("the identity was made anew: %v", err)
	}
	// The same kid with another key is another key.
	p.publish(jwk(t, "k1", newECKey(t).Public()))
	if err := pool.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = verify(t, pool, token)
	wantReason(t, "a replaced key", err, exchange.ReasonSubjectTokenInvalid)
}

// F28
func TestOutage(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	provider := p.provider()
	provider.JWKSMaxStale = time.Hour
	pool := newPool(t, c, provider)
	cached := sign(t, p.key, goodHeader(), both2(goodClaims(c), set("exp", c.Now().Unix()+86400)))
	if _, err := verify(t, pool, cached); err != nil {
		t.Fatal(err)
	}
	p.breakDown()
	c.move(time.Hour)
	_, err := verify(t, pool, cached)
	wantReason(t, "cached, within the limit", err, "")
	_, err = verify(t, pool, p.good(t))
	wantReason(t, "new, within the limit", err, "")
	if err := pool.Health(); err != nil {
		t.Errorf("health within the limit: %v", err)
	}
	// Whether the key exists can't be known now.
	_, err = verify(t, pool, sign(t, newECKey(t), object{"alg": "ES256", "kid": "k2"}, goodClaims(c)))
	wantReason(t, "unknown kid in an outage", err, unavailable)

	c.move(time.Second)
	for name, token := range map[string]string{"cached": cached, "new": p.good(t)} {
		_, err := verify(t, pool, token)
		wantReason(t, name+", beyond the limit", err, unavailable)
		if e := exchange.AsError(err); e.Code != exchange.CodeUnavailable || e.RetryAfter <= 0 || e.RetryAfter > time.Minute || !strings.Contains(e.Message, "okta") {
			t.Errorf("%s: code %s, retry after %s, %q", name, e.Code, e.RetryAfter, e.Message)
		}
	}
	if err := pool.Health(); err == nil || !strings.Contains(err.Error(), "okta") {
		t.Errorf("health beyond the limit: %v", err)
	}
	// Who must go on while the provider is down may trust its keys longer.
	provider.JWKSMaxStale = 2 * time.Hour
	prepared, err := pool.Prepare([]identity.Provider{provider})
	if err != nil {
		t.Fatal(err)
	}
	prepared.Commit()
	_, err = verify(t, pool, cached)
	wantReason(t, "a longer limit", err, "")

	c.move(time.Hour)
	_, err = verify(t, pool, cached)
	wantReason(t, "beyond that too", err, unavailable)
	p.mend()
	c.move(10 * time.Second)
	_, err = verify(t, pool, cached)
	wantReason(t, "mended", err, "")
}

func both2(o object, change func(object)) object {
	change(o)
	return o
}

func TestFailedFetchesBackOff(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	p.breakDown()
	pool := newPool(t, c, p.provider())
	if err := pool.Health(); err == nil {
		t.Error("healthy before the first fetch")
	}
	if err := pool.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("refresh: %v", err)
	}
	for range 100 {
		_, err := verify(t, pool, p.good(t))
		wantReason(t, "no keys", err, unavailable)
	}
	if n := p.fetched(); n > 2 {
		t.Errorf("%d fetches for 100 tokens at once", n)
	}
	p.mend()
	c.move(10 * time.Second)
	_, err := verify(t, pool, p.good(t))
	wantReason(t, "mended", err, "")
	if err := pool.Health(); err != nil {
		t.Errorf("health: %v", err)
	}
}

// One provider's trouble never slows another's; its own callers wait for a bounded time, and may leave before.
func TestSlowProvider(t *testing.T) {
	c := newClock()
	slow, good := newIDP(t, c), newIDP(t, c)
	release, entered := make(chan struct{}), make(chan struct{}, 10)
	slow.do(func() {
		slow.handle = func(w http.ResponseWriter, r *http.Request) {
			entered <- struct{}{}
			<-release
			slow.mu.Lock()
			defer slow.mu.Unlock()
			_, _ = io.WriteString(w, slow.keySet)
		}
	})
	other := good.provider()
	other.Name, other.Issuer = "entra", "https://other.example"
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{slow.provider(), other}, MaxWait: time.Second})

	_, err := verify(t, pool, slow.good(t))
	wantReason(t, "slow", err, unavailable)
	<-entered
	_, err = verify(t, pool, sign(t, good.key, goodHeader(), both2(goodClaims(c), set("iss", "https://other.example"))))
	wantReason(t, "the other", err, "")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = pool.Verify(ctx, exchange.Presented{Token: exchange.Secret(slow.good(t)), Type: exchange.TypeJWT}, exchange.UseSubject)
	wantReason(t, "a caller who left", err, "caller")
	// Nobody who left has ended the fetch.
	close(release)
	pool.RefreshDue() // waits for it, and starts no other
	if n := len(entered); n != 0 {
		t.Errorf("%d more fetches, want the first one shared", n)
	}
	_, err = verify(t, pool, slow.good(t))
	wantReason(t, "no longer slow", err, "")
}

// Whoever waits for a provider's keys holds a place among the requests under way. So only so many wait at once, and
// nobody waits for a fetch that has been slow for long: else a provider that hangs would fill all places, and there would
// be none for the tokens of others.
func TestFewWaitForAHangingProvider(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	release, entered := make(chan struct{}), make(chan struct{}, 10)
	p.do(func() {
		p.handle = func(http.ResponseWriter, *http.Request) {
			entered <- struct{}{}
			<-release
		}
	})
	defer close(release)
	const most = 256
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{p.provider()}, MaxWait: time.Hour, FetchTimeout: time.Hour})
	ctx, leave := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range most {
		waiting.Go(func() {
			_, err := pool.Verify(ctx, exchange.Presented{Token: exchange.Secret(p.good(t)), Type: exchange.TypeJWT}, exchange.UseSubject)
			wantReason(t, "one of those who wait", err, "caller")
		})
	}
	<-entered
	for pool.Waiting() < most {
		time.Sleep(time.Millisecond)
	}
	_, err := verify(t, pool, p.good(t)) // comes back while the others wait
	wantReason(t, "one too many", err, unavailable)
	if n := pool.Waiting(); n != most {
		t.Errorf("%d wait, want the %d from before", n, most)
	}
	leave()
	waiting.Wait()
	if n := pool.Waiting(); n != 0 {
		t.Errorf("%d wait after all have left", n)
	}
}

func TestNobodyWaitsForWhatIsSlowAlready(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	release := make(chan struct{})
	p.do(func() { p.handle = func(http.ResponseWriter, *http.Request) { <-release } })
	defer close(release)
	const wait = 2 * time.Second
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{p.provider()}, MaxWait: wait, FetchTimeout: time.Hour})
	began := time.Now()
	_, err := verify(t, pool, p.good(t))
	wantReason(t, "the first", err, unavailable)
	first := time.Since(began)
	began = time.Now()
	for range 10 {
		_, err := verify(t, pool, p.good(t))
		wantReason(t, "the next", err, unavailable)
	}
	if next := time.Since(began); first < wait || next > 5*wait {
		t.Errorf("the first waited %s and ten more %s in all, want them not to wait", first, next)
	}
}

func TestKeysAreRefreshedAheadOfNeed(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{p.provider()}, Random: func() float64 { return 0.5 }})
	if err := pool.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{269 * time.Second, 1}, {time.Second, 2}, {269 * time.Second, 2}, {time.Second, 3}} {
		c.move(step.after)
		pool.RefreshDue()
		if n := p.fetched(); n != step.want {
			t.Errorf("%d fetches, want %d", n, step.want)
		}
	}
}

func TestRunFetchesAtStartAndEnds(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	fetched := make(chan struct{}, 1)
	p.do(func() { p.handle = func(http.ResponseWriter, *http.Request) { fetched <- struct{}{} } })
	pool := newPool(t, c, p.provider())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { pool.Run(ctx); close(done) }()
	<-fetched
	cancel()
	<-done
}

func TestDiscovery(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	byDiscovery := func(url string) identity.Provider {
		provider := p.provider()
		provider.JWKSURI, provider.Issuer = "", url
		return provider
	}
	for _, test := range []struct {
		name, document string
		want           exchange.Reason
	}{
		{"good", "", ""},
		{"another issuer", `{"issuer":"https://idp.example","jwks_uri":"` + p.url + `/keys"}`, unavailable},
		{"a trailing slash", `{"issuer":"` + p.url + `/","jwks_uri":"` + p.url + `/keys"}`, unavailable},
		{"no issuer", `{"jwks_uri":"` + p.url + `/keys"}`, unavailable},
		{"no jwks_uri", `{"issuer":"` + p.url + `"}`, unavailable},
		{"a file", `{"issuer":"` + p.url + `","jwks_uri":"file:///etc/passwd"}`, unavailable},
		{"http elsewhere", `{"issuer":"` + p.url + `","jwks_uri":"http://idp.example/keys"}`, unavailable},
		{"a user", `{"issuer":"` + p.url + `","jwks_uri":"https://user@idp.example/keys"}`, unavailable},
		{"two issuers", `{"issuer":"https://idp.example","issuer":"` + p.url + `","jwks_uri":"` + p.url + `/keys"}`, unavailable},
		{"not JSON", `<html>`, unavailable},
		{"huge", `{"issuer":"` + p.url + `","pad":"` + strings.Repeat("a", 1<<20) + `"}`, unavailable},
	} {
		p.do(func() { p.documents = test.document })
		pool := newPool(t, c, byDiscovery(p.url))
		_, err := verify(t, pool, sign(t, p.key, goodHeader(), both2(goodClaims(c), set("iss", p.url))))
		wantReason(t, test.name, err, test.want)
	}
}

func TestBadKeySets(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	good := p.keySet
	many := strings.Repeat(jwk(t, "x", p.key.Public())+",", 10_000)
	for _, test := range []struct {
		name   string
		handle http.HandlerFunc
		want   exchange.Reason
	}{
		{"good", say(good), ""},
		{"empty", say(""), unavailable},
		{"not JSON", say("<html>"), unavailable},
		{"no keys", say(`{"keys":[]}`), exchange.ReasonSubjectTokenInvalid},
		{"a bad key beside the good", say(`{"keys":[{"kty":"EC"},7,` + good[len(`{"keys":[`):]), ""},
		{"F25 10,000 keys", say(`{"keys":[` + many + good[len(`{"keys":[`):]), exchange.ReasonSubjectTokenInvalid},
		{"F25 10,000 levels", say(strings.Repeat(`{"keys":`, 10_000)), unavailable},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, unavailable},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(good)))
			_, _ = io.WriteString(w, good[:20])
		}, unavailable},
		{"404", http.NotFound, unavailable},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, unavailable},
	} {
		p.do(func() { p.handle = test.handle })
		pool := newPool(t, c, p.provider())
		_, err := verify(t, pool, p.good(t))
		wantReason(t, test.name, err, test.want)
		if (test.want == "") != (pool.Health() == nil) {
			t.Errorf("%s: health %v", test.name, pool.Health())
		}
	}
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func TestKeyFile(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	path := filepath.Join(t.TempDir(), "jwks.json")
	write := func(text string) {
		t.Helper()
		// As Kubernetes and editors do it: a new file takes the old one's name.
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	provider := p.provider()
	provider.JWKSURI, provider.JWKSFile = "", path
	pool := newPool(t, c, provider)
	_, err := verify(t, pool, p.good(t))
	wantReason(t, "no file yet", err, unavailable)

	write(p.keySet)
	look := func() {
		c.move(time.Second)
		pool.RefreshDue()
	}
	look()
	token := p.good(t)
	_, err = verify(t, pool, token)
	wantReason(t, "the file", err, "")

	write(p.keySet[:40])
	look()
	_, err = verify(t, pool, token)
	wantReason(t, "a half-written file keeps the keys", err, "")

	key := newECKey(t)
	write(`{"keys":[` + jwk(t, "k2", key.Public()) + `]}`)
	look()
	_, err = verify(t, pool, sign(t, key, object{"alg": "ES256", "kid": "k2"}, goodClaims(c)))
	wantReason(t, "the new file's key", err, "")
	_, err = verify(t, pool, token)
	wantReason(t, "the old file's key", err, exchange.ReasonSubjectTokenInvalid)
	if n := p.fetched(); n != 0 {
		t.Errorf("%d fetches in spite of the file", n)
	}
}

// Invariant 2: what a token names is never dialled.
func TestTokensMakeUsDialNothing(t *testing.T) {
	c := newClock()
	p, evil := newIDP(t, c), newIDP(t, c)
	pool := newPool(t, c, p.provider())
	if _, err := verify(t, pool, p.good(t)); err != nil {
		t.Fatal(err)
	}
	header := object{"alg": "ES256", "kid": evil.url + "/keys", "jku": evil.url + "/keys", "x5u": evil.url + "/keys", "jwk": json.RawMessage(jwk(t, "k1", evil.key.Public()))}
	for name, claims := range map[string]object{
		"iss":  both2(goodClaims(c), set("iss", evil.url)),
		"jku":  goodClaims(c),
		"_uri": both2(goodClaims(c), set("_claim_sources", object{"src1": object{"endpoint": evil.url + "/keys"}})),
	} {
		if _, err := verify(t, pool, sign(t, evil.key, header, claims)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if n := evil.fetched(); n != 0 {
		t.Errorf("%d calls to an address of the token's", n)
	}
}
