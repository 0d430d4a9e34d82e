package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// strikes is how many invalid tokens a client may present in a minute; some are left for luck.
const strikes = 90

// TestAttacksOnTokens presents every attack on JWTs to the program, through the form, and a part of them through the other
// entrances: none is accepted, each is refused for what it is, each twin is accepted, nobody is called, and neither memory
// nor log grow with what is thrown at them.
func TestAttacksOnTokens(t *testing.T) {
	t.Parallel()
	canary, calls := newCanary(t)
	var attacks []emulator.Attack
	w := newWorld(t, func(w *world, s *setup) {
		var err error
		attacks, err = w.idp.Attacks(idp.AttackConfig{
			Issuer: "okta", Other: "other", Canary: canary, Leeway: 30 * time.Second,
			Claims: map[string]any{"groups": []string{"data-eng"}, "azp": "gateway-web"},
		})
		if err != nil {
			t.Fatal(err)
		}
		providers, clients := s.config["identity_providers"].(object), s.config["clients"].(object)
		for _, name := range []string{"okta", "other"} {
			providers[name].(object)["algorithms"] = idp.AttackAlgorithms()
		}
		for i := range len(attacks)/strikes*2 + 2 {
			clients[attacker(i)] = w.client(attacker(i), object{"identity_providers": list{"okta", "other"}, "limits": object{"rate": "100000/s", "burst": 100000}})
		}
		s.policy["rules"] = append(s.policy["rules"].(list), object{
			"id": "others", "owner": "tests", "match": object{"issuer": list{"other"}, "groups": object{"any": list{"data-eng"}}},
			"grant": object{"principal": "ml-inference", "lifetime": "10m"},
		})
	})
	if len(attacks) < 700 {
		t.Fatalf("%d attacks; the corpus has shrunk", len(attacks))
	}
	before := len(w.sts.Log())
	var asked atomic.Int64
	var workers sync.WaitGroup
	for n := range (len(attacks) + strikes - 1) / strikes {
		workers.Go(func() {
			part := attacks[n*strikes : min((n+1)*strikes, len(attacks))]
			accepted := map[string]bool{} // twins, by type and text
			for i, a := range part {
				asked.Add(tryAttack(t, w, attacker(2*n), a, accepted))
				if e := entrances[1+i%2]; i%8 < 2 && !strings.ContainsFunc(a.Token, unprintable) {
					asked.Add(tryAttack(t, w.Through(e), attacker(2*n+1), a, accepted))
				}
			}
		})
	}
	workers.Wait()
	if n := calls.Load(); n != 0 {
		t.Errorf("the canary has seen %d connections", n)
	}
	if heap := w.Metric("go_memstats_heap_inuse_bytes"); heap > 256<<20 {
		t.Errorf("%.0f MiB of heap", heap/(1<<20))
	}
	// At the level debug, which says a word about each request.
	if grown := len(w.sts.Log()) - before; int64(grown) > asked.Load()*2<<10 {
		t.Errorf("%d bytes of log for %d requests", grown, asked.Load())
	}
	mustGrant(t, w.Ask(), tenMinutes)
}

func attacker(n int) string { return fmt.Sprintf("attacker-%d", n) }

func unprintable(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }

// tryAttack asks with an attack, and before it with its twin where that wasn't accepted before. It returns how often it asked.
func tryAttack(t *testing.T, w *world, client string, a emulator.Attack, accepted map[string]bool) (asked int64) {
	present := func(token string) answer {
		asked++
		return w.Probe(as(client), with("subject_token", token, "subject_token_type", a.Type))
	}
	if twin := a.Type + a.Twin; !accepted[twin] {
		if got := present(a.Twin); got.Status != http.StatusOK {
			t.Errorf("%s: %s: the twin is refused: %s", w.door.name, a.Name, got.Body)
		}
		accepted[twin] = true
	}
	got := present(a.Token)
	switch {
	case got.Status == http.StatusRequestEntityTooLarge && len(a.Token) > 64<<10 && got.Error == "invalid_request": // before anybody looks at it
	case got.Status != http.StatusBadRequest || got.Error != "invalid_request" || got.AccessToken != "" || got.Reason == string(exchange.ReasonRateLimited):
		t.Errorf("%s: %s: status %d: %s", w.door.name, a.Name, got.Status, got.Body)
	case !strings.Contains(got.Description, a.Cause):
		t.Errorf("%s: %s: %q, want it refused because it %q", w.door.name, a.Name, got.Description, a.Cause)
	}
	return asked
}

// TestAttacksOnAssertions does the same with the credentials of clients.
func TestAttacksOnAssertions(t *testing.T) {
	t.Parallel()
	canary, calls := newCanary(t)
	var attacks []emulator.Attack
	w := newSettledWorld(t, func(w *world, s *setup) {
		keys, err := idp.New(idp.Config{Now: emulator.FileClock(w.clock), URL: canary, Issuers: []idp.IssuerConfig{{Name: "etl", Audience: "x"}, {Name: "nightly", Audience: "x"}}})
		if err != nil {
			t.Fatal(err)
		}
		attacks, err = keys.AssertionAttacks(idp.AssertionAttackConfig{Issuer: "etl", Other: "nightly", Client: "etl", OtherClient: "nightly", Audience: stsIssuer, Canary: canary})
		if err != nil {
			t.Fatal(err)
		}
		for _, issuer := range keys.Issuers() {
			published, err := json.Marshal(issuer.JWKS())
			if err != nil {
				t.Fatal(err)
			}
			w.WriteFile(issuer.Name()+".jwks.json", string(published))
			s.config["clients"].(object)[issuer.Name()] = w.clientWithoutSecret(object{
				"auth_method": "private_key_jwt", "jwks_file": filepath.Join(w.dir, issuer.Name()+".jwks.json"), "limits": object{"rate": "100000/s", "burst": 100000},
			}, nil)
		}
		for _, text := range keys.Secrets() {
			w.said.addSecret(text)
		}
	})
	if len(attacks) < 400 {
		t.Fatalf("%d attacks; the corpus has shrunk", len(attacks))
	}
	used := map[string]bool{} // payloads of twins, since a jti is accepted once
	for i, a := range attacks {
		door := w
		if i%8 == 0 && !strings.ContainsFunc(a.Token, unprintable) {
			door = w.Through(singles[1+i/8%2])
		}
		if payload := strings.Split(a.Twin, ".")[1]; !used[payload] {
			used[payload] = true
			if got := door.Probe(signing(a.Twin)); got.Status != http.StatusOK {
				t.Errorf("%s: %s: the twin is refused: %s", door.door.name, a.Name, got.Body)
			}
		}
		got := door.Probe(signing(a.Token))
		switch {
		case got.Status == http.StatusRequestEntityTooLarge && len(a.Token) > 64<<10 && got.Error == "invalid_request":
		case got.Status != http.StatusUnauthorized || got.Error != "invalid_client" || got.AccessToken != "" || !strings.Contains(got.Description, a.Cause):
			t.Errorf("%s: %s: status %d, want it refused because it %q: %s", door.door.name, a.Name, got.Status, a.Cause, got.Body)
		}
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("the canary has seen %d connections", n)
	}
}

// newCanary is a server that nobody may call, and how often somebody has.
func newCanary(t *testing.T) (url string, calls *atomic.Int64) {
	t.Helper()
	calls = &atomic.Int64{}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			calls.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, calls
}
