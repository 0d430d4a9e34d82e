package mapping

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
)

// Past finds exchanges that were recorded.
type Past interface {
	// Exchange returns the exchange of a decision id. Its error is of CodeNotFound where there is none.
	Exchange(ctx context.Context, decisionID string) (*PastExchange, error)
}

// PastExchange is an exchange as far as its records tell of it.
type PastExchange struct {
	ID     string
	Time   time.Time
	Client string
	// Subject is who the subject token spoke of, with the claims that were recorded: those that the policy reads. It is nil
	// where the token did not verify, or where its record is gone. So is Actor, which is nil where nobody acted, too.
	Subject, Actor *exchange.Identity
	// Acted says that somebody acted for the subject, ActorTold that he was known by the subject token's word alone.
	Acted     bool
	ActorTold bool
	Target    exchange.Target

	Outcome exchange.Outcome
	Reason  exchange.Reason
	// Policy is the digest of the one that decided, "" where it never came to a decision.
	Policy, Rule string

	// Of what was granted:
	Principal string
	Scopes    []string
	Details   exchange.Details
}

// explainPast decides an exchange of the past again, as of its time, under the policy that decided it. It says what of it
// could not be rebuilt.
func (s *Service) explainPast(ctx context.Context, r *stsv1.ExplainRequest) (*stsv1.ExplainResponse, error) {
	if alone := (&stsv1.ExplainRequest{DecisionId: r.GetDecisionId()}); !proto.Equal(r, alone) {
		return nil, malformed("decision_id stands in the place of all else; send nothing beside it")
	}
	if s.cfg.Past == nil {
		return nil, malformed("nothing that was recorded can be asked for here")
	}
	past, err := s.cfg.Past.Exchange(ctx, r.GetDecisionId())
	if err != nil {
		return nil, err
	}
	w := &rebuilding{past: past}
	p, err := s.policyOf(ctx, w)
	if err != nil {
		return nil, err
	}
	a := w.attempt(p, s.cfg.Client(past.Client))
	var answer *stsv1.ExplainResponse
	if a == nil {
		answer = &stsv1.ExplainResponse{
			Policy: past.Policy, Outcome: string(past.Outcome), Reason: string(past.Reason), Rule: past.Rule,
		}
	} else {
		answer = s.explained(ctx, p, a, w.request(p))
		w.compare(answer)
	}
	answer.Recorded, answer.Caveats = recordedMessage(past), w.caveats
	return answer, nil
}

// rebuilding makes an attempt of what was recorded, and collects what is missing.
type rebuilding struct {
	past    *PastExchange
	caveats []string
}

func (w *rebuilding) miss(format string, args ...any) {
	w.caveats = append(w.caveats, fmt.Sprintf(format, args...))
}

// policyOf is the policy that decided, or else the one in force.
func (s *Service) policyOf(ctx context.Context, w *rebuilding) (*Policy, error) {
	p, err := s.policy()
	digest := w.past.Policy
	if err != nil || digest == p.digest {
		return p, err
	}
	if digest == "" {
		if w.past.Subject != nil { // else nothing is decided now either
			w.miss("no policy decided then: this is by the policy in force now, %s; the exchange ended before that", p.digest)
		}
		return p, nil
	}
	versions, err := s.cfg.Engine.Versions(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(versions, func(v Version) bool { return v.Digest == digest }) {
		w.miss("the policy that decided, %s, is no longer remembered: this is by the policy in force now, %s, which may say otherwise", digest, p.digest)
		return p, nil
	}
	files, err := s.cfg.Engine.Content(ctx, digest)
	if err != nil {
		return nil, err
	}
	s.compiling.Lock()
	defer s.compiling.Unlock()
	then, err := Compile(files, p.env)
	if err != nil { // its faults quote the files
		w.miss("the policy that decided, %s, does not fit the configuration of now, such as a client or an identity provider that is gone: "+
			"this is by the policy in force now, %s, which may say otherwise", digest, p.digest)
		return p, nil
	}
	return then, nil
}

// attempt is the exchange as it can be decided again; nil where it can't.
func (w *rebuilding) attempt(p *Policy, client *exchange.Client) *exchange.Attempt {
	past := w.past
	switch {
	case past.Subject == nil:
		w.miss("whom the subject token spoke of is not on record: it did not verify, the exchange ended before, or the record is past its retention; so only what was recorded is said")
		return nil
	case past.Acted && past.Actor == nil:
		w.miss("the record of who acted for the subject is gone; so only what was recorded is said")
		return nil
	case past.Policy != "" && past.Policy != p.digest:
		w.miss("of the claims only those are on record that the policy of then read; a rule that reads another finds it missing")
	}
	if client == nil {
		w.miss("the client %s is no longer registered; it is taken for one that may ask for everything", past.Client)
		client = everything(p, past)
	} else {
		w.miss("the client is judged by its registration of now")
	}
	return &exchange.Attempt{ID: past.ID, Time: past.Time, Call: &exchange.Call{Client: client}, Subject: past.Subject, Actor: past.Actor, ActorTold: past.ActorTold}
}

// everything is a client that nothing is refused to.
func everything(p *Policy, past *PastExchange) *exchange.Client {
	providers := []string{past.Subject.Provider}
	if past.Actor != nil {
		providers = append(providers, past.Actor.Provider)
	}
	return &exchange.Client{
		ID: past.Client, IdentityProviders: providers, AnyParty: true, MayAct: true, AnyActorParty: true,
		Audiences: slices.Sorted(maps.Keys(p.workspaces)), Grants: []string{exchange.GrantTypeTokenExchange},
	}
}

// request is what had been asked for.
func (w *rebuilding) request(p *Policy) *stsv1.ExplainRequest {
	past := w.past
	r := &stsv1.ExplainRequest{
		Subject:  &stsv1.ExplainIdentity{}, // there is one
		Audience: strings.TrimSuffix(past.Target.Workspace+"/"+past.Target.Principal, "/"), Resource: past.Target.Resource,
	}
	if past.Outcome == exchange.OutcomeGranted && past.Policy == p.digest {
		r.Scope, r.AuthorizationDetails = strings.Join(past.Scopes, " "), detailMessages(past.Details)
		w.miss("the lifetime that was asked for is not on record, and the scope and authorization details only as they were granted")
	} else {
		w.miss("the scope, authorization details and lifetime that were asked for are not on record; it is decided as if none had been")
	}
	return r
}

// compare says where the decision of now isn't how the exchange ended.
func (w *rebuilding) compare(answer *stsv1.ExplainResponse) {
	past := w.past
	switch granted := answer.GetOutcome() == string(exchange.OutcomeGranted); {
	case granted && past.Policy == answer.GetPolicy() && past.Outcome != exchange.OutcomeGranted:
		w.miss("policy grants what is rebuilt here; the exchange ended with %s by what is missing above, or by what policy does not decide", past.Reason)
	case answer.GetOutcome() != string(past.Outcome) || answer.GetReason() != string(past.Reason) || answer.GetRule() != past.Rule:
		w.miss("this is not how the exchange ended: recorded says that")
	}
}

func recordedMessage(past *PastExchange) *stsv1.RecordedDecision {
	return &stsv1.RecordedDecision{
		DecisionId: past.ID, Time: timeMessage(past.Time), Policy: past.Policy, Outcome: string(past.Outcome), Reason: string(past.Reason),
		Rule: past.Rule, Principal: past.Principal, Client: past.Client,
	}
}
