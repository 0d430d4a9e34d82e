package mapping_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
)

// servicePolicy has rules of all kinds. They don't stand in the order of their ids.
const servicePolicy = base + `rules:
  - {id: shut, effect: deny, match: {clients: [narrow]}}
  - {id: no-contractors, effect: deny, owner: hr, description: Whoever is hired is OUT, match: {issuer: [okta, entra], groups: {any: [contractors]}}}
  - id: data-science
    description: Data scientists call models
    owner: ml-platform
    ticket: SEC-1
    expires: 2027-06-30
    priority: 7
    match:
      issuer: [okta]
      subject: ["a*", "b?"]
      groups: {any: [ds, mle], all: [staff], none: [suspended]}
      clients: [kong]
      when: claims.amr.exists(m, m == "mfa")
    grant: {principal: ml, scopes: [sql], lifetime: 10m, gateway_cache: 60s, lease: {max: 6h}}
  - {id: agents, owner: ml-platform, match: {issuer: [okta], groups: {any: [ds]}, actor: {issuer: [okta], subject: ["agent-*"], groups: {none: [contractors]}, max_session_age: 30m}}, grant: {principal: ml}}
  - {id: any-actor, match: {issuer: [entra], groups: {any: [ops]}, actor: any}, grant: {principal: etl}}
  - {id: old, expires: 2020-01-01, match: {subject: [ada], issuer: [okta]}, grant: {principal: dev}}
  - {id: open, everyone: true, match: {issuer: [okta]}, grant: {principal: dev}}
  - {id: by-client, match: {issuer: [okta, entra], clients: [nightly-etl]}, grant: {principal: etl}}
`

// verifier knows the token "ada", and says of every other that it has expired.
type verifier struct{ used []exchange.Use }

func (v *verifier) Verify(_ context.Context, p exchange.Presented, use exchange.Use) (*exchange.Identity, error) {
	v.used = append(v.used, use)
	switch p.Token {
	case "ada", "short":
		id := ada("ds", "staff")
		id.Party, id.Expiry = "web", today.Add(5*time.Minute)
		if p.Token == "short" {
			id.Expiry = today.Add(59 * time.Second)
		}
		return id, nil
	case "down":
		return nil, exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonProviderUnavailable, "later")
	}
	return nil, exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonSubjectTokenExpired, "the token has expired")
}

// desk is a service over a policy that is in force.
type desk struct {
	*mapping.Service
	house    *house
	verifier *verifier
	past     pasts
}

func newDesk(t *testing.T, policy string) *desk {
	t.Helper()
	d := &desk{house: newHouse(t, newLedger()), verifier: &verifier{}, past: pasts{}}
	d.load(t, policy)
	exchanges := []string{exchange.GrantTypeTokenExchange}
	registered := map[string]*exchange.Client{
		"idle":        {ID: "idle", IdentityProviders: []string{"okta"}, AuthorizedParties: []string{"web"}, Audiences: []string{"prod"}},
		"kong":        {ID: "kong", MayAct: true, AnyActorParty: true, Grants: exchanges, IdentityProviders: []string{"okta"}, AuthorizedParties: []string{"web"}, Audiences: []string{"prod"}},
		"nightly-etl": {ID: "nightly-etl", MayAct: true, AnyActorParty: true, Grants: exchanges, IdentityProviders: []string{"okta", "github"}, AuthorizedParties: []string{"ci"}, Audiences: []string{"prod", "staging"}},
	}
	var err error
	d.Service, err = mapping.NewService(mapping.ServiceConfig{
		Engine: d.house.Engine, Verifier: d.verifier, Client: func(id string) *exchange.Client { return registered[id] }, Past: d.past, Delegation: exchange.Delegation{Enabled: true, MaxChain: 5},
		Now: func() time.Time { return today },
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) load(t *testing.T, policy string) {
	t.Helper()
	if err := d.house.Load(t.Context(), files(policy), environment()); err != nil {
		t.Fatal(err)
	}
}

func wantReason(t *testing.T, err error, code exchange.Code, says string) {
	t.Helper()
	if e := exchange.AsError(err); e == nil || e.Code != code || !strings.Contains(e.Message, says) {
		t.Errorf("%v, want %s that says %q", err, code, says)
	}
}

func ids(rules []*stsv1.Rule) string {
	var list []string
	for _, r := range rules {
		list = append(list, r.GetId())
	}
	return strings.Join(list, " ")
}

func TestListRulesFilters(t *testing.T) {
	d := newDesk(t, servicePolicy)
	for _, row := range []struct {
		name string
		r    *stsv1.ListRulesRequest
		want string
	}{
		{"all, by id", &stsv1.ListRulesRequest{}, "agents any-actor by-client data-science no-contractors old open shut"},
		{"effect deny", &stsv1.ListRulesRequest{Effect: "deny"}, "no-contractors shut"},
		{"effect allow", &stsv1.ListRulesRequest{Effect: "allow"}, "agents any-actor by-client data-science old open"},
		{"an issuer, and rules of all", &stsv1.ListRulesRequest{Issuer: "entra"}, "any-actor by-client no-contractors shut"},
		{"an unknown issuer", &stsv1.ListRulesRequest{Issuer: "none"}, "shut"},
		{"principal", &stsv1.ListRulesRequest{Principal: "etl"}, "any-actor by-client"},
		{"workspace", &stsv1.ListRulesRequest{Workspace: "staging"}, "old open"},
		{"a client, and rules of all", &stsv1.ListRulesRequest{Client: "nightly-etl"}, "agents any-actor by-client no-contractors old open"},
		{"a group under any", &stsv1.ListRulesRequest{Group: "mle"}, "data-science"},
		{"a group under all", &stsv1.ListRulesRequest{Group: "staff"}, "data-science"},
		{"a group under none", &stsv1.ListRulesRequest{Group: "suspended"}, "data-science"},
		{"a translated group, of the actor too", &stsv1.ListRulesRequest{Group: "contractors"}, "agents no-contractors"},
		{"by the provider's name", &stsv1.ListRulesRequest{Group: "9c1d7a52-55c5-4f7e-9a56-0d7f0f0a4c11"}, "agents no-contractors"},
		{"a part of a group's name", &stsv1.ListRulesRequest{Group: "contractor"}, ""},
		{"owner", &stsv1.ListRulesRequest{Owner: "ml-platform"}, "agents data-science"},
		{"a part of the id", &stsv1.ListRulesRequest{Text: "CONTR"}, "no-contractors"},
		{"a part of the description", &stsv1.ListRulesRequest{Text: "is out"}, "no-contractors"},
		{"several", &stsv1.ListRulesRequest{Owner: "ml-platform", Group: "ds", Client: "kong", Text: "data"}, "data-science"},
	} {
		got, err := d.ListRules(t.Context(), row.r)
		if err != nil || ids(got.GetRules()) != row.want || got.GetPolicy() != d.house.Policy().Digest() || got.NextPageToken != "" {
			t.Errorf("%s: %s, %v; want %s", row.name, ids(got.GetRules()), err, row.want)
		}
	}
	_, err := d.ListRules(t.Context(), &stsv1.ListRulesRequest{Effect: "Deny"})
	wantReason(t, err, exchange.CodeInvalidRequest, "neither allow nor deny")
}

func TestRuleInFull(t *testing.T) {
	d := newDesk(t, servicePolicy)
	want := `{"policy":"` + d.house.Policy().Digest() + `","rule":{"id":"data-science","description":"Data scientists call models","owner":"ml-platform","ticket":"SEC-1",
		"effect":"allow","priority":7,"expires_at":"2027-07-01T00:00:00Z",
		"match":{"issuer":["okta"],"subject":["a*","b?"],"groups":{"any":["ds","mle"],"all":["staff"],"none":["suspended"]},"clients":["kong"],"when":"claims.amr.exists(m, m == \"mfa\")"},
		"grant":{"principal":"ml","workspace":"prod","scopes":["sql"],"lifetime_seconds":600,"gateway_cache_seconds":60,"lease_max_seconds":21600},
		"position":{"file":"p.yaml","line":21,"column":5}}}`
	got, err := d.GetRule(t.Context(), &stsv1.GetRuleRequest{Rule: "data-science"})
	wantMessage(t, got, err, want)
	for _, row := range []struct{ id, has string }{
		{"no-contractors", `"effect":"deny","match":{"issuer":["okta","entra"],"groups":{"any":["contractors"],"aliases":[{"name":"contractors","names":{"entra":"9c1d7a52-55c5-4f7e-9a56-0d7f0f0a4c11","okta":"contractors"}}]}},"position"`},
		{"agents", `"actor":{"issuer":["okta"],"subject":["agent-*"],"groups":{"none":["contractors"],"aliases":[`},
		{"any-actor", `"actor":{"any":true}`},
		{"old", `"expires_at":"2020-01-02T00:00:00Z","expired":true`},
		{"open", `"everyone":true`},
		{"agents", `"grant":{"principal":"ml","workspace":"prod","scopes":["model-serving","sql"],"lifetime_seconds":900}`},
	} {
		got, err := d.GetRule(t.Context(), &stsv1.GetRuleRequest{Rule: row.id})
		if text := jsonOf(t, got); err != nil || !strings.Contains(text, row.has) {
			t.Errorf("%s: %v: %s", row.id, err, text)
		}
	}
	d.load(t, base+`rules: [{id: exact, match: {issuer: [okta], clients: [kong], actor: {issuer: [okta], max_session_age: 30m, names_principal: true}}, grant: {principal: ml}}]`+"\n")
	exact, err := d.GetRule(t.Context(), &stsv1.GetRuleRequest{Rule: "exact"})
	if text := jsonOf(t, exact); err != nil || !strings.Contains(text, `"actor":{"issuer":["okta"],"max_session_age_seconds":1800,"names_principal":true}`) {
		t.Errorf("exact: %v: %s", err, text)
	}
	for _, id := range []string{"", "data", "data-science ", "Data-Science", "zzz"} {
		_, err := d.GetRule(t.Context(), &stsv1.GetRuleRequest{Rule: id})
		wantReason(t, err, exchange.CodeNotFound, "no rule")
	}
}

// jsonOf is a message as JSON without the spaces that protojson puts where it likes.
func jsonOf(t *testing.T, m proto.Message) string {
	t.Helper()
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(`": `, `":`, `, "`, `,"`, `}, {`, `},{`).Replace(string(text))
}

func wantMessage[M proto.Message](t *testing.T, got M, err error, want string) {
	t.Helper()
	message := got.ProtoReflect().New().Interface()
	if e := protojson.Unmarshal([]byte(want), message); e != nil {
		t.Fatal(e)
	}
	if diff := cmp.Diff(message, proto.Message(got), protocmp.Transform()); diff != "" || err != nil {
		t.Errorf("%v: -want +got:\n%s", err, diff)
	}
}

func TestPrincipals(t *testing.T) {
	d := newDesk(t, servicePolicy)
	digest := d.house.Policy().Digest()
	got, err := d.GetPrincipal(t.Context(), &stsv1.GetPrincipalRequest{Principal: "ml"})
	wantMessage(t, got, err, `{"policy":"`+digest+`","principal":{"name":"ml","workspace":"prod","host":"https://prod.example","account":"aws",
		"application_id":"6f1c2b9e-0f0e-4c56-9d58-3c1b0b1c7a11","scopes":["model-serving","sql"],
		"authorization_details":[{"type":"workspace_permission","object_type":"serving-endpoints","object_path":"/a","actions":["query","view"]}],
		"max_lifetime_seconds":900,"min_lifetime_seconds":60,"isolation":"client","method":"federation","rules":2,"owner":"team","position":{"file":"p.yaml","line":6,"column":3}}}`)
	names := func(r *stsv1.ListPrincipalsRequest) string {
		t.Helper()
		list, err := d.ListPrincipals(t.Context(), r)
		if err != nil || list.GetPolicy() != digest || list.NextPageToken != "" {
			t.Errorf("%v: %v", list, err)
		}
		var names []string
		for _, p := range list.GetPrincipals() {
			names = append(names, p.GetName())
		}
		return strings.Join(names, " ")
	}
	for _, row := range []struct {
		r    *stsv1.ListPrincipalsRequest
		want string
	}{
		{&stsv1.ListPrincipalsRequest{}, "dev etl ml"},
		{&stsv1.ListPrincipalsRequest{Workspace: "prod"}, "etl ml"},
		{&stsv1.ListPrincipalsRequest{Owner: "team"}, "dev etl ml"},
		{&stsv1.ListPrincipalsRequest{Owner: "nobody"}, ""},
	} {
		if got := names(row.r); got != row.want {
			t.Errorf("%v: %s", row.r, got)
		}
	}
	_, err = d.GetPrincipal(t.Context(), &stsv1.GetPrincipalRequest{Principal: "mll"})
	wantReason(t, err, exchange.CodeNotFound, "no principal")
}

// manyRules is a policy of n rules whose ids are in no order.
func manyRules(n int) string {
	var b strings.Builder
	b.WriteString(base + "rules:\n")
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(n) {
		fmt.Fprintf(&b, "  - {id: r%04d, owner: o%d, match: {issuer: [okta], groups: {any: [g%d]}}, grant: {principal: etl}}\n", i, i%2, i)
	}
	return b.String()
}

// walk reads a list to its end and returns its ids, and how long its pages were.
func (d *desk) walk(t *testing.T, r *stsv1.ListRulesRequest) (all []string, pages []int) {
	t.Helper()
	for {
		got, err := d.ListRules(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range got.GetRules() {
			all = append(all, one.GetId())
		}
		pages = append(pages, len(got.GetRules()))
		if r.PageToken = got.GetNextPageToken(); r.PageToken == "" {
			return all, pages
		}
	}
}

func TestPages(t *testing.T) {
	const n = 1201
	d := newDesk(t, manyRules(n))
	for _, row := range []struct {
		size  int32
		owner string
		all   int
		pages []int
	}{
		{0, "", n, append(slices.Repeat([]int{50}, 24), 1)},
		{1000, "", n, []int{1000, 201}},
		{5000, "", n, []int{1000, 201}},
		{400, "", n, []int{400, 400, 400, 1}},
		{600, "o1", 600, []int{600}},
		{300, "o0", 601, []int{300, 300, 1}},
		{7, "nobody", 0, []int{0}},
	} {
		all, pages := d.walk(t, &stsv1.ListRulesRequest{PageSize: row.size, Owner: row.owner})
		if len(all) != row.all || !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != row.all || !slices.Equal(pages, row.pages) {
			t.Errorf("%d of %q: %d rules in pages of %v", row.size, row.owner, len(all), pages)
		}
	}
	_, err := d.ListRules(t.Context(), &stsv1.ListRulesRequest{PageSize: -1})
	wantReason(t, err, exchange.CodeInvalidRequest, "page_size is negative")
}

// A page token holds for its policy and its filters, and the size of the page may change.
func TestPageTokensAreBound(t *testing.T) {
	d := newDesk(t, servicePolicy)
	first, err := d.ListRules(t.Context(), &stsv1.ListRulesRequest{PageSize: 2, Effect: "allow"})
	if err != nil {
		t.Fatal(err)
	}
	token := first.GetNextPageToken()
	next, err := d.ListRules(t.Context(), &stsv1.ListRulesRequest{PageSize: 3, Effect: "allow", PageToken: token})
	if err != nil || ids(next.GetRules()) != "by-client data-science old" {
		t.Fatalf("%v, %v", next, err)
	}
	principals, err := d.ListPrincipals(t.Context(), &stsv1.ListPrincipalsRequest{PageSize: 1})
	if err != nil || principals.GetNextPageToken() == "" {
		t.Fatalf("%v, %v", principals, err)
	}
	for _, row := range []struct {
		name string
		r    *stsv1.ListRulesRequest
		says string
	}{
		{"another filter", &stsv1.ListRulesRequest{PageToken: token}, "other filters"},
		{"another value", &stsv1.ListRulesRequest{Effect: "deny", PageToken: token}, "other filters"},
		{"of another list", &stsv1.ListRulesRequest{PageToken: principals.GetNextPageToken()}, "other filters"},
		{"nonsense", &stsv1.ListRulesRequest{Effect: "allow", PageToken: "nonsense"}, "begin the list again"},
		{"not base64url", &stsv1.ListRulesRequest{Effect: "allow", PageToken: token + "="}, "begin the list again"},
		{"cut off", &stsv1.ListRulesRequest{Effect: "allow", PageToken: token[:20]}, "begin the list again"},
	} {
		_, err := d.ListRules(t.Context(), row.r)
		wantReason(t, err, exchange.CodeInvalidRequest, row.says)
	}
	d.load(t, newPolicy)
	_, err = d.ListRules(t.Context(), &stsv1.ListRulesRequest{Effect: "allow", PageToken: token})
	wantReason(t, err, exchange.CodeInvalidRequest, "the policy has changed")
	d.load(t, servicePolicy)
	if _, err = d.ListRules(t.Context(), &stsv1.ListRulesRequest{Effect: "allow", PageToken: token}); err != nil {
		t.Errorf("the same policy is in force again: %v", err)
	}
}

// Whatever is sent as a page token: what is understood is exactly what would have been given out.
func FuzzPageToken(f *testing.F) {
	f.Add("")
	f.Add("AAECAwQFBgcICQoLDA0ODw")
	f.Add("AAECAwQFBgcICQoLDA0OD3J1bGU")
	f.Add("AAECAwQFBgcICQoLDA0OD3J1bGU=")
	f.Add("AAECAwQFBgcI\nCQoLDA0OD3J1bGU")
	f.Fuzz(func(t *testing.T, token string) {
		if again, ok := mapping.RemakePageToken(token); ok && again != token {
			t.Errorf("%q is read as %q", token, again)
		}
	})
}

func TestPolicyVersions(t *testing.T) {
	d := newDesk(t, goodPolicy)
	first := d.house.Policy().Digest()
	d.house.now = today.Add(time.Hour)
	d.load(t, newPolicy)
	second := d.house.Policy().Digest()
	got, err := d.ListPolicyVersions(t.Context(), &stsv1.ListPolicyVersionsRequest{})
	wantMessage(t, got, err, `{"policy":"`+second+`","versions":[
		{"policy":"`+second+`","accepted_at":"`+today.Add(time.Hour).Format(time.RFC3339)+`","rules":1,"files":["p.yaml"]},
		{"policy":"`+first+`","accepted_at":"`+today.Format(time.RFC3339)+`","rules":1,"files":["p.yaml"]}]}`)
	one, err := d.GetPolicyVersion(t.Context(), &stsv1.GetPolicyVersionRequest{Policy: first})
	if err != nil || one.GetVersion().GetPolicy() != first || len(one.GetFiles()) != 1 || one.GetFiles()[0].GetName() != "p.yaml" || one.GetFiles()[0].GetContent() != goodPolicy {
		t.Errorf("%v, %v", one, err)
	}
	for _, digest := range []string{"", first[:20], strings.ToUpper(first)} {
		_, err = d.GetPolicyVersion(t.Context(), &stsv1.GetPolicyVersionRequest{Policy: digest})
		wantReason(t, err, exchange.CodeNotFound, "no policy of that digest")
	}
	d.house.ledger.down = exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable, "later")
	_, err = d.ListPolicyVersions(t.Context(), &stsv1.ListPolicyVersionsRequest{})
	wantReason(t, err, exchange.CodeUnavailable, "later")
	_, err = d.GetPolicyVersion(t.Context(), &stsv1.GetPolicyVersionRequest{Policy: first})
	wantReason(t, err, exchange.CodeUnavailable, "later")
}

// Every method takes a role, and what is recorded of an answer is a name that exists.
func TestServiceTable(t *testing.T) {
	d := newDesk(t, servicePolicy)
	roles := d.Roles()
	for _, m := range stsv1.MappingService_ServiceDesc.Methods {
		if roles[m.MethodName] != "auditor" {
			t.Errorf("%s takes the role %q", m.MethodName, roles[m.MethodName])
		}
	}
	for _, row := range []struct {
		answer proto.Message
		want   string
	}{
		{&stsv1.GetRuleResponse{Rule: &stsv1.Rule{Id: "r"}}, "r"},
		{&stsv1.GetPrincipalResponse{Principal: &stsv1.Principal{Name: "p"}}, "p"},
		{&stsv1.GetPolicyVersionResponse{Version: &stsv1.PolicyVersion{Policy: "d"}}, "d"},
		{&stsv1.ListRulesResponse{}, ""},
		{&stsv1.ExplainResponse{}, ""},
	} {
		if got := d.Object(row.answer); got != row.want {
			t.Errorf("%T is about %q", row.answer, got)
		}
	}
}

func TestServiceWithoutAPolicy(t *testing.T) {
	h := newHouse(t, newLedger())
	s, err := mapping.NewService(mapping.ServiceConfig{Engine: h.Engine, Verifier: &verifier{}, Client: func(string) *exchange.Client { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.ListRules(t.Context(), &stsv1.ListRulesRequest{})
	wantReason(t, err, exchange.CodeInternal, "no policy is in force")
	if _, err := mapping.NewService(mapping.ServiceConfig{Engine: h.Engine}); err == nil || !strings.Contains(err.Error(), "Verifier is missing") {
		t.Errorf("%v", err)
	}
}

func TestHolds(t *testing.T) {
	h := newHouse(t, newLedger())
	if h.Holds(ada("security"), mapping.RoleAuditor, today) || h.AccessIssuers(today) != nil {
		t.Error("a role without a policy")
	}
	policy := base + `access:
  - {role: auditor, match: {issuer: [okta], groups: {any: [security]}}}
  - {role: operator, match: {issuer: [okta], groups: {any: [oncall]}}}
  - {role: operator, expires: 2026-01-01, match: {issuer: [entra], groups: {any: [oncall]}}}
`
	if err := h.Load(t.Context(), files(policy), environment()); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		who  *exchange.Identity
		want string
	}{
		{ada("security"), "auditor"},
		{ada("oncall"), "auditor operator"},
		{ada("staff"), ""},
		{unknown(false), ""},
		{&exchange.Identity{Provider: "entra", Groups: exchange.Groups{Known: true, Names: []string{"oncall"}}}, ""},
	} {
		var held []string
		for _, role := range []mapping.Role{mapping.RoleAuditor, mapping.RoleOperator, ""} {
			if h.Holds(row.who, role, today) {
				held = append(held, string(role))
			}
		}
		if got := strings.Join(held, " "); got != row.want {
			t.Errorf("%v holds %q, want %q", row.who.Groups, got, row.want)
		}
	}
	for _, row := range []struct {
		now  time.Time
		want []string
	}{
		{today, []string{"https://okta.example"}},
		{today.AddDate(-1, 0, 0), []string{"entra", "https://okta.example"}},
	} {
		if got := h.AccessIssuers(row.now); !slices.Equal(got, row.want) {
			t.Errorf("at %s the issuers are %v, want %v", row.now, got, row.want)
		}
	}
}
