package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// delegating lets agents act for people: agency's may be anybody's, those of bound are issued to one party.
func delegating(w *world, s *setup) {
	s.config["delegation"] = object{"enabled": true}
	clients, _ := s.config["clients"].(object)
	clients["agency"] = w.client("agency", object{"may_act": true, "identity_providers": list{"okta", "strict", "other"}})
	clients["bound"] = w.client("bound", object{"may_act": true, "actor_parties": list{"agents"}})

	rule := func(id, group, principal, lifetime string, more object) object {
		match := object{"issuer": list{"okta"}, "groups": object{"any": list{group}}}
		for key, value := range more {
			match[key] = value
		}
		return object{"id": id, "owner": "tests", "match": match, "grant": object{"principal": principal, "lifetime": lifetime}}
	}
	agents := object{"actor": object{"issuer": list{"okta", "other"}, "subject": list{"agent-*"}}}
	rules, _ := s.policy["rules"].(list)
	s.policy["rules"] = append(rules,
		rule("agents", "data-eng", "ml-inference", "5m", agents),
		rule("sponsored", "sponsored", "ml-inference", "5m", agents),
		rule("quick", "quick", "ml-inference", "2m", nil),
		rule("quick-agents", "quick", "ml-inference", "10m", agents),
		rule("private-agents", "private", "private", "5m", agents),
	)
}

// acts is an act of those subjects, the outermost first.
func acts(subjects ...string) object {
	act := object{"sub": subjects[0]}
	if len(subjects) > 1 {
		act["act"] = acts(subjects[1:]...)
	}
	return act
}

// named are the actors of an answer's record, as text; the subject records that they refer to must be there.
func named(t *testing.T, w *world, a answer) string {
	t.Helper()
	book := readBook(t, w.auditDir)
	actors, _ := book[a.DecisionID]["actors"].([]any)
	var all []string
	for _, actor := range actors {
		actor, _ := actor.(map[string]any)
		if id, has := actor["id"].(string); has {
			if who := book[id]; who["type"] != "subject" || who["sub"] != actor["sub"] || who["issuer"] != actor["issuer"] {
				t.Errorf("actor %v has the record %v", actor, who)
			}
			actor = without(actor, "id")
		}
		text, err := json.Marshal(actor)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return strings.NewReplacer(w.idp.Issuer("okta").URL(), "OKTA", w.idp.Issuer("other").URL(), "OTHER").Replace(strings.Join(all, " "))
}

// wantActors checks whom an answer speaks of and its record names.
func wantActors(want ...string) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, a answer) {
		t.Helper()
		if got := named(t, w, a); got != strings.Join(want, " ") {
			t.Errorf("the record names %s, not %s", got, strings.Join(want, " "))
		}
		var body struct {
			Delegation map[string]any `json:"delegation"`
		}
		if err := json.Unmarshal(a.Body, &body); err != nil && a.Header != nil {
			t.Fatal(err)
		}
		said := map[string]any{"chain": "in_record_only", "decision_id": a.DecisionID, "actors": float64(len(want))}
		if len(want) == 0 {
			said = nil
		}
		if diff := cmp.Diff(said, body.Delegation); diff != "" {
			t.Errorf("G20: %s", diff)
		}
		if r := w.Exchange(a.DecisionID); r.Subject.Sub != "alice" {
			t.Errorf("the subject became %s", r.Subject.Sub)
		}
	}
}

// byToken and byAct are actors of okta as a record has them.
func byToken(sub string) string { return `{"issuer":"OKTA","sub":"` + sub + `"}` }
func byAct(sub string) string {
	return `{"from":"act","issuer":"OKTA","provider":"okta","sub":"` + sub + `"}`
}

// TestRowsG are the rows of actor tokens, act and may_act.
func TestRowsG(t *testing.T) {
	t.Parallel()
	w := newWorld(t, delegating)
	okta := w.idp.Issuer("okta").URL()

	agent := func(recipe idp.Token) func(w *world) string {
		return func(w *world) string {
			claims := map[string]any{"sub": "agent-1", "groups": []string{}, "azp": "agents"}
			for name, value := range recipe.Claims {
				claims[name] = value
			}
			made := recipe
			made.Claims = claims
			return w.MintToken(made)
		}
	}
	usual := agent(idp.Token{})
	// told is a request by a token of these claims alone, delegated one with an actor token.
	told := func(claims map[string]any) func(*world) request { return subject(claims, as("agency")) }
	delegated := func(claims map[string]any, actor func(*world) string, f ...func(*request)) func(*world) request {
		return func(w *world) request {
			r := subject(claims, append([]func(*request){as("agency"), acting(actor(w))}, f...)...)(w)
			return r
		}
	}
	granted := func(id string, ask func(*world) request, actors ...string) row {
		return row{id: id, ask: ask, check: wantActors(actors...)}
	}
	refused := func(id string, reason exchange.Reason, ask func(*world) request) row {
		return row{id: id, ask: ask, status: 400, code: "invalid_request", reason: reason}
	}
	act := func(value any) map[string]any { return map[string]any{"act": value} }
	may := func(value any) map[string]any { return map[string]any{"may_act": value} }
	group := func(name string) map[string]any { return map[string]any{"groups": []string{name}} }
	lives := func(seconds int) func(*testing.T, *world, answer) {
		return func(t *testing.T, _ *world, a answer) {
			if a.ExpiresIn > seconds || a.ExpiresIn < seconds-20 {
				t.Errorf("expires_in is %d, not %d", a.ExpiresIn, seconds)
			}
		}
	}
	decidedBy := func(rule string) func(*testing.T, *world, answer) {
		return func(t *testing.T, w *world, a answer) {
			if got := w.Exchange(a.DecisionID).Rule; got != rule {
				t.Errorf("rule %q decided, not %q", got, rule)
			}
		}
	}
	marked := func(t *testing.T, w *world, a answer) {
		wantActors(byAct("agent-1"), byAct("agent-2"))(t, w, a)
		text, err := json.Marshal(readBook(t, w.auditDir))
		if err != nil || strings.Contains(string(text), "not-an-identity") {
			t.Errorf("the log holds other members of act: %v", err)
		}
	}
	other := agent(idp.Token{Issuer: "other"})
	with31 := func() map[string]any { return act(acts(strings.Fields(strings.Repeat("agent-1 ", 31))...)) }()

	const invalid, badActor, undelegated = exchange.ReasonSubjectTokenInvalid, exchange.ReasonActorTokenInvalid, exchange.ReasonDelegationNotAllowed
	runRows(t, w, []row{
		granted("G01", told(nil)),
		granted("G02", delegated(nil, usual), byToken("agent-1")),
		granted("G02 behind others", delegated(act(acts("agent-3", "x")), usual), byToken("agent-1"), byAct("agent-3"), byAct("x")),
		granted("G02 by act", told(act(acts("agent-1"))), byAct("agent-1")),
		granted("G02 by act of another issuer", told(act(object{"sub": "agent-1", "iss": w.idp.Issuer("other").URL()})), `{"from":"act","issuer":"OTHER","provider":"other","sub":"agent-1"}`),
		refused("G02 by act of nobody's issuer", undelegated, told(act(object{"sub": "agent-1", "iss": "https://unknown.example"}))),
		refused("G02 by act of an issuer that isn't the client's", exchange.ReasonIssuerNotAllowed, subject(act(object{"sub": "agent-1", "iss": w.idp.Issuer("other").URL()}))),
		granted("G04 five", delegated(act(acts("a", "b", "c", "d")), usual), byToken("agent-1"), byAct("a"), byAct("b"), byAct("c"), byAct("d")),
		refused("G04 six", undelegated, delegated(act(acts("a", "b", "c", "d", "e")), usual)),
		refused("G04 six by act", undelegated, told(act(acts("agent-1", "a", "b", "c", "d", "e")))),
		refused("G04 as deep as it gets", undelegated, told(with31)),
		refused("G05 string", invalid, told(act("agent-1"))),
		refused("G05 array", invalid, told(act(list{acts("agent-1")}))),
		refused("G05 number", invalid, told(act(7))),
		refused("G05 no sub", invalid, told(act(object{"iss": okta}))),
		refused("G05 nested", invalid, told(act(object{"sub": "agent-1", "act": "x"}))),
		refused("G05 with an actor token", invalid, delegated(act("x"), usual)),
		granted("G06", told(act(nil))),
		{id: "G07", ask: told(act(object{"sub": "agent-1", "exp": 1, "aud": "not-an-identity", "act": object{"sub": "agent-2", "scope": "not-an-identity", "act": nil}})), check: marked},
		{id: "G08 one", ask: told(act(acts("agent-1", "a"))), check: decidedBy("agents")},
		{id: "G08 another", ask: told(act(acts("agent-1", "alice", "b"))), check: decidedBy("agents")},
		granted("G09", delegated(may(object{"iss": okta, "sub": "agent-1"}), usual), byToken("agent-1")),
		granted("G09 by act", told(map[string]any{"act": acts("agent-1"), "may_act": object{"iss": okta, "sub": "agent-1"}}), byAct("agent-1")),
		refused("G10", undelegated, delegated(may(object{"iss": okta, "sub": "agent-1"}), other)),
		refused("G10 without iss", undelegated, delegated(may(object{"sub": "agent-1"}), other)),
		granted("G10 twin", delegated(may(object{"iss": w.idp.Issuer("other").URL(), "sub": "agent-1"}), other), `{"issuer":"OTHER","sub":"agent-1"}`),
		refused("G11", undelegated, delegated(may(object{"iss": okta, "sub": "agent-2"}), usual)),
		refused("G11 another member", undelegated, delegated(may(object{"sub": "agent-1", "azp": "x"}), usual)),
		refused("G12", undelegated, delegated(may(object{}), usual)),
		refused("G12 no actor token", undelegated, told(may(object{}))),
		refused("G12 an issuer alone", undelegated, delegated(may(object{"iss": okta}), usual)),
		refused("G12 malformed", invalid, told(may("agent-1"))),
		granted("G14 the client", told(may(object{"client_id": "agency"}))),
		refused("G14 another client", undelegated, told(may(object{"client_id": "kong"}))),
		refused("G14 an actor that isn't there", undelegated, told(may(object{"iss": okta, "sub": "agent-1"}))),
		{id: "G15 expired", ask: delegated(nil, func(w *world) string {
			return agent(idp.Token{Claims: map[string]any{"iat": w.Now().Add(-time.Hour).Unix(), "exp": w.Now().Add(-time.Minute).Unix()}})(w)
		}), status: 400, code: "invalid_request", reason: exchange.ReasonActorTokenExpired, says: "the actor token expired"},
		refused("G15 bad signature", badActor, delegated(nil, agent(idp.Token{Forged: true}))),
		refused("G15 wrong audience", badActor, delegated(nil, agent(idp.Token{Claims: map[string]any{"aud": "api://other"}}))),
		refused("G15 for whom somebody acts", badActor, delegated(nil, agent(idp.Token{Claims: act(acts("x"))}))),
		refused("G15 no token", badActor, delegated(nil, func(*world) string { return "x" })),
		{id: "G16 its own", ask: delegated(nil, usual, as("bound")), check: wantActors(byToken("agent-1"))},
		refused("G16", exchange.ReasonPartyNotAuthorized, delegated(nil, agent(idp.Token{Claims: map[string]any{"azp": "another"}}), as("bound"))),
		refused("G17", badActor, func(w *world) request {
			r := change(as("agency"))(w)
			r.Params.Set("actor_token", r.Params.Get("subject_token"))
			r.Params.Set("actor_token_type", typeJWT)
			return r
		}),
		refused("G17 another token of hers", undelegated, delegated(nil, agent(idp.Token{Claims: map[string]any{"sub": "alice"}}))),
		refused("G18 a client that may not", undelegated, delegated(nil, usual, as("kong"))),
		{id: "G19", ask: delegated(nil, func(w *world) string {
			return agent(idp.Token{Claims: map[string]any{"exp": w.Now().Add(2 * time.Minute).Unix()}})(w)
		}), check: func(t *testing.T, _ *world, a answer) {
			if a.ExpiresIn > 120 || a.ExpiresIn < 40 { // a step of the ladder
				t.Errorf("expires_in is %d, of an actor who has 120 s", a.ExpiresIn)
			}
		}},
		{id: "G19 nearly over", ask: delegated(nil, func(w *world) string {
			return agent(idp.Token{Claims: map[string]any{"exp": w.Now().Add(40 * time.Second).Unix()}})(w)
		}), status: 400, code: "invalid_request", reason: exchange.ReasonActorTokenExpired, says: "the actor token has less than 60 s left"},
		granted("G20", delegated(act(acts("x")), usual), byToken("agent-1"), byAct("x")),
		refused("P07", exchange.ReasonNoMatchingRule, delegated(nil, agent(idp.Token{Claims: map[string]any{"sub": "clerk"}}))),
		refused("P07 by act", exchange.ReasonNoMatchingRule, told(act(acts("clerk")))),
		refused("P08", exchange.ReasonNoMatchingRule, delegated(group("sponsored"), usual)),
		{id: "P08 the actor's rule is the shorter", ask: delegated(nil, usual), check: lives(300)},
		{id: "P08 the subject's is", ask: delegated(group("quick"), usual), check: lives(120)},
	})

	t.Run("explained", func(t *testing.T) {
		for _, f := range []func(*request){acting(usual(w)), token(w.Token(act(acts("agent-1", "x"))))} {
			a := w.Ask(as("agency"), f)
			var out string
			w.Eventually("the record is in the index", func() (found bool) {
				var code int
				out, code = w.run("audit", "show", a.DecisionID, "--explain", "--config", "sts.yaml")
				return code == 0
			})
			if !strings.Contains(out, "granted") || !strings.Contains(out, "agents") || strings.Contains(out, "not how the exchange ended") {
				t.Errorf("explained as\n%s", out)
			}
		}
	})
	t.Run("isolation", func(t *testing.T) { testIsolatedActors(t, w, usual) })
}

// testIsolatedActors holds that a token of one subject alone is one of who acts for her, too, and that introspection says so.
func testIsolatedActors(t *testing.T, w *world, actor func(*world) string) {
	agency := as("agency")
	private := func(claims map[string]any) func(*request) {
		all := map[string]any{"groups": []string{"private"}}
		for name, value := range claims {
			all[name] = value
		}
		return token(w.Token(all))
	}
	alone := w.Ask(agency, private(nil))
	byToken := w.Ask(agency, private(nil), acting(actor(w)))
	byAct := w.Ask(agency, private(map[string]any{"act": acts("agent-1", "x")}))
	another := w.Ask(agency, private(map[string]any{"act": acts("agent-2")}))
	for _, a := range []answer{byToken, byAct, another} {
		mustGrant(t, a, fiveMinutes)
	}
	if byToken.AccessToken == alone.AccessToken || byToken.AccessToken == another.AccessToken || byToken.AccessToken != byAct.AccessToken {
		t.Error("tokens are shared by those who don't act as one, or not by those who do")
	}
	issuer := w.idp.Issuer("okta").URL()
	for _, c := range []struct {
		name string
		of   answer
		act  map[string]any
	}{{"nobody acts", alone, nil}, {"by a token", byToken, map[string]any{"iss": issuer, "sub": "agent-1"}}, {"by act", another, map[string]any{"iss": issuer, "sub": "agent-2"}}} {
		if diff := cmp.Diff(c.act, w.introspect(c.of.AccessToken, "agency").live.Act); diff != "" {
			t.Errorf("K05 %s: %s", c.name, diff)
		}
	}
}
