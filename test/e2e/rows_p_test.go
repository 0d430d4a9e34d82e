package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator/idp"
)

func TestRowsP(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, s *setup) {
		rules, _ := s.policy["rules"].(list)
		s.policy["rules"] = append(rules,
			object{"id": "by-name", "owner": "tests", "match": object{"issuer": list{"okta"}, "subject": list{"carol"}}, "grant": object{"principal": "etl"}},
			object{"id": "high", "owner": "tests", "priority": 5, "match": object{"issuer": list{"okta"}, "groups": object{"any": list{"high"}}}, "grant": object{"principal": "etl"}},
			object{"id": "old-deny", "effect": "deny", "owner": "tests", "expires": "2020-01-01", "match": object{"issuer": list{"okta"}, "subject": list{"mallory"}}},
		)
	})
	both := map[string]any{"groups": []string{"data-eng", "etl"}}
	principal := func(want string) func(*testing.T, *world, answer) {
		return func(t *testing.T, w *world, a answer) {
			if got := w.Exchange(a.DecisionID).Principal; got != want {
				t.Errorf("became %q, want %q", got, want)
			}
		}
	}
	runRows(t, w, []row{
		{id: "P01", ask: subject(map[string]any{"azp": "another-app"}, as("web-only")), status: 400, code: "invalid_request", reason: exchange.ReasonPartyNotAuthorized},
		{id: "P01 no party", ask: subject(map[string]any{"azp": nil}, as("web-only")), status: 400, code: "invalid_request", reason: exchange.ReasonPartyNotAuthorized},
		{id: "P01 client_id", ask: subject(map[string]any{"azp": nil, "client_id": "gateway-web"}, as("web-only"))},
		{id: "P01 azp goes first", ask: subject(map[string]any{"azp": "another-app", "client_id": "gateway-web"}, as("web-only")), status: 400, code: "invalid_request", reason: exchange.ReasonPartyNotAuthorized},
		{id: "P01 twin", ask: change(as("web-only"))},
		{id: "P03", ask: subject(both, with("audience", "prod/ml-inference")), check: principal("ml-inference")},
		{id: "P03 the other", ask: subject(both, with("audience", "prod/etl")), check: principal("etl")},
		{id: "P03 not granted", ask: subject(both, with("audience", "prod/legacy")), status: 400, code: "invalid_request", reason: exchange.ReasonNoMatchingRule},
		{id: "P04", ask: subject(both), status: 400, code: "invalid_target", reason: exchange.ReasonPrincipalAmbiguous},
		{id: "P04 priority decides", ask: subject(map[string]any{"groups": []string{"data-eng", "high"}}), check: principal("etl")},
		{id: "P09 twin", ask: subject(map[string]any{"sub": "carol", "groups": []string{}}), check: principal("etl")},
		{id: "P09", ask: subject(map[string]any{"sub": "carol", "groups": nil, "hasgroups": true}), status: 400, code: "invalid_request", reason: exchange.ReasonGroupsOverage},
		{id: "P09 no groups claim", ask: subject(map[string]any{"sub": "carol", "groups": nil}), status: 400, code: "invalid_request", reason: exchange.ReasonGroupsOverage},
		{id: "P10", ask: subject(map[string]any{"sub": "mallory"}), status: 400, code: "invalid_request", reason: exchange.ReasonDeniedByRule},
	})
}

func TestRowP05(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "P05", func(t *testing.T, w *world) {
		a := w.Ask(token(w.ending("ada", 50*time.Second)))
		mustRefuse(t, a, http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenExpiring)
		if n := w.dbx.Mints(""); n != 0 {
			t.Errorf("%d mints", n)
		}
		mustGrant(t, w.Ask(token(w.ending("ada", 80*time.Second))), time.Minute)
	})
}

// TestRowP06 is also what the main job must show: with a longer token of the same grant already cached through another
// subject, a subject with four minutes left gets a token that Databricks refuses four minutes later.
func TestRowP06(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "P06", func(t *testing.T, w *world) {
		long := w.Ask(token(w.lasting("ada", "data-eng")))
		mustGrant(t, long, tenMinutes)
		short := w.Ask(token(w.ending("bob", 4*time.Minute)))
		if short.Status != http.StatusOK || short.AccessToken == long.AccessToken || short.ExpiresIn > 240 {
			t.Fatalf("bob, with four minutes left, got ada's token: %v; expires_in %d", short.AccessToken == long.AccessToken, short.ExpiresIn)
		}
		if status := w.Invoke("churn", short.AccessToken); status != http.StatusOK {
			t.Errorf("bob's token now: status %d", status)
		}
		w.Move(4*time.Minute + time.Second)
		if status := w.Invoke("churn", short.AccessToken); status != http.StatusUnauthorized && status != http.StatusForbidden {
			t.Errorf("bob's token after his own has ended: status %d", status)
		}
		if status := w.Invoke("churn", long.AccessToken); status != http.StatusOK {
			t.Errorf("ada's token: status %d", status)
		}
	})
}

func TestRowP12(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "P12", func(t *testing.T, w *world) {
		forwarded := func(r *request) {
			r.Header = http.Header{"X-Forwarded-For": {"203.0.113.7"}, "X-Request-Id": {"req-1"}, "Sts-Route": {"/serving"}}
		}
		got := w.Exchange(w.Ask(as("tracker"), forwarded).DecisionID)
		if got.Claimed.Source != "203.0.113.7" || got.Claimed.RequestID != "req-1" || got.Claimed.Route != "/serving" || got.Peer != "127.0.0.1" {
			t.Errorf("recorded as %+v", got)
		}
		got = w.Exchange(w.Ask(forwarded).DecisionID)
		if got.Claimed.Source != "" || got.Claimed.RequestID != "" || got.Claimed.Route != "" || got.Peer != "127.0.0.1" {
			t.Errorf("a client that doesn't forward: recorded as %+v", got)
		}
	})
}

// TestStepsOfTheLadder holds the bound on mints of the main job for a tenth of its subjects, TestLong_StepsOfTheLadder
// for all: 10,000 subjects with rests between 1 and 60 minutes cause at most 60 mints in 10 minutes.
func TestStepsOfTheLadder(t *testing.T) {
	t.Parallel()
	stepsOfTheLadder(t, 1_000)
}

func stepsOfTheLadder(t *testing.T, subjects int) {
	w := newWorld(t)
	rest := func(i int) time.Duration {
		return time.Minute + time.Duration(i+1)*59*time.Minute/time.Duration(subjects)
	}
	tokens, err := w.idp.MintMany(subjects, func(i int) idp.Token {
		return idp.Token{Algorithm: "ES256", Lifetime: rest(i), Claims: map[string]any{"sub": fmt.Sprint("subject-", i), "groups": []string{"etl"}}}
	})
	if err != nil {
		t.Fatal(err)
	}
	minted := w.Now()
	served := 0
	for minute := range 10 {
		w.Move(time.Duration(minute) * time.Minute)
		for i := minute; i < subjects; i += 10 {
			left := minted.Add(rest(i)).Sub(w.Now()) // the machine's own time passes, too
			if left < 65*time.Second {
				continue // its own token is over, or nearly
			}
			a := w.Ask(token(tokens[i]))
			if a.Status != http.StatusOK || a.ExpiresIn > int(left/time.Second)+1 {
				t.Fatalf("subject %d, whose token has %v left: expires_in %d: %s", i, left, a.ExpiresIn, a.Body)
			}
			served++
		}
	}
	if mints := w.dbx.Mints(""); mints > 60 || served < subjects*8/10 {
		t.Errorf("%d mints; %d of %d subjects served", mints, served, subjects)
	}
}
