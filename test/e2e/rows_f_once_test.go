package e2e_test

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
	"github.com/lakegate/sts/internal/emulator/awssts"
	"github.com/lakegate/sts/internal/emulator/idp"
	"github.com/lakegate/sts/internal/emulator/samlidp"
)

// onceSettled is how long after its marks are born a service takes every token that is made from then on.
const onceSettled = identity.DefaultClockSkew + time.Second

// acceptsOnce makes okta's tokens good for one use.
func acceptsOnce(_ *world, s *setup) {
	s.config["identity_providers"].(object)["okta"].(object)["single_use"] = true
}

// newOnceWorld starts a world whose service has kept marks for long enough.
func newOnceWorld(t *testing.T, change ...func(w *world, s *setup)) *world {
	t.Helper()
	w := prepareWorld(t, append(change, acceptsOnce)...)
	w.Move(-onceSettled)
	w.Start()
	mustRefuse(t, w.Ask(), http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonReplayCheckUnavailable) // marks are born
	w.Move(0)
	return w
}

// wantReplayed holds that a used token is refused, and that its record says whose it was.
func wantReplayed(t *testing.T, w *world, a answer) {
	t.Helper()
	mustRefuse(t, a, http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenReplayed)
	if r := w.Exchange(a.DecisionID); r.Subject.Sub != "alice" || r.SubjectToken.JTI == "" {
		t.Errorf("the record of a replay doesn't say whose token it was: %+v", r)
	}
}

func TestRowsF26(t *testing.T) {
	t.Parallel()
	w := newOnceWorld(t)
	used := func(f ...func(*request)) func(*world) request {
		return func(w *world) request {
			r := change(f...)(w)
			w.Ask(func(first *request) { first.Params = r.Params })
			return r
		}
	}
	replayed := func(id string, ask func(*world) request) row {
		return row{id: id, ask: ask, status: 400, code: "invalid_request", reason: exchange.ReasonSubjectTokenReplayed, says: "okta",
			check: func(t *testing.T, w *world, a answer) { wantReplayed(t, w, a) }}
	}
	runRows(t, w, []row{
		{id: "F26 the first use"},
		replayed("F26", used()),
		replayed("F26 denied the first time", used(with("audience", "prod/etl"))),
		{id: "F26 without a jti", ask: subject(object{"jti": nil}), status: 400, code: "invalid_request", reason: exchange.ReasonSubjectTokenInvalid, says: "jti"},
		{id: "F26 another provider's", ask: func(w *world) request {
			strict := w.MintToken(idp.Token{Issuer: "strict", Header: map[string]any{"typ": "at+jwt"}})
			if first := w.Ask(token(strict), with("subject_token_type", typeAccessToken)); first.Status != http.StatusOK {
				t.Errorf("the first use: %s", first.Body)
			}
			return change(token(strict), with("subject_token_type", typeAccessToken))(w)
		}},
	})
}

// TestRowF26Replicas holds that a token which one replica has taken is refused by all, of whatever kind, also by many at once;
// and that nothing that was used before a flush of Redis is taken again.
func TestRowF26Replicas(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	w := newOnceWorld(t, on(postgres.NewDatabase(t)), over(redis, "1s"), inAWS, withSAML)
	t.Cleanup(func() { w.said.addSecrets(append(w.aws.Secrets(), w.saml.Secrets()...)) })
	replicas := []*world{w, w.Replica()}
	mustGrant(t, replicas[0].Ask(token(w.lasting("ada", "data-eng"))), tenMinutes)
	mustGrant(t, replicas[1].Ask(token(w.lasting("ada", "data-eng"))), tenMinutes)

	used := w.Token(nil)
	mustGrant(t, replicas[0].Ask(token(used)), tenMinutes)
	wantReplayed(t, replicas[1], replicas[1].Ask(token(used)))

	for _, once := range []func(*request){w.signed("etl", "i-1", awssts.Ask{}), w.assertion(samlidp.Assertion{})} {
		mustGrant(t, replicas[1].Ask(once), tenMinutes)
		mustRefuse(t, replicas[0].Ask(once), http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenReplayed)
	}

	contest(t, replicas)

	unused := w.Token(nil)
	if err := redis.Flush(); err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"a used one": used, "one that may have been": unused} {
		for _, r := range replicas {
			a := r.Ask(token(text))
			mustRefuse(t, a, http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonReplayCheckUnavailable)
			if a.Header.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", what)
			}
		}
	}
	w.Move(onceSettled + 2*time.Second)
	if a := replicas[1].Ask(); a.Status != http.StatusOK {
		t.Errorf("a token that was issued afterwards: %s", a.Body)
	}
	mustRefuse(t, replicas[1].Ask(token(used)), http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonReplayCheckUnavailable)
}

// contest has many present one token to the replicas at once: it is granted to one of them, and refused as used to all others.
// Where Redis was too slow for somebody, who is then refused since nobody can tell, nothing can be said of that round but that
// no two were granted; on a machine that is busy otherwise there are a few such rounds.
func contest(t *testing.T, replicas []*world) {
	t.Helper()
	const rounds, callers = 8, 32
	for range rounds {
		var granted, used, unchecked atomic.Int64
		var all sync.WaitGroup
		contested := replicas[0].lasting("alice", "data-eng")
		for i := range callers {
			all.Go(func() {
				switch a, err := replicas[i%len(replicas)].try(replicas[i%len(replicas)].tokenRequest(contested)); {
				case err != nil:
					t.Error(err)
				case a.Status == http.StatusOK:
					granted.Add(1)
				case a.Reason == string(exchange.ReasonSubjectTokenReplayed):
					used.Add(1)
				case a.Reason == string(exchange.ReasonReplayCheckUnavailable):
					unchecked.Add(1)
				default:
					t.Errorf("%d %s", a.Status, a.Body)
				}
			})
		}
		all.Wait()
		switch {
		case granted.Load() > 1:
			t.Fatalf("%d were granted one token", granted.Load())
		case unchecked.Load() > 0:
			continue
		case granted.Load() != 1 || used.Load() != callers-1:
			t.Fatalf("%d granted, %d refused as used", granted.Load(), used.Load())
		}
		return
	}
	t.Errorf("Redis was too slow for somebody in each of %d rounds", rounds)
}

// TestRowF26Restart holds that a service which has forgotten its marks refuses what it may have seen.
func TestRowF26Restart(t *testing.T) {
	t.Parallel()
	w := newOnceWorld(t)
	used := w.Token(nil)
	mustGrant(t, w.Ask(token(used)), tenMinutes)
	w.sts.Stop(t)
	w.Start()
	mustRefuse(t, w.Ask(token(used)), http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonReplayCheckUnavailable)
	w.Move(onceSettled + patience)
	mustGrant(t, w.Ask(), tenMinutes)
	mustRefuse(t, w.Ask(token(used)), http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonReplayCheckUnavailable)
}

// TestRowF26Reload switches single_use on in a running service: a token that it knows already gets no further way in.
func TestRowF26Reload(t *testing.T) {
	t.Parallel()
	w := prepareWorld(t)
	w.Move(-onceSettled)
	w.Start()
	w.Move(0)
	known := w.Token(nil)
	mustGrant(t, w.Ask(token(known)), tenMinutes)
	mustGrant(t, w.Ask(token(known)), tenMinutes)

	config := maps.Clone(w.config)
	providers := maps.Clone(config["identity_providers"].(object))
	okta := maps.Clone(providers["okta"].(object))
	okta["single_use"] = true
	providers["okta"], config["identity_providers"] = okta, providers
	w.WriteConfig(config)
	w.Eventually("a token is refused that was used before", func() bool {
		fresh := token(w.Token(nil))
		mustGrant(t, w.Ask(fresh), tenMinutes)
		return w.Ask(fresh).Reason == string(exchange.ReasonSubjectTokenReplayed)
	})
	mustGrant(t, w.Ask(token(known)), tenMinutes) // nobody had counted
	wantReplayed(t, w, w.Ask(token(known)))
	if !strings.Contains(w.Metrics(), `sts_identity_verifications_total{provider="okta",result="subject_token_replayed"} `) {
		t.Error("replays are not counted")
	}
}
