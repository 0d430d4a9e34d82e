package exchange_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
)

const idpIssuer, otherIssuer = "https://idp.example", "https://other.example"

// delegated is a world in which an agent may act for ada, and the call by which he does.
func delegated() (*world, *exchange.Call) {
	w, call := newWorld(), newCall()
	w.delegation = exchange.Delegation{Enabled: true, MaxChain: 3}
	w.actor = &exchange.Identity{
		Provider: "okta", Issuer: idpIssuer, Subject: "agent", Party: "copilot", TokenSHA256: [32]byte{7},
		Claims: map[string]any{"sub": "agent", "client_id": "copilot", "level": int64(3)}, Expiry: noon.Truncate(time.Second).Add(20 * time.Minute),
	}
	call.Client.MayAct, call.Client.AnyActorParty = true, true
	call.Params.ActorToken, call.Params.ActorTokenType = "actor's", string(exchange.TypeJWT)
	return w, call
}

func actor(subject string) exchange.Actor {
	return exchange.Actor{Provider: "okta", Issuer: idpIssuer, Subject: subject}
}

// alone takes the actor token out of a call.
func alone(c *exchange.Call) { c.Params.ActorToken, c.Params.ActorTokenType = "", "" }

// TestWhoActs holds who acts in the end, and what is said of him.
func TestWhoActs(t *testing.T) {
	for _, tc := range []struct {
		name  string
		bend  func(*world, *exchange.Call)
		chain []exchange.Actor
		told  bool
	}{
		{"G01 nobody", func(_ *world, c *exchange.Call) { alone(c) }, nil, false},
		{"G02 an actor token", func(*world, *exchange.Call) {}, []exchange.Actor{actor("agent")}, false},
		{"G02 who acted before stands behind", func(w *world, _ *exchange.Call) { w.identity.Actors = []exchange.Actor{actor("b"), actor("a")} },
			[]exchange.Actor{actor("agent"), actor("b"), actor("a")}, false},
		{"the subject token's word", func(w *world, c *exchange.Call) {
			alone(c)
			w.identity.Actors = []exchange.Actor{actor("b"), {Issuer: "https://unknown.example", Subject: "a"}}
		}, []exchange.Actor{actor("b"), {Issuer: "https://unknown.example", Subject: "a"}}, true},
		{"which needs no may_act of the client's", func(w *world, c *exchange.Call) {
			alone(c)
			c.Client.MayAct = false
			w.identity.Actors = []exchange.Actor{actor("b")}
		}, []exchange.Actor{actor("b")}, true},
		{"G16 of a party that may", func(_ *world, c *exchange.Call) {
			c.Client.AnyActorParty, c.Client.ActorParties = false, []string{"copilot"}
		},
			[]exchange.Actor{actor("agent")}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, call := delegated()
			tc.bend(w, call)
			answer, err := w.service(t).Exchange(t.Context(), call)
			if err != nil {
				t.Fatal(err)
			}
			got := w.attempts[0]
			if diff := cmp.Diff(tc.chain, got.Actors()); diff != "" || answer.Actors != len(tc.chain) || got.ActorTold != tc.told {
				t.Errorf("%d actors, told: %t: %s", answer.Actors, got.ActorTold, diff)
			}
			if tc.told && (got.Actor.Groups.Known || got.Actor.Claims != nil || !got.Actor.IssuedAt.IsZero() || got.Actor.Expiry != w.identity.Expiry) {
				t.Errorf("more is known of him than his name: %+v", got.Actor)
			}
			if got.Subject != w.identity {
				t.Error("another subject")
			}
		})
	}
}

// TestDelegationIsRefused holds why somebody may not act: how far it came, and that it is recorded who tried.
func TestDelegationIsRefused(t *testing.T) {
	off := func(w *world, _ *exchange.Call) { w.delegation = exchange.Delegation{MaxChain: 3} }
	told := func(actors ...exchange.Actor) func(*world, *exchange.Call) {
		return func(w *world, c *exchange.Call) { alone(c); w.identity.Actors = actors }
	}
	bad := func(reason exchange.Reason) func(*world, *exchange.Call) {
		return func(w *world, _ *exchange.Call) {
			w.verifyActor = exchange.Refuse(exchange.CodeInvalidRequest, reason, "no")
		}
	}
	for _, tc := range []struct {
		name   string
		bend   func(*world, *exchange.Call)
		reason exchange.Reason
		last   string // step
		says   string
	}{
		{"G18 an actor token, switched off", off, exchange.ReasonDelegationNotAllowed, "verify", "switched off"},
		{"G18 an act, switched off", func(w *world, c *exchange.Call) { off(w, c); told(actor("a"))(w, c) }, exchange.ReasonDelegationNotAllowed, "verify", "switched off"},
		{"a client that may not", func(_ *world, c *exchange.Call) { c.Client.MayAct = false }, exchange.ReasonDelegationNotAllowed, "verify", "may_act"},
		{"G17 the same token", func(_ *world, c *exchange.Call) { c.Params.ActorToken = c.Params.SubjectToken }, exchange.ReasonActorTokenInvalid, "verify", "is the subject_token"},
		{"G17 the same person", func(w *world, _ *exchange.Call) { w.actor.Subject = "ada" }, exchange.ReasonDelegationNotAllowed, "verify actor", "the subject itself"},
		{"G17 the same person, told", told(actor("ada")), exchange.ReasonDelegationNotAllowed, "verify", "the subject itself"},
		{"G15 invalid", bad(exchange.ReasonActorTokenInvalid), exchange.ReasonActorTokenInvalid, "verify actor", ""},
		{"G15 expired", bad(exchange.ReasonActorTokenExpired), exchange.ReasonActorTokenExpired, "verify actor", ""},
		{"an actor's provider", func(w *world, _ *exchange.Call) { w.actor.Provider = "entra" }, exchange.ReasonIssuerNotAllowed, "verify actor", "entra"},
		{"a told actor's provider", told(exchange.Actor{Provider: "entra", Issuer: "https://entra.example", Subject: "a"}), exchange.ReasonIssuerNotAllowed, "verify", "entra"},
		{"whom nobody knows", told(exchange.Actor{Issuer: otherIssuer, Subject: "a"}), exchange.ReasonDelegationNotAllowed, "verify", "present his own token"},
		{"G16 another party", func(_ *world, c *exchange.Call) {
			c.Client.AnyActorParty, c.Client.ActorParties = false, []string{"web"}
		}, exchange.ReasonPartyNotAuthorized, "verify actor", "actor_parties"},
		{"G16 no party", func(w *world, c *exchange.Call) {
			w.actor.Party, c.Client.AnyActorParty, c.Client.ActorParties = "", false, []string{""}
		}, exchange.ReasonPartyNotAuthorized, "verify actor", "actor_parties"},
		{"an actor for whom somebody acts", func(w *world, _ *exchange.Call) { w.actor.Actors = []exchange.Actor{actor("z")} }, exchange.ReasonActorTokenInvalid, "verify actor", "got for himself"},
		{"G04 one too many", func(w *world, _ *exchange.Call) {
			w.identity.Actors = []exchange.Actor{actor("c"), actor("b"), actor("a")}
		}, exchange.ReasonDelegationNotAllowed, "verify actor", "4 actors"},
		{"G04 one too many, told", told(actor("d"), actor("c"), actor("b"), actor("a")), exchange.ReasonDelegationNotAllowed, "verify", "max_chain"},
		{"the subject's provider", func(w *world, _ *exchange.Call) { w.identity.Provider = "entra" }, exchange.ReasonIssuerNotAllowed, "verify actor", "present tokens"},
		{"G19 an actor near his end", func(w *world, _ *exchange.Call) { w.actor.Expiry = noon.Add(59 * time.Second) }, exchange.ReasonActorTokenExpired, "admit", "the actor token has less than"},
		{"G19 a subject near his end", func(w *world, _ *exchange.Call) { w.identity.Expiry = noon.Add(59 * time.Second) }, exchange.ReasonSubjectTokenExpiring, "admit", "the subject token has less than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, call := delegated()
			tc.bend(w, call)
			answer, err := w.service(t).Exchange(t.Context(), call)
			got := exchange.AsError(err)
			if got == nil || got.Code != exchange.CodeInvalidRequest || got.Reason != tc.reason || !strings.Contains(got.Message, tc.says) || answer.AccessToken != "" {
				t.Fatalf("got %v, want %s that says %q", err, tc.reason, tc.says)
			}
			if last := w.steps[len(w.steps)-2]; last != tc.last {
				t.Errorf("the last step was %s, want %s", last, tc.last)
			}
			if w.attempts[0].Err.Reason != tc.reason {
				t.Errorf("recorded as %+v", w.attempts[0].Err)
			}
			if want := strings.HasPrefix(tc.name, "G15"); (w.penalties == 1) != want {
				t.Errorf("%d penalties", w.penalties)
			}
		})
	}
}

// TestRefusalsNameWhoActs holds that the record of a refusal names the whole chain, however early it was refused.
func TestRefusalsNameWhoActs(t *testing.T) {
	replayed := exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonSubjectTokenReplayed, "no")
	agent, b, a := actor("agent"), actor("b"), actor("a")
	for _, tc := range []struct {
		name string
		bend func(*world, *exchange.Call)
		want []exchange.Actor
	}{
		{"a provider that the client may not bring", func(w *world, _ *exchange.Call) { w.identity.Provider = "entra" }, []exchange.Actor{agent, b, a}},
		{"and told", func(w *world, c *exchange.Call) { alone(c); w.identity.Provider = "entra" }, []exchange.Actor{b, a}},
		{"a subject token used before", func(w *world, c *exchange.Call) { alone(c); w.verify = replayed }, []exchange.Actor{b, a}},
		{"an actor token used before", func(w *world, _ *exchange.Call) { w.verifyActor = replayed }, []exchange.Actor{agent, b, a}},
		{"who did not prove himself", func(w *world, _ *exchange.Call) { w.actor, w.verifyActor = nil, replayed }, nil},
	} {
		w, call := delegated()
		w.identity.Actors = []exchange.Actor{b, a}
		tc.bend(w, call)
		if _, err := w.service(t).Exchange(t.Context(), call); err == nil {
			t.Fatalf("%s: granted", tc.name)
		}
		if diff := cmp.Diff(tc.want, w.attempts[0].Actors()); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
}

// TestMayAct holds section 4.4 of RFC 8693: all members fit, or nobody may.
func TestMayAct(t *testing.T) {
	type object = map[string]any
	for _, tc := range []struct {
		name string
		may  object
		who  string // token: agent by a token, told: agent by act, client: nobody; nameless: a token without a client, renamed: uid-7 by act
		ok   bool
	}{
		{"no may_act", nil, "token", true},
		{"G09", object{"iss": idpIssuer, "sub": "agent"}, "token", true},
		{"G09 without iss, at the same issuer", object{"sub": "agent"}, "token", true},
		{"G09 told", object{"iss": idpIssuer, "sub": "agent"}, "told", true},
		{"another member that fits", object{"sub": "agent", "level": int64(3)}, "token", true},
		{"by client_id", object{"client_id": "copilot"}, "token", true},
		{"by client_id and sub", object{"client_id": "copilot", "sub": "agent"}, "token", true},
		{"G10 another issuer", object{"iss": otherIssuer, "sub": "agent"}, "token", false},
		{"G10 another issuer, told", object{"iss": otherIssuer, "sub": "agent"}, "told", false},
		{"G11 another", object{"iss": idpIssuer, "sub": "other"}, "token", false},
		{"G11 another, told", object{"sub": "other"}, "told", false},
		{"G12 nobody", object{}, "token", false},
		{"G12 nobody, told", object{}, "told", false},
		{"G12 nobody, not the client either", object{}, "client", false},
		{"an issuer alone", object{"iss": idpIssuer}, "token", false},
		{"only what names nobody", object{"level": int64(3)}, "token", false},
		{"another member that differs", object{"sub": "agent", "level": int64(4)}, "token", false},
		{"another type", object{"sub": "agent", "level": "3"}, "token", false},
		{"another type of number", object{"sub": "agent", "level": 3.0}, "token", false},
		{"a member that he lacks", object{"sub": "agent", "team": "a"}, "token", false},
		{"null", object{"sub": "agent", "team": nil}, "token", false},
		{"sub is null", object{"sub": nil}, "token", false},
		{"iss is null", object{"sub": "agent", "iss": nil}, "token", false},
		{"a list", object{"sub": []any{"agent"}}, "token", false},
		{"an object", object{"sub": "agent", "level": object{}}, "token", false},
		{"client_id is empty", object{"client_id": ""}, "nameless", false},
		{"a sub is a sub, told", object{"sub": "agent"}, "renamed", true},
		{"and not his name here, told", object{"sub": "uid-7"}, "renamed", false},
		{"what can't be known of one told", object{"sub": "agent", "level": int64(3)}, "told", false},
		{"by client_id, told", object{"client_id": "kong"}, "told", false},
		{"the client, not the actor", object{"client_id": "kong"}, "token", false},
		{"G14 the client", object{"client_id": "kong"}, "client", true},
		{"G14 another client", object{"client_id": "pump"}, "client", false},
		{"G14 the client, and what it can't show", object{"client_id": "kong", "sub": "agent"}, "client", false},
		{"G14 no client", object{"sub": "kong"}, "client", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, call := delegated()
			w.identity.MayAct = tc.may
			switch tc.who {
			case "nameless":
				w.actor.Claims["client_id"] = ""
			case "told":
				w.identity.Actors = []exchange.Actor{actor("agent")}
			case "renamed":
				w.identity.Actors = []exchange.Actor{{Provider: "okta", Issuer: idpIssuer, Subject: "uid-7", Sub: "agent"}}
			}
			if tc.who != "token" && tc.who != "nameless" {
				alone(call)
			}
			answer, err := w.service(t).Exchange(t.Context(), call)
			if tc.ok != (err == nil) || err != nil && exchange.AsError(err).Reason != exchange.ReasonDelegationNotAllowed {
				t.Fatalf("%v, want ok: %t", err, tc.ok)
			}
			if tc.ok && tc.who == "client" && answer.Actors != 0 {
				t.Error("an actor was made up")
			}
		})
	}

	t.Run("G10 the same name at another issuer", func(t *testing.T) {
		for _, may := range []object{{"sub": "agent"}, {"iss": idpIssuer, "sub": "agent"}} {
			w, call := delegated()
			w.identity.MayAct = may
			w.actor.Provider, w.actor.Issuer = "entra", otherIssuer
			call.Client.IdentityProviders = append(call.Client.IdentityProviders, "entra")
			if _, err := w.service(t).Exchange(t.Context(), call); err == nil {
				t.Errorf("%v let an actor of another issuer through", may)
			}
		}
	})
	t.Run("an actor whose sub is not his name here", func(t *testing.T) {
		w, call := delegated()
		w.identity.MayAct = object{"sub": "agent"}
		w.actor.Subject = "0oa1"
		if _, err := w.service(t).Exchange(t.Context(), call); err != nil {
			t.Error(err)
		}
	})
	t.Run("an actor whose token has no sub", func(t *testing.T) {
		w, call := delegated()
		w.identity.MayAct = object{"sub": "agent"}
		delete(w.actor.Claims, "sub")
		if _, err := w.service(t).Exchange(t.Context(), call); err != nil {
			t.Error(err)
		}
	})
}

// TestDelegationLivesAsLongAsBoth holds row G19.
func TestDelegationLivesAsLongAsBoth(t *testing.T) {
	for _, tc := range []struct{ subject, actor, want time.Duration }{
		{30 * time.Minute, 2 * time.Minute, 2 * time.Minute},
		{3 * time.Minute, 20 * time.Minute, 3 * time.Minute},
		{30 * time.Minute, 20 * time.Minute, 10 * time.Minute}, // the rule's
	} {
		w, call := delegated()
		start := noon.Truncate(time.Second)
		w.identity.Expiry, w.actor.Expiry = start.Add(tc.subject), start.Add(tc.actor)
		answer, err := w.service(t).Exchange(t.Context(), call)
		if err != nil || time.Duration(answer.ExpiresIn)*time.Second != tc.want-time.Second { // noon is half a second past
			t.Errorf("%v and %v: %d s, %v", tc.subject, tc.actor, answer.ExpiresIn, err)
		}
		if want := start.Add(min(tc.subject, tc.actor)); w.notAfter != want {
			t.Errorf("a token was asked for until %v, not %v", w.notAfter, want)
		}
	}
}

// TestJudgeDelegation holds that an explanation goes by what an exchange goes by.
func TestJudgeDelegation(t *testing.T) {
	w, call := delegated()
	a := &exchange.Attempt{Time: noon, Request: &exchange.Request{}, Subject: w.identity, Actor: w.actor, Call: call}
	if err := a.Judge(w.delegation, w); err != nil {
		t.Error(err)
	}
	if err := a.Judge(exchange.Delegation{}, w); err == nil || err.Reason != exchange.ReasonDelegationNotAllowed {
		t.Errorf("switched off: %v", err)
	}
}
