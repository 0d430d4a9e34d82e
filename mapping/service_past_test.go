package mapping_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
)

// pasts are exchanges that were recorded.
type pasts map[string]*mapping.PastExchange

func (p pasts) Exchange(_ context.Context, id string) (*mapping.PastExchange, error) {
	if id == "away" {
		return nil, exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable, "later")
	}
	if e := p[id]; e != nil {
		return e, nil
	}
	return nil, exchange.Refuse(exchange.CodeNotFound, exchange.ReasonNotFound, "there is none")
}

// recorded is an exchange of ada's, an hour ago, under a policy.
func recorded(policy string, change func(*mapping.PastExchange)) *mapping.PastExchange {
	subject := ada("ds", "staff")
	subject.Party, subject.Expiry = "web", today.Add(time.Hour)
	e := &mapping.PastExchange{
		ID: "one", Time: today.Add(-time.Hour), Client: "kong", Subject: subject, Target: exchange.Target{Workspace: "prod"},
		Outcome: exchange.OutcomeGranted, Policy: policy, Rule: "data-science", Principal: "ml", Scopes: []string{"sql"},
	}
	change(e)
	return e
}

// An exchange of the past is decided as it was then, with what is on record of it, and what is not is said.
func TestExplainPast(t *testing.T) {
	d := newDesk(t, servicePolicy)
	then := d.house.Policy().Digest()
	// By now nothing is granted any more.
	d.load(t, strings.ReplaceAll(servicePolicy, "mfa", "retina"))
	now := d.house.Policy().Digest()
	type change = func(*mapping.PastExchange)
	for _, row := range []struct {
		name   string
		change change
		policy string
		want   string // as sayExplained has it
		says   string // among the caveats
		not    string
	}{
		{"as it was", func(*mapping.PastExchange) {}, then, "granted ml sql 600 by data-science", "judged by its registration of now", "not how the exchange ended"},
		{"a rule that has expired since", func(e *mapping.PastExchange) {
			e.Time, e.Client, e.Subject.Party = time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC), "nightly-etl", "ci"
			e.Target, e.Outcome, e.Rule, e.Scopes = exchange.Target{Workspace: "staging", Principal: "dev"}, exchange.OutcomeGranted, "old", nil
		}, then, "granted dev", "", ""},
		{"under a policy that nobody remembers", func(e *mapping.PastExchange) { e.Policy = "forgotten" }, now, "denied no_matching_rule; nearest data-science: when", "forgotten, is no longer remembered: this is by the policy in force now, " + now, ""},
		{"and of its claims", func(e *mapping.PastExchange) { e.Policy = "forgotten" }, now, "denied", "of the claims only those are on record", ""},
		{"denied", func(e *mapping.PastExchange) {
			e.Subject.Groups.Names, e.Outcome, e.Reason, e.Rule, e.Scopes = []string{"hr"}, exchange.OutcomeDenied, exchange.ReasonNoMatchingRule, "", nil
		}, then, "denied no_matching_rule; nearest data-science: groups", "were asked for are not on record", "not how the exchange ended"},
		{"by too wide a scope", func(e *mapping.PastExchange) {
			e.Outcome, e.Reason, e.Scopes = exchange.OutcomeDenied, exchange.ReasonScopeExceedsPolicy, nil
		}, then, "granted ml", "ended with scope_exceeds_policy by what is missing", ""},
		{"what failed later", func(e *mapping.PastExchange) {
			e.Outcome, e.Reason, e.Scopes = exchange.OutcomeFailed, exchange.ReasonUpstreamUnavailable, nil
		}, then, "granted ml", "ended with upstream_unavailable", ""},
		{"a client that is gone", func(e *mapping.PastExchange) { e.Client = "gone" }, then, "denied", "gone is no longer registered", ""},
		{"an agent", func(e *mapping.PastExchange) {
			e.Acted, e.Rule, e.Scopes = true, "agents", nil
			e.Actor = &exchange.Identity{Provider: "okta", Issuer: "https://okta.example", Subject: "agent-7", Groups: exchange.Groups{Known: true}, IssuedAt: e.Time.Add(-29 * time.Minute), Expiry: today.Add(time.Hour)}
		}, then, "granted ml", "", "not how the exchange ended"},
		{"an agent whose session was old", func(e *mapping.PastExchange) {
			e.Acted, e.Outcome, e.Reason, e.Rule, e.Scopes = true, exchange.OutcomeDenied, exchange.ReasonNoMatchingRule, "", nil
			e.Actor = &exchange.Identity{
				Provider: "okta", Issuer: "https://okta.example", Subject: "agent-7", Groups: exchange.Groups{Known: true},
				IssuedAt: e.Time, Claims: map[string]any{"auth_time": e.Time.Add(-42 * time.Minute).Unix()}, Expiry: today.Add(time.Hour),
			}
		}, then, "denied no_matching_rule; nearest agents: actor.max_session_age wants an agent's session of at most 30m saw one of 42m", "", "not how the exchange ended"},
		{"an agent whose record is gone", func(e *mapping.PastExchange) { e.Acted = true }, then, "granted", "who acted for the subject is gone", ""},
		{"what no policy came to decide", func(e *mapping.PastExchange) {
			e.Outcome, e.Reason, e.Policy, e.Rule, e.Scopes = exchange.OutcomeDenied, exchange.ReasonNoMatchingRule, "", "", nil
		}, now, "denied no_matching_rule", "no policy decided then: this is by the policy in force now, " + now, "not how the exchange ended"},
		{"a token that did not verify", func(e *mapping.PastExchange) {
			e.Subject, e.Outcome, e.Reason, e.Policy, e.Rule = nil, exchange.OutcomeDenied, exchange.ReasonSubjectTokenInvalid, "", ""
		}, "", "denied subject_token_invalid", "did not verify", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := recorded(then, row.change)
			d.past["one"] = e
			x, err := d.Explain(t.Context(), &stsv1.ExplainRequest{DecisionId: "one"})
			if err != nil {
				t.Fatal(err)
			}
			caveats := strings.Join(x.GetCaveats(), "\n")
			if said := sayExplained(x); !strings.HasPrefix(said, row.want) || x.GetPolicy() != row.policy {
				t.Errorf("%s under %s\nwant %s under %s\n%s", said, x.GetPolicy(), row.want, row.policy, caveats)
			}
			if !strings.Contains(caveats, row.says) || row.not != "" && strings.Contains(caveats, row.not) {
				t.Errorf("says\n%s\nwant %q, not %q", caveats, row.says, row.not)
			}
			r := x.GetRecorded()
			if r.GetDecisionId() != "one" || r.GetPolicy() != e.Policy || r.GetOutcome() != string(e.Outcome) || r.GetReason() != string(e.Reason) ||
				r.GetRule() != e.Rule || r.GetClient() != e.Client || !r.GetTime().AsTime().Equal(e.Time) {
				t.Errorf("recorded: %v", r)
			}
			if d.Object(x) != "one" {
				t.Errorf("it is recorded as %q", d.Object(x))
			}
		})
	}
	if len(d.verifier.used) > 0 {
		t.Errorf("a token was looked at, as %v", d.verifier.used)
	}
}

// A decision id stands alone; what the records can't tell is said as they say it.
func TestExplainPastIsStrict(t *testing.T) {
	d := newDesk(t, servicePolicy)
	d.past["one"] = recorded(d.house.Policy().Digest(), func(*mapping.PastExchange) {})
	for _, r := range []*stsv1.ExplainRequest{
		{DecisionId: "one", Client: "kong"}, {DecisionId: "one", Audience: "prod"}, {DecisionId: "one", Subject: &stsv1.ExplainIdentity{}},
		{DecisionId: "one", SubjectToken: "ada"}, {DecisionId: "one", RequestedLifetimeSeconds: new(int32)},
	} {
		_, err := d.Explain(t.Context(), r)
		wantReason(t, err, exchange.CodeInvalidRequest, "decision_id stands in the place of all else")
	}
	_, err := d.Explain(t.Context(), &stsv1.ExplainRequest{DecisionId: "two"})
	wantReason(t, err, exchange.CodeNotFound, "none")
	_, err = d.Explain(t.Context(), &stsv1.ExplainRequest{DecisionId: "away"})
	wantReason(t, err, exchange.CodeUnavailable, "later")
	if _, err := d.Explain(t.Context(), &stsv1.ExplainRequest{Client: "kong"}); !strings.Contains(exchange.AsError(err).Message, "decision_id") {
		t.Error(err)
	}
	d.past["one"].Policy = "another"
	d.house.ledger.down = errors.New("down")
	if _, err := d.Explain(t.Context(), &stsv1.ExplainRequest{DecisionId: "one"}); err == nil {
		t.Error("a policy is taken for forgotten while the ledger is away")
	}
}
