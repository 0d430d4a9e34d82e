package exchange_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lakegate/sts/exchange"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 500_000_000, time.UTC)

// world plays all the ports; each test bends one of its answers.
type world struct {
	now      time.Time
	enter    error
	identity *exchange.Identity
	verify   error
	// actor is whom an actor token speaks of.
	actor       *exchange.Identity
	verifyActor error
	delegation  exchange.Delegation
	decide      func(*exchange.Attempt) exchange.Decision
	admit       error
	token       exchange.Token
	obtain      func() error
	record      error
	// recordTakes is how far the clock moves while a record is written.
	recordTakes time.Duration

	// handout and others are what Find answers, ended what the client has given up.
	handout *exchange.Handout
	others  bool
	find    error
	ended   map[string]bool // client, hash in hex
	end     error

	steps     []string
	penalties int
	grant     exchange.Grant
	limit     time.Duration
	notAfter  time.Time
	events    []exchange.Event
	attempts  []exchange.Attempt
	log       bytes.Buffer
}

func newWorld() *world {
	return &world{
		now: noon,
		identity: &exchange.Identity{
			Provider: "okta", Issuer: "https://idp.example", Subject: "ada", Party: "web", Expiry: noon.Truncate(time.Second).Add(30 * time.Minute),
		},
		decide: func(*exchange.Attempt) exchange.Decision {
			return exchange.Decision{Rule: "r", Policy: "d", Grant: exchange.Grant{
				Principal: "ml", Workspace: "prod", Scopes: []string{"sql"}, Lifetime: 10 * time.Minute, MinLifetime: time.Minute,
			}}
		},
		token:  exchange.Token{Text: "dbx", Scopes: []string{"sql"}, TrueExpiry: noon.Truncate(time.Second).Add(10 * time.Minute)},
		obtain: func() error { return nil },
	}
}

func (w *world) step(name string) { w.steps = append(w.steps, name) }

func (w *world) Enter(*exchange.Client, exchange.Source) error { w.step("enter"); return w.enter }
func (w *world) Penalize(*exchange.Client, exchange.Source)    { w.penalties++ }
func (w *world) Admit(*exchange.Attempt) error                 { w.step("admit"); return w.admit }

func (w *world) Verify(_ context.Context, _ exchange.Presented, use exchange.Use) (*exchange.Identity, error) {
	if use == exchange.UseActor {
		w.step("verify actor")
		return w.actor, w.verifyActor
	}
	w.step("verify")
	return w.identity, w.verify
}

func (w *world) Decide(a *exchange.Attempt) exchange.Decision { w.step("decide"); return w.decide(a) }

func (w *world) Obtain(_ context.Context, g exchange.Grant, limit time.Duration, notAfter time.Time) (exchange.Token, error) {
	w.step("obtain")
	w.grant, w.limit, w.notAfter = g, limit, notAfter
	return w.token, w.obtain()
}

func (w *world) Record(ctx context.Context, e *exchange.Event) error {
	w.step("record")
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.record != nil {
		return w.record
	}
	w.events = append(w.events, *e)
	if e.Exchange != nil {
		w.attempts = append(w.attempts, *e.Exchange)
	}
	w.now = w.now.Add(w.recordTakes)
	return nil
}

func (w *world) RecordFailure(exchange.Failure) string { return "summary" }

func (w *world) Note(_ context.Context, a *exchange.Attempt) {
	w.step("note")
	h := exchange.HandoutOf(a)
	w.handout = &h
}

func (w *world) Find(_ context.Context, _ [32]byte, client string) (*exchange.Handout, bool, error) {
	w.step("find")
	if client == "panic" {
		panic("out of order")
	}
	return w.handout, w.others, w.find
}

func (w *world) Ended(client string, token [32]byte) bool {
	return w.ended[client+" "+hex.EncodeToString(token[:])]
}

func (w *world) End(_ context.Context, client string, token [32]byte, until time.Time) error {
	w.step("end until " + until.Format(time.RFC3339))
	if w.end != nil {
		return w.end
	}
	w.ended = map[string]bool{client + " " + hex.EncodeToString(token[:]): true}
	return nil
}

func (w *world) service(t *testing.T) *exchange.Service {
	t.Helper()
	s, err := exchange.New(exchange.Config{
		Gate: w, Verifier: w, Policy: w, Tokens: w, Recorder: w, Handouts: w, Revocations: w, Delegation: w.delegation,
		Now: func() time.Time { return w.now }, Random: rand.Reader, Log: slog.New(slog.NewJSONHandler(&w.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newCall() *exchange.Call {
	return &exchange.Call{
		Entrance: "form",
		Client: &exchange.Client{
			ID: "kong", IdentityProviders: []string{"okta"}, AuthorizedParties: []string{"web"},
			Audiences: []string{"prod"}, Grants: []string{exchange.GrantTypeTokenExchange},
		},
		Source: exchange.Source{Peer: netip.MustParseAddr("127.0.0.1")},
		Params: base(),
	}
}

func TestExchangeAnswers(t *testing.T) {
	w := newWorld()
	answer, err := w.service(t).Exchange(t.Context(), newCall())
	if err != nil {
		t.Fatal(err)
	}
	want := exchange.Answer{
		AccessToken: "dbx", IssuedTokenType: exchange.TypeAccessToken, ExpiresIn: 599, Scopes: []string{"sql"}, DecisionID: w.events[0].ID,
	}
	if diff := cmp.Diff(want, answer); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"enter", "verify", "decide", "admit", "obtain", "record", "note"}, w.steps); diff != "" {
		t.Error(diff)
	}
	if got := w.attempts[0]; got.Outcome() != exchange.OutcomeGranted || got.Decision.Rule != "r" {
		t.Errorf("recorded %+v", got)
	}
}

// TestExchangeStopsAtTheFirstFailure holds every step's failure: which steps ran, what the caller learns, and that
// it is recorded whatever it was.
func TestExchangeStopsAtTheFirstFailure(t *testing.T) {
	refuse := func(c exchange.Code, r exchange.Reason) error { return exchange.Refuse(c, r, "no") }
	denied := func(c exchange.Code, r exchange.Reason) func(*exchange.Attempt) exchange.Decision {
		return func(*exchange.Attempt) exchange.Decision {
			return exchange.Decision{Denial: exchange.Refuse(c, r, "no")}
		}
	}
	for _, tc := range []struct {
		name    string
		bend    func(*world, *exchange.Call)
		reason  exchange.Reason
		outcome exchange.Outcome
		last    string
	}{
		{"I05 limited", func(w *world, _ *exchange.Call) {
			w.enter = refuse(exchange.CodeRateLimited, exchange.ReasonRateLimited)
		}, exchange.ReasonRateLimited, exchange.OutcomeDenied, "enter"},
		{"H23 grant not allowed", func(_ *world, c *exchange.Call) { c.Client.Grants = nil }, exchange.ReasonClientNotAllowed, exchange.OutcomeDenied, "enter"},
		{"C01 no subject token", func(_ *world, c *exchange.Call) { c.Params.SubjectToken = "" }, exchange.ReasonRequestMalformed, exchange.OutcomeDenied, "enter"},
		{"bad token", func(w *world, _ *exchange.Call) {
			w.verify = refuse(exchange.CodeInvalidRequest, exchange.ReasonSubjectTokenInvalid)
		}, exchange.ReasonSubjectTokenInvalid, exchange.OutcomeDenied, "verify"},
		{"P02 provider", func(w *world, _ *exchange.Call) { w.identity.Provider = "entra" }, exchange.ReasonIssuerNotAllowed, exchange.OutcomeDenied, "verify"},
		{"P01 party", func(w *world, _ *exchange.Call) { w.identity.Party = "other" }, exchange.ReasonPartyNotAuthorized, exchange.OutcomeDenied, "verify"},
		{"P01 no party", func(w *world, _ *exchange.Call) { w.identity.Party = "" }, exchange.ReasonPartyNotAuthorized, exchange.OutcomeDenied, "verify"},
		{"P01 no party, and an empty one in the list", func(w *world, c *exchange.Call) {
			w.identity.Party, c.Client.AuthorizedParties = "", []string{""}
		}, exchange.ReasonPartyNotAuthorized, exchange.OutcomeDenied, "verify"},
		{"G18 actor", func(_ *world, c *exchange.Call) {
			c.Params.ActorToken, c.Params.ActorTokenType = "a", string(exchange.TypeJWT)
		}, exchange.ReasonDelegationNotAllowed, exchange.OutcomeDenied, "verify"},
		{"I04 no rule", func(w *world, _ *exchange.Call) {
			w.decide = denied(exchange.CodeNotGranted, exchange.ReasonNoMatchingRule)
		}, exchange.ReasonNoMatchingRule, exchange.OutcomeDenied, "decide"},
		{"E12 malformed scope", func(_ *world, c *exchange.Call) { c.Params.Scope = `a"` }, exchange.ReasonRequestMalformed, exchange.OutcomeDenied, "decide"},
		{"policy before a malformed scope", func(w *world, c *exchange.Call) {
			c.Params.Scope = `a"`
			w.decide = denied(exchange.CodeNotGranted, exchange.ReasonNoMatchingRule)
		}, exchange.ReasonNoMatchingRule, exchange.OutcomeDenied, "decide"},
		{"revoked", func(w *world, _ *exchange.Call) {
			w.admit = refuse(exchange.CodeNotGranted, exchange.ReasonRevoked)
		}, exchange.ReasonRevoked, exchange.OutcomeDenied, "admit"},
		{"P05 expiring", func(w *world, _ *exchange.Call) { w.identity.Expiry = noon.Truncate(time.Second).Add(time.Minute) }, exchange.ReasonSubjectTokenExpiring, exchange.OutcomeDenied, "admit"},
		{"I06 upstream", func(w *world, _ *exchange.Call) {
			w.obtain = func() error { return refuse(exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable) }
		}, exchange.ReasonUpstreamUnavailable, exchange.OutcomeFailed, "obtain"},
		{"a foreign error", func(w *world, _ *exchange.Call) { w.obtain = func() error { return errors.New("disk on fire") } }, exchange.ReasonInternal, exchange.OutcomeFailed, "obtain"},
		{"I09 panic", func(w *world, _ *exchange.Call) { w.obtain = func() error { panic("boom") } }, exchange.ReasonInternal, exchange.OutcomeFailed, "obtain"},
		{"nothing left after a slow mint", func(w *world, _ *exchange.Call) {
			w.obtain = func() error { w.now = w.now.Add(11 * time.Minute); return nil }
		}, exchange.ReasonUpstreamUnavailable, exchange.OutcomeFailed, "decide"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, call := newWorld(), newCall()
			tc.bend(w, call)
			answer, err := w.service(t).Exchange(t.Context(), call)
			if answer.AccessToken != "" {
				t.Error("a token came out")
			}
			got := exchange.AsError(err)
			if got == nil || got.Reason != tc.reason {
				t.Fatalf("got %v, want %s", err, tc.reason)
			}
			if len(w.events) != 1 || w.events[0].ID != got.DecisionID || w.attempts[0].Err.Reason != tc.reason || w.attempts[0].Outcome() != tc.outcome {
				t.Errorf("error %v was recorded as %+v", got, w.attempts)
			}
			if before := w.steps[len(w.steps)-2]; before != tc.last {
				t.Errorf("the last step was %s, want %s", before, tc.last)
			}
			if strings.Contains(got.Message, "disk") || strings.Contains(got.Message, "boom") {
				t.Errorf("the caller is told the cause: %s", got.Message)
			}
		})
	}
}

func TestOnlyInvalidTokensArePenalized(t *testing.T) {
	for _, tc := range []struct {
		code exchange.Code
		want int
	}{{exchange.CodeInvalidRequest, 1}, {exchange.CodeUnavailable, 0}, {exchange.CodeInternal, 0}} {
		w := newWorld()
		w.verify = exchange.Refuse(tc.code, exchange.ReasonSubjectTokenInvalid, "no")
		if _, err := w.service(t).Exchange(t.Context(), newCall()); err == nil {
			t.Fatal("accepted")
		}
		if w.penalties != tc.want {
			t.Errorf("%s: %d penalties, want %d", tc.code, w.penalties, tc.want)
		}
	}
}

// TestNoRecordNoToken is row I10 and invariant 12.
func TestNoRecordNoToken(t *testing.T) {
	for _, name := range []string{"granted", "denied"} {
		w := newWorld()
		w.record = errors.New("no space left")
		if name == "denied" {
			w.verify = exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonSubjectTokenInvalid, "no")
		}
		answer, err := w.service(t).Exchange(t.Context(), newCall())
		got := exchange.AsError(err)
		if answer.AccessToken != "" || got == nil || got.Reason != exchange.ReasonAuditUnavailable || got.RetryAfter <= 0 || got.DecisionID == "" {
			t.Errorf("%s: got %v, %v", name, answer, err)
		}
	}
}

// TestLimits is invariant 6: the least of all bounds wins, wherever it comes from.
func TestLimits(t *testing.T) {
	second := noon.Truncate(time.Second)
	for _, tc := range []struct {
		name      string
		bend      func(*world, *exchange.Call)
		limit     time.Duration
		expiresIn int32
	}{
		{"the rule's lifetime", func(w *world, _ *exchange.Call) { w.token.TrueExpiry = second.Add(time.Hour) }, 10 * time.Minute, 599},
		{"the request's", func(w *world, c *exchange.Call) {
			c.Params.RequestedLifetime = "120"
			w.token.TrueExpiry = second.Add(time.Hour)
		}, 2 * time.Minute, 119},
		{"a request beyond the rule's", func(_ *world, c *exchange.Call) { c.Params.RequestedLifetime = "7200" }, 10 * time.Minute, 599},
		{"the subject's rest", func(w *world, _ *exchange.Call) {
			w.identity.Expiry = second.Add(4 * time.Minute)
			w.token.TrueExpiry = second.Add(time.Hour)
		}, 10 * time.Minute, 239},
		{"the token's rest", func(w *world, _ *exchange.Call) { w.token.TrueExpiry = second.Add(3 * time.Minute) }, 10 * time.Minute, 179},
	} {
		w, call := newWorld(), newCall()
		tc.bend(w, call)
		answer, err := w.service(t).Exchange(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		if w.limit != tc.limit || !w.notAfter.Equal(w.identity.Expiry) || answer.ExpiresIn != tc.expiresIn {
			t.Errorf("%s: limit %v, not after %v, expires in %d; want %v, %v, %d", tc.name,
				w.limit, w.notAfter, answer.ExpiresIn, tc.limit, w.identity.Expiry, tc.expiresIn)
		}
	}
}

// What a caller is told to be left of a token is counted from the moment of the answer, whatever the clock did before.
func TestExpiresInIsCountedAtTheAnswer(t *testing.T) {
	for _, tc := range []struct {
		name              string
		obtain, record    time.Duration
		expiresIn         int32 // 0: refused
		wantRecordedGrant bool
	}{
		{"at once", 0, 0, 599, true},
		{"a slow mint", 5 * time.Second, 0, 594, true},
		{"a slow disk", 0, 5 * time.Second, 594, true},
		{"a mint of ten minutes", 10 * time.Minute, 0, 0, false},
		{"a disk of ten minutes", 0, 10 * time.Minute, 0, true},
		{"the clock is set back during the mint", -time.Hour, 0, 599, true},
	} {
		w, call := newWorld(), newCall()
		w.token.TrueExpiry = noon.Add(24 * time.Hour).Truncate(time.Second)
		w.identity.Expiry = w.token.TrueExpiry
		w.obtain = func() error { w.now = w.now.Add(tc.obtain); return nil }
		w.recordTakes = tc.record
		answer, err := w.service(t).Exchange(t.Context(), call)
		if (err == nil) != (tc.expiresIn > 0) || answer.ExpiresIn != tc.expiresIn || (w.attempts[0].Err == nil) != tc.wantRecordedGrant {
			t.Errorf("%s: expires in %d, %v, recorded as %s; want %d", tc.name, answer.ExpiresIn, err, w.attempts[0].Outcome(), tc.expiresIn)
		}
	}
}

// A change of policy is in force within seconds, also for those who wait for a mint that takes longer.
func TestPolicyChangesDuringAMint(t *testing.T) {
	deny := func(*exchange.Attempt) exchange.Decision {
		return exchange.Decision{Rule: "no", Denial: exchange.Refuse(exchange.CodeNotGranted, exchange.ReasonDeniedByRule, "no")}
	}
	shorter := func(*exchange.Attempt) exchange.Decision {
		d := newWorld().decide(nil)
		d.Grant.Lifetime = time.Minute
		return d
	}
	rotated := func(*exchange.Attempt) exchange.Decision {
		d := newWorld().decide(nil)
		d.Grant.Credential = "2"
		return d
	}
	otherRule := func(*exchange.Attempt) exchange.Decision {
		d := newWorld().decide(nil)
		d.Rule = "s"
		return d
	}
	for _, tc := range []struct {
		name   string
		takes  time.Duration
		decide func(*exchange.Attempt) exchange.Decision
		want   exchange.Reason
		rule   string
	}{
		{"quick", time.Second, deny, "", "r"},
		{"denied meanwhile", 3 * time.Second, deny, exchange.ReasonDeniedByRule, "no"},
		{"another grant meanwhile", 3 * time.Second, shorter, exchange.ReasonUpstreamUnavailable, "r"},
		{"the same by another rule", 3 * time.Second, otherRule, "", "s"},
		{"a secret rotated meanwhile", 3 * time.Second, rotated, "", "r"},
		{"no change", 3 * time.Second, newWorld().decide, "", "r"},
	} {
		w := newWorld()
		w.obtain = func() error {
			w.now, w.decide = w.now.Add(tc.takes), tc.decide
			return nil
		}
		answer, err := w.service(t).Exchange(t.Context(), newCall())
		var reason exchange.Reason
		if err != nil {
			reason = exchange.AsError(err).Reason
		}
		recorded := w.attempts[0]
		if reason != tc.want || (answer.AccessToken != "") != (tc.want == "") || recorded.Decision.Rule != tc.rule || (recorded.Token.Text != "") != (tc.want == "") {
			t.Errorf("%s: got %q by rule %s", tc.name, reason, recorded.Decision.Rule)
		}
	}
}

func TestACallerThatLeftIsRecorded(t *testing.T) {
	w := newWorld()
	ctx, cancel := context.WithCancel(t.Context())
	w.obtain = func() error { cancel(); return ctx.Err() }
	_, err := w.service(t).Exchange(ctx, newCall())
	if got := exchange.AsError(err); got.Reason != exchange.ReasonDeadlineExceeded || len(w.events) != 1 {
		t.Errorf("got %v and %d events", err, len(w.events))
	}
}

func TestRefuseUnknownNamesItsSummary(t *testing.T) {
	w := newWorld()
	failure := exchange.Failure{Err: exchange.Refuse(exchange.CodeInvalidClient, exchange.ReasonClientAuthenticationFailed, "no")}
	if got := w.service(t).RefuseUnknown(failure); got.DecisionID != "summary" || failure.Err.DecisionID != "" {
		t.Errorf("got %+v", got)
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	if _, err := exchange.New(exchange.Config{}); err == nil || !strings.Contains(err.Error(), "Gate") {
		t.Errorf("got %v", err)
	}
}

func TestBlame(t *testing.T) {
	peer := netip.MustParseAddr("10.0.0.1")
	got := []string{
		exchange.Source{Peer: peer}.Blame(),
		exchange.Source{Peer: peer, Claimed: exchange.Claimed{Source: "203.0.113.7"}}.Blame(),
	}
	if !slices.Equal(got, []string{"10.0.0.1", "203.0.113.7"}) {
		t.Errorf("got %v", got)
	}
}
