package identity_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
)

// chain is an act of those subjects, the outermost first.
func chain(subjects ...string) any {
	var act any
	for i := len(subjects) - 1; i >= 0; i-- {
		link := object{"sub": subjects[i]}
		if act != nil {
			link["act"] = act
		}
		act = link
	}
	return act
}

// TestActors holds rows G05 to G07: what a token says of who acts.
func TestActors(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	other := p.provider()
	other.Name, other.Issuer = "other", "https://other.example"
	named := p.provider()
	named.Name, named.Issuer, named.SubjectClaims = "named", "https://named.example", map[exchange.TokenType]string{exchange.TypeAccessToken: "uid", exchange.TypeIDToken: "sub"}
	twice := p.provider()
	twice.Name, twice.Issuer, twice.SubjectClaims = "twice", "https://twice.example", map[exchange.TokenType]string{exchange.TypeAccessToken: "uid", exchange.TypeIDToken: "oid"}
	pool := newPool(t, c, p.provider(), other, named, twice)

	actors := func(list ...exchange.Actor) []exchange.Actor { return list }
	okta := func(subject string) exchange.Actor {
		return exchange.Actor{Provider: "okta", Issuer: issuer, Subject: subject}
	}
	for _, tc := range []struct {
		name string
		act  any
		want []exchange.Actor
	}{
		{"G06 null", nil, nil},
		{"one", chain("a"), actors(okta("a"))},
		{"the outermost first", chain("c", "b", "a"), actors(okta("c"), okta("b"), okta("a"))},
		{"G06 a nested null", object{"sub": "a", "act": nil}, actors(okta("a"))},
		{"iss is null", object{"sub": "a", "iss": nil}, actors(okta("a"))},
		{"its own issuer", object{"sub": "a", "iss": issuer}, actors(okta("a"))},
		{"another provider's", object{"sub": "a", "iss": "https://other.example"}, actors(exchange.Actor{Provider: "other", Issuer: "https://other.example", Subject: "a"})},
		{"nobody's", object{"sub": "a", "iss": "https://unknown.example"}, actors(exchange.Actor{Issuer: "https://unknown.example", Subject: "a"})},
		{"a provider that names by another claim", object{"sub": "a", "uid": "u1", "iss": "https://named.example"},
			actors(exchange.Actor{Provider: "named", Issuer: "https://named.example", Subject: "u1", Sub: "a"})},
		{"which is missing", object{"sub": "a", "iss": "https://named.example"}, actors(exchange.Actor{Issuer: "https://named.example", Subject: "a"})},
		{"which is no name", object{"sub": "a", "uid": "u\n", "iss": "https://named.example"}, actors(exchange.Actor{Issuer: "https://named.example", Subject: "a"})},
		{"a provider that names by several", object{"sub": "a", "uid": "u1", "oid": "o1", "iss": "https://twice.example"},
			actors(exchange.Actor{Issuer: "https://twice.example", Subject: "a"})},
		{"G07 other members are left out", object{"sub": "a", "exp": 1, "aud": "x", "scope": "all", "jti": object{}, "act": object{"sub": "b", "groups": []any{"admins"}}}, actors(okta("a"), okta("b"))},
		{"as long as claims nest", chain(strings.Split(strings.Repeat("a", 31), "")...), actors(repeat(okta("a"), 31)...)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := verify(t, pool, p.with(t, set("act", tc.act)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Actors); diff != "" {
				t.Error(diff)
			}
		})
	}

	for name, act := range map[string]any{
		"G05 a string": "agent", "G05 an array": []any{chain("a")}, "G05 a number": 7, "G05 a boolean": true, "G05 false": false,
		"no members": object{}, "no sub": object{"iss": issuer}, "sub is null": object{"sub": nil}, "sub is a number": object{"sub": 7}, "sub is empty": object{"sub": ""},
		"sub is an object": object{"sub": object{}}, "a long sub": object{"sub": strings.Repeat("a", 256)}, "a control character": object{"sub": "a\u0000b"},
		"iss is a number": object{"sub": "a", "iss": 7}, "iss is empty": object{"sub": "a", "iss": ""}, "a long iss": object{"sub": "a", "iss": strings.Repeat("a", 1025)}, "a line in iss": object{"sub": "a", "iss": "https://a\n"},
		"a nested string": object{"sub": "a", "act": "b"}, "a nested array": object{"sub": "a", "act": []any{}}, "nested without sub": object{"sub": "a", "act": object{"sub": "b", "act": object{}}},
		"deeper than claims nest": chain(strings.Split(strings.Repeat("a", 32), "")...),
	} {
		t.Run(name, func(t *testing.T) {
			refusedAs(t, pool, p.with(t, set("act", act)))
		})
	}
	for name, may := range map[string]any{"a string": "agent", "an array": []any{object{"sub": "a"}}, "a number": 7, "false": false} {
		t.Run("may_act: "+name, func(t *testing.T) { refusedAs(t, pool, p.with(t, set("may_act", may))) })
	}
	for name, may := range map[string]map[string]any{"G12 nobody": {}, "all members": {"iss": issuer, "sub": "a", "level": int64(3), "x": nil, "list": []any{"a"}}} {
		t.Run("may_act: "+name, func(t *testing.T) {
			got, err := verify(t, pool, p.with(t, set("may_act", may)))
			if err != nil || got.MayAct == nil || !cmp.Equal(may, got.MayAct) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	if got, err := verify(t, pool, p.with(t, set("may_act", nil))); err != nil || got.MayAct != nil {
		t.Errorf("may_act: null: %v", err)
	}
}

func repeat(a exchange.Actor, times int) (list []exchange.Actor) {
	for range times {
		list = append(list, a)
	}
	return list
}

// refusedAs holds that a token is invalid as whatever it is presented, and that nothing of it is told.
func refusedAs(t *testing.T, pool *identity.Pool, token string) {
	t.Helper()
	for use, reason := range map[exchange.Use]exchange.Reason{exchange.UseSubject: exchange.ReasonSubjectTokenInvalid, exchange.UseActor: exchange.ReasonActorTokenInvalid} {
		_, err := pool.Verify(t.Context(), exchange.Presented{Token: exchange.Secret(token), Type: exchange.TypeJWT}, use)
		if e := exchange.AsError(err); e == nil || e.Reason != reason || strings.Contains(e.Message, "agent") {
			t.Errorf("as %s: %v, want %s", use, err, reason)
		}
	}
}

// FuzzActors: whatever act and may_act are, either the token is refused, or who acts is who they name, in their order, by
// name alone; and what stands beside a name changes nothing.
func FuzzActors(f *testing.F) {
	for _, seed := range []string{
		`null`, `{}`, `7`, `"a"`, `[]`, `{"sub":"a"}`, `{"sub":"a","iss":"https://i","act":{"sub":"b","exp":7}}`, `{"sub":"a","act":null}`, `{"sub":"a","act":[]}`,
		`{"sub":"a","act":{"sub":"b","act":{"sub":"c","uid":"u"}}}`, `{"sub":"\u0000"}`, `{"iss":"i"}`, `{"sub":"a","sub":"b"}`,
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, act, may string) {
		claims := map[string]any{"iss": issuer}
		for name, text := range map[string]string{"act": act, "may_act": may} {
			var value any
			if json.Unmarshal([]byte(text), &value) != nil {
				return
			}
			claims[name] = value
		}
		actors, members, err := identity.ReadDelegation(claims)
		if err != nil {
			if e := exchange.AsError(err); e.Code != exchange.CodeInvalidRequest || e.Reason != exchange.ReasonSubjectTokenInvalid {
				t.Errorf("refused as %v", err)
			}
			return
		}
		link := claims["act"]
		for i, actor := range actors {
			named, _ := link.(map[string]any)
			from := named["iss"]
			if from == nil {
				from = issuer
			}
			if actor.Subject != named["sub"] || actor.Issuer != from || actor.Subject == "" {
				t.Fatalf("actor %d of %s is %+v", i, act, actor)
			}
			link = named["act"]
		}
		if link != nil {
			t.Errorf("an actor of %s is overlooked", act)
		}
		if want, isObject := claims["may_act"].(map[string]any); isObject && !reflect.DeepEqual(want, members) || claims["may_act"] == nil && members != nil {
			t.Errorf("may_act %s is read as %v", may, members)
		}
		claims["act"] = beside(claims["act"])
		if again, _, err := identity.ReadDelegation(claims); err != nil || !cmp.Equal(actors, again) {
			t.Errorf("what stands beside the names of %s matters: %v, %v", act, again, err)
		}
	})
}

// beside puts other members beside those of each link.
func beside(act any) any {
	members, ok := act.(map[string]any)
	if !ok {
		return act
	}
	more := map[string]any{"exp": 1.0, "aud": "x", "groups": []any{"admins"}}
	for _, name := range []string{"iss", "sub"} {
		if value, there := members[name]; there {
			more[name] = value
		}
	}
	more["act"] = beside(members["act"])
	return more
}
