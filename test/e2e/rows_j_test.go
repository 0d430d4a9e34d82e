package e2e_test

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/databricks"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// lasting is a token of a group that outlives whatever a test does to the clock.
func (w *world) lasting(sub string, groups ...string) string {
	if groups == nil {
		groups = []string{} // known to be none
	}
	return w.MintToken(idp.Token{Lifetime: 20 * time.Hour, Claims: map[string]any{"sub": sub, "groups": groups}})
}

func token(text string) func(*request) { return with("subject_token", text) }

// ending is a token of data-eng with this rest.
func (w *world) ending(sub string, rest time.Duration) string {
	return w.MintToken(idp.Token{Claims: map[string]any{"sub": sub, "exp": w.Now().Add(rest).Unix()}})
}

func TestRowJ01(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "J01", func(t *testing.T, w *world) {
		a := w.Ask(token(w.ending("ada", 5*time.Minute+2*time.Second)))
		mustGrant(t, a, 5*time.Minute)
		got := w.Exchange(a.DecisionID)
		if got.Bound != "token" || got.TrueExpiresAt.After(w.Now().Add(302*time.Second)) {
			t.Errorf("recorded as %+v", got)
		}
		if status := w.Invoke("churn", a.AccessToken); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}

		// By client secret Databricks gives an hour, whatever we ask: what is served is bounded, and the record says so.
		short := w.MintToken(idp.Token{Claims: map[string]any{"groups": []string{"legacy"}, "exp": w.Now().Add(5 * time.Minute).Unix()}})
		a = w.Ask(token(short))
		mustGrant(t, a, 5*time.Minute)
		got = w.Exchange(a.DecisionID)
		if got.Bound != "served" || got.TrueExpiresAt.Sub(w.Now()) < 50*time.Minute || got.ExpiresAt.After(w.Now().Add(5*time.Minute)) {
			t.Errorf("recorded as %+v", got)
		}
		w.Move(5*time.Minute + time.Second)
		mustRefuse(t, w.Ask(token(short)), http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenExpired)
	})
}

func TestRowsJ02J03(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "J02 J03", func(t *testing.T, w *world) {
		ada := w.lasting("ada", "data-eng")
		first := w.Ask(token(ada))
		mustGrant(t, first, tenMinutes)
		w.Move(100 * time.Second)
		second := w.Ask(token(ada))
		if second.AccessToken != first.AccessToken || second.ExpiresIn > first.ExpiresIn-100 || second.ExpiresIn < first.ExpiresIn-120 {
			t.Errorf("J02: expires_in %d after %d", second.ExpiresIn, first.ExpiresIn)
		}
		if got := w.Exchange(second.DecisionID).Cache; got != "memory" {
			t.Errorf("J02: recorded as from %q", got)
		}
		// A token of ten minutes fits until five are left.
		w.Move(4*time.Minute + 30*time.Second)
		if a := w.Probe(token(ada)); a.ExpiresIn < 300 { // near its end it may be renewed ahead, or not yet
			t.Errorf("J03: served with %d s left", a.ExpiresIn)
		}
		w.Move(5*time.Minute + 30*time.Second)
		third := w.Probe(token(ada))
		if third.AccessToken == first.AccessToken || third.ExpiresIn < 300 {
			t.Errorf("J03: served again with %d s left", third.ExpiresIn)
		}
		if status := w.Invoke("churn", third.AccessToken); status != http.StatusOK {
			t.Errorf("J03: status %d", status)
		}
	})
}

// TestRowJ04 holds that what is left of a short token is never taken for "no expiry".
func TestRowJ04(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "J04", func(t *testing.T, w *world) {
		ada := w.lasting("ada", "data-eng")
		first := w.Ask(token(ada), with("requested_lifetime", "60"))
		mustGrant(t, first, time.Minute)
		for _, elapsed := range []time.Duration{16 * time.Second, 50 * time.Second, 90 * time.Second, time.Hour} {
			w.Move(elapsed)
			a := w.Ask(token(ada), with("requested_lifetime", "60"))
			if a.Status != http.StatusOK || a.AccessToken == first.AccessToken || a.ExpiresIn < 45 {
				t.Errorf("after %v: %d, the first token again: %v, expires_in %d", elapsed, a.Status, a.AccessToken == first.AccessToken, a.ExpiresIn)
			}
			first = a
		}
	})
}

func TestRowJ05(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "J05", func(t *testing.T, w *world) {
		ada := w.lasting("ada", "data-eng")
		before := w.Ask(token(ada))
		mustGrant(t, before, tenMinutes)
		rules, _ := w.policy["rules"].(list)
		w.policy["rules"] = append(rules, object{
			"id": "not-ada", "effect": "deny", "owner": "tests", "match": object{"issuer": list{"okta"}, "subject": list{"ada"}},
		})
		w.WritePolicy(w.policy)
		w.Eventually("the new policy is in force", func() bool { return w.Probe(token(ada)).Status != http.StatusOK })
		after := w.Ask(token(ada))
		mustRefuse(t, after, http.StatusBadRequest, "invalid_request", exchange.ReasonDeniedByRule)
		mustGrant(t, w.Ask(token(w.lasting("bob", "data-eng"))), tenMinutes)
		was, is := w.Exchange(before.DecisionID), w.Exchange(after.DecisionID)
		if is.Rule != "not-ada" || was.Policy == is.Policy || is.Policy == "" {
			t.Errorf("recorded as %+v", is)
		}
		w.policy["rules"] = rules
		w.WritePolicy(w.policy)
		w.Eventually("the old policy is in force again", func() bool { return w.Probe(token(ada)).Status == http.StatusOK })
	})
}

func TestRowsJ06J07(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "J06 J07", func(t *testing.T, w *world) {
		first := w.Ask(token(w.lasting("ada", "data-eng")))
		mustGrant(t, first, tenMinutes)
		mustRefuse(t, w.Ask(token(w.lasting("ada"))), http.StatusBadRequest, "invalid_request", exchange.ReasonNoMatchingRule) // J06

		second := w.Ask(token(w.lasting("bob", "data-eng")))
		if second.AccessToken != first.AccessToken || w.dbx.Mints("") != 1 {
			t.Errorf("J07: two subjects of one client don't share a token: %d mints", w.dbx.Mints(""))
		}
		a, b := w.Exchange(first.DecisionID), w.Exchange(second.DecisionID)
		if a.Subject.Sub != "ada" || b.Subject.Sub != "bob" || a.TokenSHA256 != b.TokenSHA256 || a.Mint != b.Mint || a.ID == b.ID {
			t.Errorf("J07: recorded as %+v and %+v", a, b)
		}
		other := w.Ask(token(w.lasting("bob", "data-eng")), as("tracker"))
		if other.AccessToken == first.AccessToken {
			t.Error("J07: two clients share a token")
		}
	})
}

func TestRowsJ08J10(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "J08 J10", func(t *testing.T, w *world) {
		tokens := map[string]string{}
		distinct := func(name string, a answer) {
			t.Helper()
			if a.Status != http.StatusOK {
				t.Fatalf("%s: %s", name, a.Body)
			}
			if other, taken := tokens[a.AccessToken]; taken {
				t.Errorf("%s got the token of %s", name, other)
			}
			tokens[a.AccessToken] = name
		}
		// J08: each subject of this principal has its own token, whatever its name looks like.
		for _, sub := range []string{"a", "a|", "a|b", "a:b", "a/b", "|a", `a","b`, "a b"} {
			distinct("J08 "+sub, w.Ask(token(w.lasting(sub, "private"))))
		}
		strict := w.MintToken(idp.Token{Issuer: "strict", Header: map[string]any{"typ": "at+jwt"}, Claims: map[string]any{"sub": "a", "groups": []string{"private"}}})
		distinct("J08 another issuer's a", w.Ask(token(strict), with("subject_token_type", typeAccessToken)))
		// J10
		etlToken := w.lasting("a", "etl", "data-eng")
		distinct("J10 all scopes", w.Ask(token(etlToken), with("audience", "prod/etl")))
		distinct("J10 one scope", w.Ask(token(etlToken), with("audience", "prod/etl", "scope", "sql")))
		distinct("J10 another principal", w.Ask(token(etlToken), with("audience", "prod/ml-inference")))
		distinct("J10 details", w.Ask(token(w.lasting("a", "details"))))
	})
}

// TestRowJ09 holds that a subject without a name is nobody, not everybody.
func TestRowJ09(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "J09", func(t *testing.T, w *world) {
		for _, sub := range []any{"", nil} {
			mustRefuse(t, w.Ask(token(w.Token(map[string]any{"sub": sub}))), http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenInvalid)
		}
		if n := w.dbx.Mints(""); n != 0 {
			t.Errorf("%d mints for nobody", n)
		}
	})
}

// TestRowJ11 is also what the main job must show: 1,000 concurrent exchanges of one grant against a cold cache lead to
// exactly one mint. TestReplicasShareTokens is the same over several replicas.
//
// It is not parallel: beside others a thousand callers can starve the one mint past its longest timeout.
func TestRowJ11(t *testing.T) {
	starved := newWorld(t, func(_ *world, s *setup) { s.config["databricks"].(object)["timeout"] = "10s" })
	starved.http.Timeout = 2 * patience
	eachOf(t, singles, starved, "J11", func(t *testing.T, w *world) {
		callers := 1000
		if w.door.name != "form" {
			callers = 200 // that they share is the store's doing: the thousand are for the machine
		}
		ada := w.lasting("ada", "data-eng")
		mustGrant(t, w.Ask(token(ada), as("tracker")), tenMinutes) // keys are fetched; it is another grant
		defer w.dbx.AddFault(emulator.Fault{Route: databricks.TokenRoute, Delay: 2 * time.Second})()
		before := w.mints()

		// The first caller's mint is under way before the others take the machine.
		var wg sync.WaitGroup
		answers := make([]answer, callers)
		wg.Go(func() { answers[0] = w.Probe(token(ada)) })
		if err := w.dbx.WaitCalls(t.Context(), databricks.TokenRoute, before+1); err != nil {
			t.Fatal(err)
		}
		// They arrive some at a time and all wait together: a thousand that connect at once would starve the mint.
		arriving := make(chan struct{}, 50)
		others := w
		if w.door.name != "grpc" {
			others = w.Within(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				WroteRequest: func(httptrace.WroteRequestInfo) { <-arriving },
			}))
		}
		for i := range callers - 1 {
			if others != w {
				arriving <- struct{}{}
			}
			wg.Go(func() { answers[i+1] = others.Probe(token(ada)) })
		}
		wg.Wait()
		if got := w.mints() - before; got != 1 {
			t.Errorf("%d mints for %d concurrent misses", got, callers)
		}
		for i, a := range answers {
			if a.Status != http.StatusOK || a.AccessToken != answers[0].AccessToken {
				t.Fatalf("caller %d: status %d, another token than caller 0: %s", i, a.Status, a.Body)
			}
		}
	})
}

// TestRowJ12 holds that the first caller's hanging up changes nothing for the others.
func TestRowJ12(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "J12", func(t *testing.T, w *world) {
		ada := token(w.lasting("ada", "data-eng"))
		earlier := len(w.Of("exchange"))
		remove := w.dbx.AddFault(hold())
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan answer, 1)
		go func() { left <- w.Within(ctx).Probe(ada) }()
		if err := w.dbx.WaitCalls(t.Context(), databricks.TokenRoute, 1); err != nil {
			t.Fatal(err)
		}
		leave()
		if a := <-left; a.AccessToken != "" || a.DecisionID != "" {
			t.Fatalf("the leader was answered: %s", a.Body)
		}
		answers := make(chan answer, 10)
		for range cap(answers) {
			go func() { answers <- w.Probe(ada) }()
		}
		w.Eventually("the others wait", func() bool { return w.Metric("sts_flight_waiters") >= float64(cap(answers)) })
		remove()
		for range cap(answers) {
			mustGrant(t, <-answers, tenMinutes)
		}
		if n := w.mints(); n != 1 {
			t.Errorf("%d mints", n)
		}
		w.Eventually("the leader's attempt is recorded", func() bool {
			return slices.ContainsFunc(w.Of("exchange")[earlier:], func(e record) bool {
				return e.Reason == string(exchange.ReasonDeadlineExceeded) && e.Entrance == w.door.recorded
			})
		})
	})
}

func TestRowJ13(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "J13", func(t *testing.T, w *world) {
		w.dbx.AddFault(emulator.Fault{Route: databricks.TokenRoute, Status: http.StatusInternalServerError, Times: 1})
		mustRefuse(t, w.Ask(), http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonUpstreamUnavailable)
		mustGrant(t, w.Ask(), tenMinutes) // nothing was remembered against it
	})
}

// hold keeps every mint waiting until it is removed.
func hold() emulator.Fault { return emulator.Fault{Route: databricks.TokenRoute, Hold: true} }
