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
		{id: "H24", ask: change(as(""), with("client_id", "door")), only: formOnly, status: 400, code: "unauthorized_client", reason: exchange.ReasonClientNotAllowed, says: "public"},
		unauthorized("H25 with an assertion", asserts(stranger, "etl", nil, with("subject_token", "nonsense")), failed),
	})
}

// TestRowH03Assertion holds that an unknown client can't be told from a wrong key, but for the time, which unit tests count in signatures.
func TestRowH03Assertion(t *testing.T) {
	t.Parallel()
	key, stranger := newSigner(t, "", jose.ES256), newSigner(t, "", jose.ES256)
	w := newSettledWorld(t, func(w *world, s *setup) { s.config["clients"].(object)["etl"] = w.signingClient("etl", nil, key) })
	want := w.Ask(as("nobody"), func(r *request) { r.Secret = "wrong" })
	for _, client := range []string{"etl", "kong", "nobody"} {
		got := w.Ask(signing(w.Assert(stranger, client, nil)))
		if got.Status != want.Status || got.Error != want.Error || got.Reason != want.Reason || got.Description != want.Description {
			t.Errorf("%s: %s, want %s", client, got.Body, want.Body)
		}
	}
}

// TestRowH15Restart holds that a service which has forgotten its marks refuses what it may have seen.
func TestRowH15Restart(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "", jose.ES256)
	w := newSettledWorld(t, func(w *world, s *setup) { s.config["clients"].(object)["etl"] = w.signingClient("etl", nil, key) })
	used := w.Assert(key, "etl", object{"exp": w.Now().Add(9 * time.Minute).Unix()})
	mustGrant(t, w.Ask(signing(used)), 10*time.Minute)
	mustRefuse(t, w.Ask(signing(used)), 401, "invalid_client", exchange.ReasonClientAuthenticationFailed)

	w.sts.Stop(t)
	w.Start()
	for what, assertion := range map[string]string{"a replay": used, "one made at the start": w.Assert(key, "etl", nil)} {
		a := w.Ask(signing(assertion))
		t.Log(what)
		mustRefuse(t, a, 503, "temporarily_unavailable", exchange.ReasonReplayCheckUnavailable)
		if a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", what)
		}
	}
	w.Move(2 * settled)
	mustRefuse(t, w.Ask(signing(used)), 503, "temporarily_unavailable", exchange.ReasonReplayCheckUnavailable)
	mustGrant(t, w.Ask(signing(w.Assert(key, "etl", nil))), 10*time.Minute)
}

// TestRowH15AtOnce holds that of many who use one assertion at the same time, one gets in.
func TestRowH15AtOnce(t *testing.T) {
	t.Parallel()
	key := newSigner(t, "", jose.ES256)
	w := newSettledWorld(t, func(w *world, s *setup) { s.config["clients"].(object)["etl"] = w.signingClient("etl", nil, key) })
	form := change(with("client_assertion", w.Assert(key, "etl", nil), "client_assertion_type", assertionType))(w).Params.Encode()
	var granted, refused atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			switch a, err := w.try(w.FormRequest(form)); {
			case err == nil && a.Status == http.StatusOK:
				granted.Add(1)
			case err == nil && a.Status == http.StatusUnauthorized:
				refused.Add(1)
			}
		})
	}
	all.Wait()
	if granted.Load() != 1 || refused.Load() != 31 {
		t.Errorf("%d granted, %d refused", granted.Load(), refused.Load())
	}
}

// TestRowH26Keys rotates a client's keys in the running service while it is being asked: no request of a key in force fails.
func TestRowH26Keys(t *testing.T) {
	t.Parallel()
	old, next := newSigner(t, "2026-11", jose.ES256), newSigner(t, "2026-12", jose.EdDSA)
	w := newSettledWorld(t, func(w *world, s *setup) { s.config["clients"].(object)["etl"] = w.signingClient("etl", nil, old) })
	status := func(s signer) int {
		r := change(with("client_assertion", w.Assert(s, "etl", nil), "client_assertion_type", assertionType))(w)
		a, err := w.try(w.FormRequest(r.Params.Encode()))
		if err != nil {
			return 0
		}
		return a.Status
	}
	var inUse atomic.Pointer[signer]
	inUse.Store(&old)
	var asked, failed atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				asked.Add(1)
				if status(*inUse.Load()) != http.StatusOK {
					failed.Add(1)
				}
			}
		})
	}
	if got := status(next); got != http.StatusUnauthorized {
		t.Errorf("the new key before it is known: %d", got)
	}
	w.WriteFile("etl.jwks.json", keySet(t, old, next))
	w.Eventually("the new key is known", func() bool { return status(next) == http.StatusOK })
	if got := status(old); got != http.StatusOK {
		t.Errorf("the old key within the overlap: %d", got)
	}
	inUse.Store(&next)
	w.Eventually("the client has changed its key", func() bool { return asked.Load() > 50 })
	// A request of the old key may be on its way still: the load ends before that key does.
	close(stop)
	load.Wait()
	w.WriteFile("etl.jwks.json", keySet(t, next))
	w.Eventually("the old key is forgotten", func() bool { return status(old) == http.StatusUnauthorized })
	if got := status(next); got != http.StatusOK {
		t.Errorf("the new key after the overlap: %d", got)
	}
	// A bad file leaves the good keys in force.
	w.WriteFile("etl.jwks.json", `{"keys":[]}`)
	w.Eventually("the bad file is noticed", func() bool { return w.Ready().Status == "degraded" })
	if got := status(next); got != http.StatusOK {
		t.Errorf("the key under a bad file: %d", got)
	}
	if failed.Load() > 0 {
		t.Errorf("%d of %d requests failed during the rotation", failed.Load(), asked.Load())
	}
}
