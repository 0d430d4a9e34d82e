package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// agentsWorld lets agents act for people, whose policy asks of an agent what one can be asked.
func agentsWorld(w *world, s *setup) {
	s.config["delegation"] = object{"enabled": true}
	clients, _ := s.config["clients"].(object)
	agents := func(name string, limits object) {
		clients[name] = w.client(name, object{"may_act": true, "limits": limits})
	}
	agents("copilot", object{"rate": "100000/s"})
	agents("throttled", object{"per_actor": "2/h", "per_subject": "100000/h"})
	agents("gentle", object{"per_subject": "2/h"})

	pair := func(id, group, agent, principal string, more object) object {
		actor := object{"issuer": list{"okta"}, "subject": list{agent}}
		for key, value := range more {
			actor[key] = value
		}
		return object{
			"id": id, "owner": "tests", "match": object{"issuer": list{"okta"}, "groups": object{"any": list{group}}, "actor": actor},
			"grant": object{"principal": principal, "lifetime": "5m"},
		}
	}
	rules, _ := s.policy["rules"].(list)
	s.policy["rules"] = append(rules,
		pair("agents", "data-eng", "agent-*", "ml-inference", nil),
		pair("young-agents", "data-eng", "young-*", "ml-inference", object{"max_session_age": "30m"}),
		pair("exact-agents", "etl", "exact-*", "etl", object{"names_principal": true}),
		pair("members", "data-eng", "worker", "ml-inference", object{"groups": object{"any": list{"bots"}}}),
		object{"id": "itself", "owner": "tests", "match": object{"issuer": list{"okta"}, "subject": list{"lone-agent"}}, "grant": object{"principal": "etl", "lifetime": "5m"}},
	)
	s.policy["tests"] = list{object{
		"name": "an old session of an agent", "client": "copilot", "audience": "prod",
		"subject": object{"issuer": "okta", "subject": "ada", "groups": list{"data-eng"}},
		"actor":   object{"issuer": "okta", "subject": "young-1", "session_age": "42m"}, "expect": object{"reason": "no_matching_rule"},
	}}
}

// agent is a token of okta for an agent, in no group unless claims say so.
func (w *world) agent(name string, claims map[string]any) string {
	all := map[string]any{"sub": name, "groups": []string{}, "azp": "agents"}
	for key, value := range claims {
		all[key] = value
	}
	return w.MintToken(idp.Token{Lifetime: 20 * time.Hour, Claims: all})
}

// acting has an actor act.
func acting(token string) func(*request) {
	return with("actor_token", token, "actor_token_type", typeJWT)
}

const fiveMinutes = 5 * time.Minute

func TestAgents(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t, agentsWorld), "agents", func(t *testing.T, w *world) {
		refused := func(a answer, reason exchange.Reason) {
			t.Helper()
			mustRefuse(t, a, http.StatusBadRequest, "invalid_request", reason)
		}
		limited := func(a answer) {
			t.Helper()
			mustRefuse(t, a, http.StatusTooManyRequests, "temporarily_unavailable", exchange.ReasonRateLimited)
			if a.RetryAfter < 25*time.Minute || a.RetryAfter > 30*time.Minute {
				t.Errorf("to come again after %v", a.RetryAfter)
			}
		}
		copilot := as("copilot")

		// A person must stand behind it, and be granted the same.
		agent := w.agent("agent-1", nil)
		mustGrant(t, w.Ask(copilot, acting(agent)), fiveMinutes)
		refused(w.Ask(copilot, acting(agent), token(w.lasting("eve", "hr"))), exchange.ReasonNoMatchingRule)
		refused(w.Ask(copilot, acting(agent), token(w.lasting("mallory", "data-eng", "contractors"))), exchange.ReasonDeniedByRule)
		refused(w.Ask(copilot, token(agent)), exchange.ReasonNoMatchingRule)
		mustGrant(t, w.Ask(copilot, token(w.agent("lone-agent", nil))), fiveMinutes)
		refused(w.Ask(copilot, acting(w.agent("lone-agent", nil))), exchange.ReasonNoMatchingRule)
		refused(w.Ask(copilot, acting(w.agent("worker", nil))), exchange.ReasonNoMatchingRule)
		mustGrant(t, w.Ask(copilot, acting(w.agent("worker", map[string]any{"groups": []string{"bots"}}))), fiveMinutes)

		// One principal, asked for by name.
		exact := []func(*request){copilot, acting(w.agent("exact-1", nil)), token(w.lasting("ada", "etl"))}
		refused(w.Ask(exact...), exchange.ReasonNoMatchingRule)
		mustGrant(t, w.Ask(append(exact, with("audience", "prod/etl"))...), fiveMinutes)

		// It has a limit of its own, and takes no more than that of a person's.
		throttled := as("throttled")
		mustGrant(t, w.Ask(throttled, acting(agent)), fiveMinutes)
		limited(w.Ask(throttled, acting(agent)))
		limited(w.Ask(throttled, acting(agent), token(w.lasting("bob", "data-eng"))))
		mustGrant(t, w.Ask(throttled, acting(w.agent("agent-2", nil))), fiveMinutes)
		mustGrant(t, w.Ask(throttled), tenMinutes)

		// A person has one for all who act for her.
		gentle := as("gentle")
		mustGrant(t, w.Ask(gentle), tenMinutes)
		limited(w.Ask(gentle))
		over := w.Ask(gentle, acting(agent))
		limited(over)
		if r := w.Exchange(over.DecisionID); r.Outcome != "denied" || r.Rule != "agents" {
			t.Errorf("recorded as %+v", r)
		}
		mustGrant(t, w.Ask(gentle, token(w.lasting("bob", "data-eng"))), tenMinutes)

		// Its session is young, counted from its sign-in if that is told.
		refused(w.Ask(copilot, acting(w.agent("young-1", map[string]any{"auth_time": w.Now().Add(-42 * time.Minute).Unix()}))), exchange.ReasonNoMatchingRule)
		young, signedIn := w.agent("young-1", nil), w.agent("young-2", map[string]any{"auth_time": w.Now().Add(-20 * time.Minute).Unix()})
		mustGrant(t, w.Ask(copilot, acting(young)), fiveMinutes)
		mustGrant(t, w.Ask(copilot, acting(signedIn)), fiveMinutes)
		w.Move(29 * time.Minute)
		mustGrant(t, w.Ask(copilot, acting(young)), fiveMinutes)
		refused(w.Ask(copilot, acting(signedIn)), exchange.ReasonNoMatchingRule)
		w.Move(31 * time.Minute)
		refused(w.Ask(copilot, acting(young)), exchange.ReasonNoMatchingRule)
		mustGrant(t, w.Ask(throttled, acting(agent)), fiveMinutes) // half an hour later, there is one more
		limited(w.Ask(throttled, acting(agent)))
	})
}
