package mapping

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"time"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
)

// maxTraces bounds the rules that an explanation shows.
const maxTraces = 1000

// Explain implements stsv1.MappingServiceServer.
func (s *Service) Explain(ctx context.Context, r *stsv1.ExplainRequest) (*stsv1.ExplainResponse, error) {
	if r.GetDecisionId() != "" {
		return s.explainPast(ctx, r)
	}
	p, err := s.policy()
	if err != nil {
		return nil, err
	}
	a := &exchange.Attempt{Time: s.cfg.Now(), Call: &exchange.Call{Client: s.cfg.Client(r.GetClient())}}
	if a.Call.Client == nil {
		return nil, malformed("client names none that is registered")
	}
	if err := p.readParties(a, r); err != nil {
		return nil, err
	}
	return s.explained(ctx, p, a, r), nil
}

// explained decides about an attempt, and tells of it.
func (s *Service) explained(ctx context.Context, p *Policy, a *exchange.Attempt, r *stsv1.ExplainRequest) *stsv1.ExplainResponse {
	answer := &stsv1.ExplainResponse{Policy: p.digest}
	if a.Err = s.attempt(ctx, p, a, r); a.Err != nil {
		answer.Reason, answer.Description = string(a.Err.Reason), a.Err.Message
	} else {
		answer.Grant = grantMessage(a)
	}
	answer.Outcome, answer.Rule = string(a.Outcome()), a.Decision.Rule
	if a.Subject != nil {
		answer.Subject = identityMessage(a.Subject, r.GetSubjectToken() != "")
	}
	if a.Subject != nil && a.Request != nil {
		explanation(answer, p.Explain(a))
	}
	return answer
}

// attempt goes the way of an exchange, as far as its decision.
func (s *Service) attempt(ctx context.Context, p *Policy, a *exchange.Attempt, r *stsv1.ExplainRequest) *exchange.Error {
	params := paramsOf(r)
	if err := a.Call.Client.MayUse(params.GrantType); err != nil {
		return err
	}
	request, err := params.Parse()
	if err != nil {
		return err
	}
	a.Request = request
	if a.Subject == nil {
		subject, err := s.cfg.Verifier.Verify(ctx, request.Subject, exchange.UseExplain)
		if err != nil {
			return exchange.AsError(err)
		}
		a.Subject = subject
	}
	return a.Judge(s.cfg.Delegation, p)
}

// paramsOf are the parameters of the token request that an explanation is asked for.
func paramsOf(r *stsv1.ExplainRequest) exchange.Params {
	params := exchange.Params{
		GrantType: exchange.GrantTypeTokenExchange, SubjectToken: exchange.Secret(r.GetSubjectToken()), SubjectTokenType: r.GetSubjectTokenType(),
		Audience: []string{r.GetAudience()}, Resource: []string{r.GetResource()}, Scope: r.GetScope(),
	}
	if r.GetSubject() != nil {
		// There is no token, and whoever says what it would say needs none.
		params.SubjectToken, params.SubjectTokenType = "-", string(exchange.TypeJWT)
	}
	if r.RequestedLifetimeSeconds != nil {
		params.RequestedLifetime = strconv.Itoa(int(r.GetRequestedLifetimeSeconds()))
	}
	var details exchange.Details
	for _, d := range r.GetAuthorizationDetails() {
		details = append(details, exchange.Detail{Type: d.GetType(), ObjectType: d.GetObjectType(), ObjectPath: d.GetObjectPath(), Actions: d.GetActions()})
	}
	params.AuthorizationDetails = details.JSON()
	return params
}

// readParties takes subject and actor as they are described, and refuses what describes nobody, or two.
func (p *Policy) readParties(a *exchange.Attempt, r *stsv1.ExplainRequest) *exchange.Error {
	switch given := r.GetSubject() != nil; {
	case given == (r.GetSubjectToken() != ""):
		return malformed("send one of subject_token, subject and decision_id")
	case given && r.GetSubjectTokenType() != "":
		return malformed("subject_token_type is there without a subject_token")
	}
	var err *exchange.Error
	if r.GetSubject() != nil {
		if a.Subject, err = p.described("subject", r.GetSubject(), a.Time); err != nil {
			return err
		}
		if a.Subject.Party == "" {
			client := *a.Call.Client
			client.AnyParty = true
			a.Call.Client = &client
		}
	}
	if r.GetActor() != nil {
		if a.Actor, err = p.described("actor", r.GetActor(), a.Time); err != nil {
			return err
		}
		if a.Actor.Party == "" {
			client := *a.Call.Client
			client.AnyActorParty = true
			a.Call.Client = &client
		}
	}
	return nil
}

// described is somebody as a request describes him, with a token that outlives whatever policy could grant.
func (p *Policy) described(what string, d *stsv1.ExplainIdentity, now time.Time) (*exchange.Identity, *exchange.Error) {
	provider, known := p.env.provider(d.GetIssuer())
	switch {
	case d.GetIssuer() == "" || !known:
		return nil, malformed("%s.issuer names none of the identity providers; it is a name of the configuration, not a URL", what)
	case d.GetSubject() == "":
		return nil, malformed("%s.subject is missing", what)
	case d.GetGroupsUnknown() && len(d.GetGroups()) > 0:
		return nil, malformed("%s has groups, and says that they are unknown", what)
	}
	id := &exchange.Identity{
		Provider: d.GetIssuer(), Subject: d.GetSubject(), Party: d.GetParty(), Claims: map[string]any{},
		Groups: exchange.Groups{Known: !d.GetGroupsUnknown()}, IssuedAt: now, Expiry: now.Add(maxPolicyLifetime).Truncate(time.Second),
	}
	id.Groups.Names = slices.Compact(slices.Sorted(slices.Values(d.GetGroups())))
	for name, value := range d.GetClaims().GetFields() {
		claim, ok := claimOf(value.AsInterface(), 2)
		if !ok {
			return nil, malformed("%s.claims nest deeper than those of a token may", what)
		}
		id.Claims[name] = claim
	}
	id.Issuer = provider.issuerOf(id.Claims)
	// What a token's act and may_act do to an exchange must not be lost in its explanation.
	if id.Claims["act"] != nil {
		return nil, malformed("%s.claims has an act; describe who acts in actor", what)
	}
	if may := id.Claims["may_act"]; may != nil {
		var ok bool
		if id.MayAct, ok = may.(map[string]any); !ok {
			return nil, malformed("%s.claims has a may_act that is not an object", what)
		}
	}
	return id, nil
}

// explanation adds how the rules fared.
func explanation(answer *stsv1.ExplainResponse, x *Explanation) {
	traces := furthest(x.Rules)
	answer.RulesLeftOut = int32(len(x.Rules) - len(traces)) //nolint:gosec // fewer than a file has bytes
	for _, tr := range traces {
		answer.Rules = append(answer.Rules, traceMessage(tr))
	}
	if x.Nearest != nil {
		answer.Nearest = traceMessage(x.Nearest)
	}
}

// furthest are the traces that are shown: all, or those that matched or failed last. They stay in their order.
func furthest(all []Trace) []*Trace {
	traces := make([]*Trace, len(all))
	for i := range all {
		traces[i] = &all[i]
	}
	if len(all) <= maxTraces {
		return traces
	}
	place := make(map[*Trace]int, len(all))
	for i, tr := range traces {
		place[tr] = i
	}
	far := func(tr *Trace) int {
		if tr.Matched {
			return len(parts)
		}
		return tr.rank
	}
	slices.SortStableFunc(traces, func(a, b *Trace) int { return cmp.Compare(far(b), far(a)) })
	traces = traces[:maxTraces]
	slices.SortFunc(traces, func(a, b *Trace) int { return cmp.Compare(place[a], place[b]) })
	return traces
}

func traceMessage(tr *Trace) *stsv1.RuleTrace {
	wanted, saw := tr.Condition()
	return &stsv1.RuleTrace{
		Rule: tr.Rule, Effect: effectOf(tr.Deny), Matched: tr.Matched, Failed: tr.Failed, Wanted: wanted, Saw: saw,
		Alone: tr.Alone, Position: positionMessage(tr.Pos),
	}
}

func grantMessage(a *exchange.Attempt) *stsv1.ExplainedGrant {
	g := &a.Decision.Grant
	return &stsv1.ExplainedGrant{
		Principal: g.Principal, Workspace: g.Workspace, ApplicationId: g.ApplicationID, Scopes: g.Scopes,
		AuthorizationDetails: detailMessages(g.Details), LifetimeSeconds: seconds(a.ExpiresAt.Sub(a.Time)),
	}
}

func identityMessage(id *exchange.Identity, ofToken bool) *stsv1.ExplainedIdentity {
	m := &stsv1.ExplainedIdentity{
		Issuer: id.Provider, Subject: id.Subject, Groups: id.Groups.Names, GroupsUnknown: !id.Groups.Known, Party: id.Party,
	}
	if ofToken {
		m.ExpiresAt = timeMessage(id.Expiry)
	}
	return m
}

const (
	// maxClaimDepth is how deep the claims of a token may nest, the object of all claims included.
	maxClaimDepth = 32
	// maxExact bounds the whole numbers that a float64 holds exactly.
	maxExact = 1 << 53
)

// claimOf is a value of JSON as a claim of exchange.Identity; not ok where it nests too deep. A number without a fraction
// is an integer there; here nobody can tell 1 from 1.0.
func claimOf(value any, depth int) (claim any, ok bool) {
	switch v := value.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) <= maxExact {
			return int64(v), true
		}
	case []any:
		ok = depth <= maxClaimDepth
		for i := 0; i < len(v) && ok; i++ {
			v[i], ok = claimOf(v[i], depth+1)
		}
		return v, ok
	case map[string]any:
		ok = depth <= maxClaimDepth
		for name := range v {
			if ok {
				v[name], ok = claimOf(v[name], depth+1)
			}
		}
		return v, ok
	}
	return value, true
}
