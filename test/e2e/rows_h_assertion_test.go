package e2e_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lakegate/sts/exchange"
)

// TestRowsHAssertion runs the rows about private_key_jwt, and those about what a client may.
func TestRowsHAssertion(t *testing.T) {
	t.Parallel()
	key, stranger := newSigner(t, "k1", jose.ES256), newSigner(t, "k1", jose.ES256)
	others := map[jose.SignatureAlgorithm]signer{}
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.EdDSA} {
		others[alg] = newSigner(t, string(alg), alg)
	}
	w := newSettledWorld(t, func(w *world, s *setup) {
		c := s.config["clients"].(object)
		c["etl"] = w.signingClient("etl", nil, key)
		c["loose"] = w.signingClient("loose", object{"audience_token_endpoint": true}, key)
		for alg, signer := range others {
			c[string(alg)] = w.signingClient(string(alg), nil, signer)
		}
		c["idle"] = w.client("idle", object{"grants": list{}})
		c["door"] = w.clientWithoutSecret(object{"auth_method": "none"}, nil)
	})

	asserts := func(s signer, client string, claims object, more ...func(*request)) func(*world) request {
		return func(w *world) request { return change(append(more, signing(w.Assert(s, client, claims)))...)(w) }
	}
	unauthorized := func(id string, ask func(*world) request, says string) row {
		return row{id: id, ask: ask, status: 401, code: "invalid_client", reason: exchange.ReasonClientAuthenticationFailed, says: says, check: wantsBasic}
	}
	const failed = "client authentication failed"
	tokenEndpoint := stsIssuer + "/oauth2/token"
	unsigned := "eyJhbGciOiJub25lIn0." + strings.Split(w.Assert(key, "etl", nil), ".")[1] + "."
	runRows(t, w, []row{
		{id: "H10", ask: asserts(key, "etl", nil)},
		{id: "H10 as a list of one", ask: asserts(key, "etl", object{"aud": list{stsIssuer}})},
		{id: "H10 with client_id", ask: asserts(key, "etl", nil, with("client_id", "etl"))},
		{id: "H10 RS256", ask: asserts(others[jose.RS256], "RS256", nil)},
		{id: "H10 PS256", ask: asserts(others[jose.PS256], "PS256", nil)},
		{id: "H10 EdDSA", ask: asserts(others[jose.EdDSA], "EdDSA", nil)},
		unauthorized("H11", asserts(key, "etl", object{"aud": tokenEndpoint}), "audience"),
		{id: "H11 where it is allowed", ask: asserts(key, "loose", object{"aud": tokenEndpoint})},
		unauthorized("H12", asserts(key, "etl", object{"aud": list{stsIssuer, "https://other.example"}}), "audience"),
		unauthorized("H12 another alone", asserts(key, "etl", object{"aud": "https://other.example"}), "audience"),
		unauthorized("H13", asserts(key, "etl", object{"iss": "loose"}), "iss and sub"),
		unauthorized("H13 another client_id", asserts(key, "etl", nil, with("client_id", "loose")), "client_id"),
		unauthorized("H14 no exp", asserts(key, "etl", object{"exp": nil}), "exp"),
		unauthorized("H14 expired", asserts(key, "etl", object{"exp": -2 * time.Second}), "expired"),
		unauthorized("H14 too long", asserts(key, "etl", object{"iat": nil, "exp": 11 * time.Minute}), "longer"),
		unauthorized("H14 made in the future", asserts(key, "etl", object{"iat": 30 * time.Second}), "ahead"),
		unauthorized("H15", func(w *world) request {
			used := w.Assert(key, "etl", nil)
			if first := w.Ask(signing(used)); first.Status != http.StatusOK {
				t.Errorf("the first use: %s", first.Body)
			}
			return change(signing(used))(w)
		}, "used before"),
		unauthorized("H15 without a jti", asserts(key, "etl", object{"jti": nil}), "jti"),
		unauthorized("H16 unsigned", change(signing(unsigned)), "signature"),
		unauthorized("H16 another's key", asserts(stranger, "etl", nil), failed),
		unauthorized("H16 a key of another client", asserts(others[jose.EdDSA], "etl", nil), failed),
		unauthorized("H18 a secret for private_key_jwt", change(as("etl"), func(r *request) { r.Secret = "anything" }), failed),
		unauthorized("H18 an assertion for a secret", asserts(key, "kong", nil), failed),
		unauthorized("H03 unknown", asserts(key, "nobody", nil), failed),
		unauthorized("H22 an ID token", change(signing(w.Token(object{"aud": stsIssuer}))), failed),
		{id: "H23", ask: change(as("idle")), status: 400, code: "unauthorized_client", reason: exchange.ReasonClientNotAllowed},
		unauthorized("H23 authentication first", change(as("idle"), func(r *request) { r.Secret = "wrong" }), failed),
		{id: "H24", ask: change(as(""), with("client_id", "door")), status: 400, code: "unauthorized_client", reason: exchange.ReasonClientNotAllowed, says: "public"},
		unauthorized("H25 with an assertion", asserts(stranger, "etl", nil, with("subject_token", "nonsense")), failed),
	})
}

// TestRowH03Assertion holds that an unknown client can't be told from a wrong key, but for the time, which unit tests count
// in signatures.
func TestRowH03Assertion(t *testing.T) {
	t.Parallel()
	key, stranger := newSigner(t, "", jose.ES256), newSigner(t, "", jose.ES256)
	telling := newSettledWorld(t, withSigningClients(key))
	eachEntrance(t, telling, "H03", func(t *testing.T, w *world) {
		want := w.Ask(as("nobody"), func(r *request) { r.Secret = "wrong" })
		for _, client := range []string{"etl", "kong", "nobody"} {
			got := w.Ask(signing(w.Assert(stranger, client, nil)))
			if got.Status != want.Status || got.Error != want.Error || got.Reason != want.Reason || got.Description != want.Description {
				t.Errorf("%s: %s, want %s", client, got.Body, want.Body)
			}
		}
	})
}

// withSigningClients lets clients authenticate by key: etl, and nightly by the same.
func withSigningClients(key signer) func(w *world, s *setup) {
	return func(w *world, s *setup) {
		clients := s.config["clients"].(object)
		clients["etl"], clients["nightly"] = w.signingClient("etl", nil, key), w.signingClient("nightly", nil, key)
	}
}

func usedBefore(t *testing.T, a answer) {
	t.Helper()
	mustRefuse(t, a, 401, "invalid_client", exchange.ReasonClientAuthenticationFailed)
	if !strings.Contains(a.Description, "used before") {
		t.Errorf("%s", a.Body)
	}
}

// TestRowH15Entrances uses an assertion through one entrance and then through each other: the mark is the service's, not
// the entrance's. It is one of client and jti, so that another client's jti may be the same.
func TestRowH15Entrances(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "", jose.ES256)
	w := newSettledWorld(t, withSigningClients(key))
	for _, first := range entrances {
		jti := object{"jti": "used through the " + first.name}
		used := w.Assert(key, "etl", jti)
		mustGrant(t, w.Through(first).Ask(signing(used)), tenMinutes)
		for _, second := range entrances {
			t.Logf("first through %s, then through %s", first.name, second.name)
			usedBefore(t, w.Through(second).Ask(signing(used)))
		}
		mustGrant(t, w.Through(first).Ask(signing(w.Assert(key, "nightly", jti))), tenMinutes)
		usedBefore(t, w.Through(first).Ask(signing(w.Assert(key, "etl", jti)))) // another assertion, the same jti
	}
}

// TestRowH15Replicas uses an assertion at one of two replicas that share a Redis and a database, and then at the other.
func TestRowH15Replicas(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "", jose.ES256)
	w := newSettledWorld(t, withSigningClients(key), on(postgres.NewDatabase(t)), over(startRedis(t), "1s"))
	other := w.Replica()
	eachEntrance(t, w, "H15", func(t *testing.T, w *world) {
		there := other.Through(w.door)
		there.base = w.base
		used := w.Assert(key, "etl", nil)
		mustGrant(t, w.Ask(signing(used)), tenMinutes)
		usedBefore(t, there.Probe(signing(used)))
		usedBefore(t, w.Ask(signing(used)))
		used = w.Assert(key, "etl", nil)
		mustGrant(t, there.Probe(signing(used)), tenMinutes)
		usedBefore(t, w.Ask(signing(used)))
	})
}

// TestRowH15Restart holds that a service which has forgotten its marks refuses what it may have seen.
func TestRowH15Restart(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "", jose.ES256)
	w := newSettledWorld(t, withSigningClients(key))
	used := map[string]string{}
	for _, e := range entrances {
		used[e.name] = w.Assert(key, "etl", object{"exp": w.Now().Add(9 * time.Minute).Unix()})
		mustGrant(t, w.Through(e).Ask(signing(used[e.name])), tenMinutes)
		usedBefore(t, w.Through(e).Ask(signing(used[e.name])))
	}
	w.sts.Stop(t)
	w.Start()
	h := newHearing(w)
	h.shared = true
	undecided := func(e entrance, row, assertion string) {
		t.Helper()
		a := h.through(t, e, row).Ask(signing(assertion))
		mustRefuse(t, a, 503, "temporarily_unavailable", exchange.ReasonReplayCheckUnavailable)
		wantRetryAfter(t, a)
	}
	for _, e := range entrances {
		undecided(e, "a replay", used[e.name])
		undecided(e, "one made at the start", w.Assert(key, "etl", nil))
	}
	w.Move(2 * settled)
	for _, e := range entrances {
		undecided(e, "a replay, later", used[e.name])
		mustGrant(t, w.Through(e).Ask(signing(w.Assert(key, "etl", nil))), tenMinutes)
	}
	h.hold(t)
}

// TestRowH15AtOnce holds that of many who use one assertion at the same time, through whichever entrance, one gets in.
func TestRowH15AtOnce(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "", jose.ES256)
	w := newSettledWorld(t, withSigningClients(key))
	used := w.Assert(key, "etl", nil)
	var granted, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			switch a := w.Through(entrances[i%len(entrances)]).Probe(signing(used)); a.Status {
			case http.StatusOK:
				granted.Add(1)
			case http.StatusUnauthorized:
				refused.Add(1)
			}
		})
	}
	all.Wait()
	if granted.Load() != 1 || refused.Load() != 39 {
		t.Errorf("%d granted, %d refused", granted.Load(), refused.Load())
	}
}

// TestRowH26Keys rotates a client's keys in the running service while it is being asked: no request of a key in force
// fails.
func TestRowH26Keys(t *testing.T) {
	t.Parallel()
	old, next := newSigner(t, "2026-11", jose.ES256), newSigner(t, "2026-12", jose.EdDSA)
	rotating := newSettledWorld(t, func(w *world, s *setup) { s.config["clients"].(object)["etl"] = w.signingClient("etl", nil, old) })
	eachOf(t, singles, rotating, "H26", func(t *testing.T, w *world) { rotateKeys(t, w, old, next) })
}

func rotateKeys(t *testing.T, w *world, old, next signer) {
	is := func(s signer, status int) func() bool {
		return func() bool { return w.Probe(signing(w.Assert(s, "etl", nil))).Status == status }
	}
	granted := func(s signer) { t.Helper(); mustGrant(t, w.Ask(signing(w.Assert(s, "etl", nil))), tenMinutes) }
	refused := func(s signer) {
		t.Helper()
		mustRefuse(t, w.Ask(signing(w.Assert(s, "etl", nil))), 401, "invalid_client", exchange.ReasonClientAuthenticationFailed)
	}
	granted(old)
	refused(next)

	var inUse atomic.Pointer[signer]
	inUse.Store(&old)
	var asked, failed atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 2 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				asked.Add(1)
				if !is(*inUse.Load(), http.StatusOK)() {
					failed.Add(1)
				}
			}
		})
	}
	w.WriteFile("etl.jwks.json", keySet(t, old, next))
	w.Eventually("the new key is known", is(next, http.StatusOK))
	granted(old)
	granted(next)
	inUse.Store(&next)
	before := asked.Load()
	w.Eventually("the client has changed its key", func() bool { return asked.Load() > before+10 })
	// A request of the old key may be on its way still: the load ends before that key does.
	close(stop)
	load.Wait()
	w.WriteFile("etl.jwks.json", keySet(t, next))
	w.Eventually("the old key is forgotten", is(old, http.StatusUnauthorized))
	granted(next)
	refused(old)
	// A bad file leaves the good keys in force.
	w.WriteFile("etl.jwks.json", `{"keys":[]}`)
	w.Eventually("the bad file is noticed", func() bool { return w.Ready().Status == "degraded" })
	granted(next)
	if failed.Load() > 0 {
		t.Errorf("%d of %d requests failed during the rotation", failed.Load(), asked.Load())
	}
	w.WriteFile("etl.jwks.json", keySet(t, old))
	w.Eventually("all is as it was", is(old, http.StatusOK))
}
