package mapping_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/google/go-cmp/cmp"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
)

// claims are those of a described identity.
func claims(t *testing.T, members map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(members)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// scientist is a subject whom the rule data-science grants.
func scientist(t *testing.T, change ...func(*stsv1.ExplainRequest)) *stsv1.ExplainRequest {
	r := &stsv1.ExplainRequest{
		Client: "kong", Audience: "prod",
		Subject: &stsv1.ExplainIdentity{Issuer: "okta", Subject: "ada", Groups: []string{"staff", "ds", "ds"}, Claims: claims(t, map[string]any{"amr": []any{"pwd", "mfa"}})},
	}
	for _, f := range change {
		f(r)
	}
	return r
}

func seconds(n int32) func(*stsv1.ExplainRequest) {
	return func(r *stsv1.ExplainRequest) { r.RequestedLifetimeSeconds = &n }
}

func TestExplainClaims(t *testing.T) {
	d := newDesk(t, servicePolicy)
	type change = func(*stsv1.ExplainRequest)
	for _, row := range []struct {
		name   string
		change change
		// want is outcome, reason or grant, rule, and the nearest miss
		want string
	}{
		{"granted", func(*stsv1.ExplainRequest) {}, "granted ml sql 600 by data-science"},
		{"a shorter wish", seconds(90), "granted ml sql 90 by data-science"},
		{"too short a wish", seconds(59), "denied request_malformed"},
		{"by the workspace's URL", func(r *stsv1.ExplainRequest) { r.Audience, r.Resource = "", "https://PROD.example:443/" }, "granted ml sql 600 by data-science"},
		{"no such target", func(r *stsv1.ExplainRequest) { r.Audience = "nowhere" }, "denied target_unknown"},
		{"a target that is no name", func(r *stsv1.ExplainRequest) { r.Audience = "No Where" }, "denied target_unknown"},
		{"a client that may exchange nothing", func(r *stsv1.ExplainRequest) { r.Client = "idle" }, "denied client_not_allowed"},
		{"not the client's", func(r *stsv1.ExplainRequest) { r.Audience = "staging" }, "denied target_unknown"},
		{"too wide a scope", func(r *stsv1.ExplainRequest) { r.Scope = "sql all-apis" }, "denied scope_exceeds_policy by data-science"},
		{"a malformed scope", func(r *stsv1.ExplainRequest) { r.Scope = `"` }, "denied request_malformed by data-science"},
		{"too wide details", func(r *stsv1.ExplainRequest) {
			r.AuthorizationDetails = []*stsv1.AuthorizationDetail{{Type: "workspace_permission", ObjectType: "serving-endpoints", ObjectPath: "/b", Actions: []string{"query"}}}
		}, "denied details_exceed_policy by data-science"},
		{"details", func(r *stsv1.ExplainRequest) {
			r.AuthorizationDetails = []*stsv1.AuthorizationDetail{{Type: "workspace_permission", ObjectType: "serving-endpoints", ObjectPath: "/a", Actions: []string{"query"}}}
		}, "granted ml sql 600 /a query by data-science"},
		{"without MFA", func(r *stsv1.ExplainRequest) { r.Subject.Claims = nil }, `denied no_matching_rule; nearest data-science: when wants claims.amr.exists(m, m == "mfa") saw amr = missing, error: no such key: amr`},
		{"another group", func(r *stsv1.ExplainRequest) { r.Subject.Groups = []string{"ds"} }, "denied no_matching_rule; nearest data-science: groups wants any of ds, mle; all of staff; none of suspended saw ds"},
		{"no groups", func(r *stsv1.ExplainRequest) { r.Subject.Groups = nil }, "denied no_matching_rule; nearest data-science: groups wants any of ds, mle; all of staff; none of suspended saw none"},
		{"unknown groups", func(r *stsv1.ExplainRequest) { r.Subject.Groups, r.Subject.GroupsUnknown = nil, true }, "denied groups_overage by no-contractors; nearest data-science: groups wants any of ds, mle; all of staff; none of suspended saw unknown: the token says nothing about them"},
		{"another subject", func(r *stsv1.ExplainRequest) { r.Subject.Subject = "zoe" }, "denied no_matching_rule; nearest agents: actor wants issuer okta, subject agent-*, groups none of contractors saw nobody"},
		{"denied", func(r *stsv1.ExplainRequest) { r.Subject.Groups = append(r.Subject.Groups, "contractors") }, "denied denied_by_rule by no-contractors"},
		{"a provider that is not the client's", func(r *stsv1.ExplainRequest) { r.Subject.Issuer = "entra" }, "denied issuer_not_allowed; nearest any-actor: groups wants any of ops saw ds, staff"},
		{"a party that is the client's", func(r *stsv1.ExplainRequest) { r.Subject.Party = "web" }, "granted ml sql 600 by data-science"},
		{"a party that is not", func(r *stsv1.ExplainRequest) { r.Subject.Party = "app" }, "denied party_not_authorized"},
		{"an agent, whose principal the subject isn't granted alone", func(r *stsv1.ExplainRequest) {
			r.Actor, r.Subject.Claims = &stsv1.ExplainIdentity{Issuer: "okta", Subject: "agent-7"}, nil
		}, `denied no_matching_rule; nearest data-science: when wants claims.amr.exists(m, m == "mfa") saw amr = missing, error: no such key: amr`},
		{"an agent of an old session", func(r *stsv1.ExplainRequest) {
			claims, err := structpb.NewStruct(map[string]any{"auth_time": today.Add(-42 * time.Minute).Unix()})
			if err != nil {
				t.Fatal(err)
			}
			r.Actor = &stsv1.ExplainIdentity{Issuer: "okta", Subject: "agent-7", Claims: claims}
		}, "denied no_matching_rule; nearest agents: actor.max_session_age wants an agent's session of at most 30m saw one of 42m"},
		{"an agent", func(r *stsv1.ExplainRequest) { r.Actor = &stsv1.ExplainIdentity{Issuer: "okta", Subject: "agent-7"} }, "granted ml sql 600 by agents"},
		{"who may act", func(r *stsv1.ExplainRequest) {
			r.Actor = &stsv1.ExplainIdentity{Issuer: "okta", Subject: "agent-7"}
			r.Subject.Claims.Fields["may_act"] = structpb.NewStructValue(claims(t, map[string]any{"sub": "agent-7"}))
		}, "granted ml sql 600 by agents"},
		{"who may not", func(r *stsv1.ExplainRequest) {
			r.Actor = &stsv1.ExplainIdentity{Issuer: "okta", Subject: "agent-7"}
			r.Subject.Claims.Fields["may_act"] = structpb.NewStructValue(claims(t, map[string]any{"sub": "agent-8"}))
		}, "denied delegation_not_allowed"},
		{"nobody, where somebody may", func(r *stsv1.ExplainRequest) {
			r.Subject.Claims.Fields["may_act"] = structpb.NewStructValue(claims(t, map[string]any{"sub": "agent-8"}))
		}, "denied delegation_not_allowed"},
		{"somebody else", func(r *stsv1.ExplainRequest) { r.Actor = &stsv1.ExplainIdentity{Issuer: "okta", Subject: "mallory"} }, "denied no_matching_rule; nearest data-science: actor wants nobody who acts saw okta mallory, groups none"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := scientist(t, row.change)
			got, err := d.Explain(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if said := sayExplained(got); said != row.want {
				t.Errorf("%s\nwant %s", said, row.want)
			}
			if got.GetPolicy() != d.house.Policy().Digest() || (got.GetDescription() == "") != (got.GetReason() == "") || got.GetSubject().GetExpiresAt() != nil {
				t.Errorf("%v", got)
			}
		})
	}
	if len(d.verifier.used) > 0 {
		t.Errorf("a token was looked at, as %v", d.verifier.used)
	}
}

func sayExplained(x *stsv1.ExplainResponse) string {
	said := x.GetOutcome()
	if g := x.GetGrant(); g != nil {
		said += fmt.Sprintf(" %s %s %d", g.GetPrincipal(), strings.Join(g.GetScopes(), " "), g.GetLifetimeSeconds())
		for _, d := range g.GetAuthorizationDetails() {
			if d.GetObjectPath() == "/a" && len(d.GetActions()) == 1 {
				said += " /a " + d.GetActions()[0]
			}
		}
	} else {
		said += " " + x.GetReason()
	}
	if x.GetRule() != "" {
		said += " by " + x.GetRule()
	}
	if n := x.GetNearest(); n != nil {
		said += fmt.Sprintf("; nearest %s: %s wants %s saw %s", n.GetRule(), n.GetFailed(), n.GetWanted(), n.GetSaw())
	}
	return said
}

// What the answer says of each rule, in the policy's order.
func TestExplainTraces(t *testing.T) {
	d := newDesk(t, servicePolicy)
	got, err := d.Explain(t.Context(), scientist(t))
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, tr := range got.GetRules() {
		said = append(said, fmt.Sprintf("%s %s %v %s %s:%d", tr.GetRule(), tr.GetEffect(), tr.GetMatched(), tr.GetFailed(), tr.GetPosition().GetFile(), tr.GetPosition().GetLine()))
	}
	want := []string{
		"shut deny false clients p.yaml:19", "no-contractors deny false groups p.yaml:20", "data-science allow true  p.yaml:21",
		"agents allow false actor p.yaml:34", "by-client allow false clients p.yaml:38",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
	if s := got.GetSubject(); s.GetIssuer() != "okta" || s.GetSubject() != "ada" || !slices.Equal(s.GetGroups(), []string{"ds", "staff"}) {
		t.Errorf("%v", s)
	}
}

func TestExplainToken(t *testing.T) {
	d := newDesk(t, servicePolicy)
	for _, row := range []struct{ token, tokenType, want string }{
		{"ada", string(exchange.TypeAccessToken), "granted ml sql 300 by data-science"},
		{"short", string(exchange.TypeAccessToken), "denied subject_token_expiring by data-science"},
		{"old", string(exchange.TypeAccessToken), "denied subject_token_expired"},
		{"down", string(exchange.TypeAccessToken), "failed provider_unavailable"},
		{"ada", "access_token", "denied token_type_unsupported"},
		{"ada", "", "denied request_malformed"},
	} {
		got, err := d.Explain(t.Context(), &stsv1.ExplainRequest{Client: "kong", Audience: "prod", SubjectToken: row.token, SubjectTokenType: row.tokenType})
		if err != nil || sayExplained(got) != row.want {
			t.Errorf("%s as %s: %s, %v; want %s", row.token, row.tokenType, sayExplained(got), err, row.want)
		}
		if verified := row.token == "ada" && row.tokenType == string(exchange.TypeAccessToken); verified {
			if s := got.GetSubject(); s.GetParty() != "web" || !s.GetExpiresAt().AsTime().Equal(today.Add(5*time.Minute)) || len(got.GetRules()) == 0 {
				t.Errorf("%v", got)
			}
		}
	}
	if slices.ContainsFunc(d.verifier.used, func(use exchange.Use) bool { return use != exchange.UseExplain }) {
		t.Errorf("tokens were presented as %v", d.verifier.used)
	}
}

func TestExplainRefuses(t *testing.T) {
	d := newDesk(t, servicePolicy)
	deep := map[string]any{}
	for range 31 {
		deep = map[string]any{"d": deep}
	}
	for _, row := range []struct {
		name   string
		change func(*stsv1.ExplainRequest)
		says   string
	}{
		{"neither token nor subject", func(r *stsv1.ExplainRequest) { r.Subject = nil }, "one of subject_token, subject and decision_id"},
		{"both", func(r *stsv1.ExplainRequest) { r.SubjectToken = "ada" }, "one of subject_token, subject and decision_id"},
		{"a type without its token", func(r *stsv1.ExplainRequest) { r.SubjectTokenType = "x" }, "without a subject_token"},
		{"no client", func(r *stsv1.ExplainRequest) { r.Client = "" }, "client names none"},
		{"an unknown client", func(r *stsv1.ExplainRequest) { r.Client = "gong" }, "client names none"},
		{"no issuer", func(r *stsv1.ExplainRequest) { r.Subject.Issuer = "" }, "subject.issuer names none"},
		{"an unknown issuer", func(r *stsv1.ExplainRequest) { r.Subject.Issuer = "https://okta.example" }, "subject.issuer names none"},
		{"no subject", func(r *stsv1.ExplainRequest) { r.Subject.Subject = "" }, "subject.subject is missing"},
		{"known and unknown groups", func(r *stsv1.ExplainRequest) { r.Subject.GroupsUnknown = true }, "says that they are unknown"},
		{"deep claims", func(r *stsv1.ExplainRequest) { r.Subject.Claims = claims(t, map[string]any{"d": deep}) }, "nest deeper"},
		{"an act", func(r *stsv1.ExplainRequest) {
			r.Subject.Claims = claims(t, map[string]any{"act": map[string]any{"sub": "agent-7"}})
		}, "describe who acts in actor"},
		{"a may_act that is none", func(r *stsv1.ExplainRequest) { r.Subject.Claims = claims(t, map[string]any{"may_act": "agent-7"}) }, "not an object"},
		{"an actor without issuer", func(r *stsv1.ExplainRequest) { r.Actor = &stsv1.ExplainIdentity{Subject: "x"} }, "actor.issuer names none"},
	} {
		_, err := d.Explain(t.Context(), scientist(t, row.change))
		if e := exchange.AsError(err); e == nil || e.Code != exchange.CodeInvalidRequest || !strings.Contains(e.Message, row.says) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	if got, err := d.Explain(t.Context(), scientist(t, func(r *stsv1.ExplainRequest) { r.Subject.Claims = claims(t, map[string]any{"d": deep["d"]}) })); err != nil || got.GetReason() != "no_matching_rule" {
		t.Errorf("as deep as a token's: %v, %v", got, err)
	}
}

// Numbers reach a condition as those of a token do.
func TestExplainNumbers(t *testing.T) {
	d := newDesk(t, base+`rules:
  - {id: whole, match: {issuer: [okta], when: "claims.level == 7 && claims.path[0].n == 3 && type(claims.level) == int"}, grant: {principal: ml}}
  - {id: part, match: {issuer: [okta], when: "claims.level == 0.5 && type(claims.level) == double"}, grant: {principal: ml}}
`)
	for _, row := range []struct {
		members map[string]any
		want    string
	}{
		{map[string]any{"level": 7, "path": []any{map[string]any{"n": 3}}}, "whole"},
		{map[string]any{"level": 0.5}, "part"},
		{map[string]any{"level": "7"}, ""},
	} {
		got, err := d.Explain(t.Context(), scientist(t, func(r *stsv1.ExplainRequest) { r.Subject.Claims = claims(t, row.members) }))
		if err != nil || got.GetRule() != row.want {
			t.Errorf("%v: %s, %v", row.members, sayExplained(got), err)
		}
	}
}

// Of many rules those are shown that went furthest, and how many are not.
func TestExplainIsBounded(t *testing.T) {
	const n = 1500
	var b strings.Builder
	b.WriteString(base + "rules:\n")
	for i := range n {
		match := fmt.Sprintf("issuer: [okta], groups: {any: [g%d]}", i)
		if i%2 == 0 {
			match += ", clients: [nightly-etl]"
		}
		fmt.Fprintf(&b, "  - {id: r%d, match: {%s}, grant: {principal: etl}}\n", i, match)
	}
	d := newDesk(t, b.String())
	got, err := d.Explain(t.Context(), scientist(t, func(r *stsv1.ExplainRequest) { r.Subject.Groups = []string{"g1499"} }))
	if err != nil || len(got.GetRules()) != 1000 || got.GetRulesLeftOut() != n-1000 {
		t.Fatalf("%d rules, %d left out, %v", len(got.GetRules()), got.GetRulesLeftOut(), err)
	}
	byGroup := 0
	for i, tr := range got.GetRules() {
		if tr.GetFailed() == "groups" || tr.GetMatched() {
			byGroup++
		}
		if i > 0 && tr.GetPosition().GetLine() <= got.GetRules()[i-1].GetPosition().GetLine() {
			t.Fatalf("rule %s stands out of order", tr.GetRule())
		}
	}
	if last := got.GetRules()[999]; byGroup != n/2 || last.GetRule() != "r1499" || !last.GetMatched() {
		t.Errorf("%d went as far as their groups; the last is %v", byGroup, last)
	}
}

// What a rule wanted and saw takes an evaluation of its own, a hundred times as dear as to decide. That is spent on rules
// that are shown, not on all that could have matched.
func TestExplainTellsOfWhatIsShown(t *testing.T) {
	const n = 300
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {id: r%d, match: {issuer: [okta], groups: {any: [ds]}, when: 'claims.team == \"%d\"'}, grant: {principal: ml}}\n", i, i)
	}
	p := compile(t, b.String())
	a := attempt(ada("ds"), "prod")
	if each := testing.AllocsPerRun(5, func() { p.Explain(a) }) / n; each > 30 {
		t.Errorf("%.0f allocations for each rule", each)
	}
	if x := p.Explain(a); len(x.Rules) != n || !strings.Contains(x.Text(), `rule r0 (p.yaml:`) || !strings.Contains(x.Text(), `whose when wants claims.team == "0" and saw team = missing`) {
		t.Errorf("%d rules, %s", len(x.Rules), x.Text())
	}
}
