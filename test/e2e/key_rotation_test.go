package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// TestProviderKeyRotation rotates a provider's key under load: not one request fails, that of the first token with the new key
// included, and all of them together make one fetch.
func TestProviderKeyRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issuer := w.idp.Issuer("okta")
	fetches := func() int { return w.idp.Totals()[issuer.JWKSRoute()].Calls }
	w.Eventually("the keys are known", func() bool { return w.Probe().Status == http.StatusOK })
	old := issuer.KeyID("ES256")
	w.Move(11 * time.Second) // past what the first token asked for

	var asked, failed atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for n := range 4 {
		load.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				// Half of the tokens are of whatever key signs now, half of the old one, which is still published.
				recipe := idp.Token{Claims: map[string]any{"sub": fmt.Sprintf("person-%d-%d", n, i)}}
				if n%2 == 0 {
					recipe.Key = old
				}
				asked.Add(1)
				if a := w.Through(singles[n%len(singles)]).Probe(with("subject_token", w.MintToken(recipe))); a.Status != http.StatusOK {
					failed.Add(1)
					t.Errorf("status %d: %s", a.Status, a.Body)
				}
			}
		})
	}
	more := func() {
		t.Helper()
		enough := asked.Load() + 20
		w.Eventually("the load goes on", func() bool { return asked.Load() >= enough })
	}
	more()
	before := fetches()
	if _, err := issuer.Rotate("ES256"); err != nil {
		t.Fatal(err)
	}
	more()
	mustServe(t, w.Ask())
	close(stop)
	load.Wait()
	if n := fetches() - before; n != 1 {
		t.Errorf("%d fetches for a rotation, want 1", n)
	}
	if failed.Load() != 0 {
		t.Errorf("%d of %d requests failed", failed.Load(), asked.Load())
	}

	// Once it is withdrawn, the old key is good for nothing any more, and nor is what it signed.
	known := w.MintToken(idp.Token{Key: old})
	mustServe(t, w.Ask(with("subject_token", known)))
	if err := issuer.Withdraw(old); err != nil {
		t.Fatal(err)
	}
	w.Move(22 * time.Second)
	unknown := w.MintToken(idp.Token{Header: map[string]any{"kid": "unknown"}})
	mustRefuse(t, w.Ask(with("subject_token", unknown)), http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenInvalid)
	mustRefuse(t, w.Ask(with("subject_token", known)), http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenInvalid)

	floodOfKeyIDs(t, w, fetches)
}

// floodOfKeyIDs asks with more unknown key ids than anybody could look up: one fetch in ten seconds is all that comes of it,
// and a key that is published meanwhile is found by the next.
func floodOfKeyIDs(t *testing.T, w *world, fetches func() int) {
	t.Helper()
	const periods = 3
	before := fetches()
	for period := range periods {
		w.Move(33*time.Second + time.Duration(period)*11*time.Second)
		var flood sync.WaitGroup
		for n, client := range []string{"kong", "tracker", "both"} { // a client is let in with a hundred bad tokens a minute
			flood.Go(func() {
				for i := range 25 {
					kid := fmt.Sprintf("unknown-%d-%d-%d", period, n, i)
					a := w.Probe(as(client), with("subject_token", w.MintToken(idp.Token{Header: map[string]any{"kid": kid}})))
					if a.Status != http.StatusBadRequest || a.Reason != string(exchange.ReasonSubjectTokenInvalid) {
						t.Errorf("%s: status %d: %s", kid, a.Status, a.Body)
					}
				}
			})
		}
		flood.Wait()
	}
	if n := fetches() - before; n > periods {
		t.Errorf("%d fetches in %d times ten seconds of a flood", n, periods)
	}
	if _, err := w.idp.Issuer("okta").Rotate("ES256"); err != nil {
		t.Fatal(err)
	}
	w.Move(77 * time.Second)
	mustServe(t, w.Ask())
}

// TestHostileKeySets has a provider answer with everything but its keys: they are kept, little is read, nobody else is called, and
// others' tokens are served while the provider's own are waited for.
func TestHostileKeySets(t *testing.T) {
	t.Parallel()
	canary, calls := newCanary(t)
	w := newWorld(t)
	issuer := w.idp.Issuer("strict")
	route := issuer.JWKSRoute()
	present := func(recipe idp.Token) func(*request) {
		header := map[string]any{"typ": "at+jwt"}
		for name, value := range recipe.Header {
			header[name] = value
		}
		recipe.Issuer, recipe.Header = "strict", header
		return with("subject_token", w.MintToken(recipe), "subject_token_type", typeAccessToken)
	}
	w.Eventually("the keys are known", func() bool {
		return w.Probe(present(idp.Token{})).Status == http.StatusOK && w.Probe().Status == http.StatusOK
	})

	const (
		invalid     = exchange.ReasonSubjectTokenInvalid // an answer, if a useless one
		unavailable = exchange.ReasonProviderUnavailable
	)
	for i, test := range []struct {
		name  string
		fault emulator.Fault
		want  exchange.Reason
	}{
		{"1 GiB", emulator.Fault{Pad: 1 << 30}, invalid},
		{"10,000 keys", emulator.Fault{Body: manyKeys(t, issuer, 10_000)}, invalid},
		{"a redirect", emulator.Fault{Status: http.StatusFound, Headers: map[string]string{"Location": canary}}, unavailable},
		{"a redirect that keeps the method", emulator.Fault{Status: http.StatusPermanentRedirect, Headers: map[string]string{"Location": canary}}, unavailable},
		{"deep", emulator.Fault{Body: `{"keys":` + strings.Repeat("[", 400_000)}, unavailable},
		{"a page", emulator.Fault{Body: "<html><body>Down for maintenance</body></html>"}, unavailable},
		{"no set", emulator.Fault{Body: `{"keys":null}`}, unavailable},
		{"two sets", emulator.Fault{Body: `{"keys":[],"keys":[]}`}, unavailable},
		{"nothing", emulator.Fault{Status: http.StatusNoContent}, unavailable},
		{"an error", emulator.Fault{Status: http.StatusInternalServerError}, unavailable},
		{"half of it", emulator.Fault{Cut: true}, unavailable},
		{"no answer", emulator.Fault{Hangup: true}, unavailable},

		{"an answer that doesn't come", emulator.Fault{Hold: true}, unavailable},
		{"drop by drop", emulator.Fault{Drip: 100 * time.Millisecond}, unavailable},
	} {
		t.Logf("%s", test.name)
		test.fault.Route = route
		w.idp.ClearFaults()
		w.idp.AddFault(test.fault)
		w.Move(time.Duration(i+1) * 11 * time.Second)
		before, sent := w.idp.Totals()[route].Calls, w.idp.Sent(route)

		unknown := present(idp.Token{Header: map[string]any{"kid": "unknown"}})
		told := make(chan answer, 1)
		go func() { told <- w.Probe(unknown) }()
		w.Eventually("the keys are asked for", func() bool {
			if w.idp.Totals()[route].Calls > before {
				return true
			}
			select {
			case <-told: // of the fetch before, which was still under way
				go func() { told <- w.Probe(unknown) }()
			default:
			}
			return false
		})
		// While it is asked, or after: whoever doesn't need the answer doesn't wait for it.
		for range 5 {
			mustServe(t, w.Ask())
			mustServe(t, w.Ask(present(idp.Token{})))
		}
		if slow := test.fault.Hold || test.fault.Drip > 0; slow && len(told) > 0 {
			t.Errorf("%s: those who need the answer were told something before it can have come", test.name)
		}
		a := <-told
		if a.Reason != string(test.want) {
			t.Errorf("%s: %d %s, want %s: %s", test.name, a.Status, a.Reason, test.want, a.Body)
		}
		// What is read is 1 MiB at most, by a unit test; the rest is what the machine holds in between.
		if n := w.idp.Sent(route) - sent; n > 32<<20 {
			t.Errorf("%s: %d MiB were sent", test.name, n>>20)
		}
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("the canary has seen %d connections", n)
	}
	w.idp.ClearFaults()
	if _, err := issuer.Rotate("ES256"); err != nil {
		t.Fatal(err)
	}
	w.Move(10 * time.Minute)
	w.Eventually("the provider is back", func() bool { return w.Probe(present(idp.Token{})).Status == http.StatusOK })
}

// mustServe fails the test unless a is a token, whose age is its own affair.
func mustServe(t *testing.T, a answer) {
	t.Helper()
	if a.Status != http.StatusOK || a.AccessToken == "" {
		t.Fatalf("status %d: %s", a.Status, a.Body)
	}
}

// manyKeys is a key set of n keys, with the issuer's own at its end.
func manyKeys(t *testing.T, issuer *idp.Issuer, n int) string {
	t.Helper()
	own, err := json.Marshal(issuer.JWKS().Keys[0])
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(`{"keys":[`)
	for i := range n {
		b.WriteString(strings.Replace(string(own), issuer.KeyID("ES256"), fmt.Sprint(i), 1) + ",")
	}
	b.WriteString(string(own) + `]}`)
	return b.String()
}
