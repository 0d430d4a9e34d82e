package exchange

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"runtime/debug"
	"slices"
	"time"
)

// Config is what a Service is made of. All of it but Delegation is needed.
type Config struct {
	Gate     Gate
	Verifier Verifier
	Policy   Policy
	Tokens   Tokens
	Recorder Recorder
	// Handouts and Revocations are what introspection and revocation go by.
	Handouts    Handouts
	Revocations Revocations

	// Delegation says whether others may act for subjects; its zero value is that none may.
	Delegation Delegation

	Now    func() time.Time
	Random io.Reader
	Log    *slog.Logger
}

// Service exchanges tokens.
type Service struct {
	gate        Gate
	verifier    Verifier
	policy      Policy
	tokens      Tokens
	recorder    Recorder
	handouts    Handouts
	revocations Revocations
	delegation  Delegation
	now         func() time.Time
	random      io.Reader
	log         *slog.Logger
}

// New makes a Service.
func New(c Config) (*Service, error) {
	for _, need := range []struct {
		name    string
		missing bool
	}{
		{"Gate", c.Gate == nil}, {"Verifier", c.Verifier == nil}, {"Policy", c.Policy == nil}, {"Tokens", c.Tokens == nil},
		{"Recorder", c.Recorder == nil}, {"Handouts", c.Handouts == nil}, {"Revocations", c.Revocations == nil}, {"Now", c.Now == nil}, {"Random", c.Random == nil}, {"Log", c.Log == nil},
	} {
		if need.missing {
			return nil, fmt.Errorf("exchange.Config.%s is missing", need.name)
		}
	}
	return &Service{
		gate: c.Gate, verifier: c.Verifier, policy: c.Policy, tokens: c.Tokens, recorder: c.Recorder,
		handouts: c.Handouts, revocations: c.Revocations, delegation: c.Delegation,
		now: c.Now, random: c.Random, log: c.Log,
	}, nil
}

// Exchange turns a call into an answer, and records how it went before anybody learns it. Its error is an *Error that
// names its record.
func (s *Service) Exchange(ctx context.Context, call *Call) (Answer, error) {
	now := s.now()
	id, err := NewID(now, s.random)
	if err != nil {
		return Answer{}, AsError(err)
	}
	a := &Attempt{ID: id, Time: now, Call: call}
	if err := s.attempt(ctx, a); err != nil {
		a.Err = AsError(err)
		if a.Subject != nil {
			a.findActors() // those of a token that was used before are known, too
		}
	}
	return s.record(ctx, a)
}

// attempt walks the request down: each step adds to a what it learnt, and the first that fails ends it.
func (s *Service) attempt(ctx context.Context, a *Attempt) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()

	// 1 enter
	if err := s.gate.Enter(a.Call.Client, a.Call.Source); err != nil {
		return err
	}
	if err := read(a); err != nil {
		return err
	}

	// 2 verify
	if a.Subject, err = s.verify(ctx, a.Call, a.Request.Subject, UseSubject); err != nil {
		return err
	}
	if err := s.verifyActor(ctx, a); err != nil {
		return err
	}
	if err := consent(a, s.delegation); err != nil {
		return err
	}

	// 3 decide
	_, end := startStep(ctx, "decide")
	a.Decision = s.policy.Decide(a)
	err = refusal(a)
	end(err)
	if err != nil {
		return err
	}

	// 4 admit
	if err := s.gate.Admit(a); err != nil {
		return err
	}

	// 5 obtain
	step, end := startStep(ctx, "obtain")
	err = s.obtain(step, a)
	end(err)
	return err
}

// read makes the request of the call's parameters.
func read(a *Attempt) error {
	if err := a.Call.Client.MayUse(a.Call.Params.GrantType); err != nil {
		return err
	}
	request, err := a.Call.Params.Parse()
	if err != nil {
		return err
	}
	a.Request = request
	return nil
}

// verify has a token looked at, and holds an invalid one against who sent it.
func (s *Service) verify(ctx context.Context, call *Call, p Presented, use Use) (*Identity, error) {
	ctx, end := startStep(ctx, "verify "+string(use))
	who, err := s.verifier.Verify(ctx, p, use)
	end(err)
	if err != nil && AsError(err).Code == CodeInvalidRequest {
		s.gate.Penalize(call.Client, call.Source)
	}
	return who, err
}

// verifyActor has the actor token looked at where there is one and it may be.
func (s *Service) verifyActor(ctx context.Context, a *Attempt) (err error) {
	presented := a.Request.Actor
	if presented == nil {
		return nil
	}
	if err := s.delegation.takes(a.Call.Client); err != nil {
		return err
	}
	if presented.Token == a.Request.Subject.Token {
		return Refuse(CodeInvalidRequest, ReasonActorTokenInvalid,
			"the actor_token is the subject_token; send the actor's own, or none where nobody acts for the subject")
	}
	a.Actor, err = s.verify(ctx, a.Call, *presented, UseActor)
	return err
}

// consent checks that this client may present this subject's token, and that who acts for him may.
func consent(a *Attempt, d Delegation) error {
	a.findActors()
	client, subject := a.Call.Client, a.Subject
	switch {
	case !slices.Contains(client.IdentityProviders, subject.Provider):
		return Refuse(CodeInvalidRequest, ReasonIssuerNotAllowed,
			"this client may not present tokens of the identity provider %s; add it to the client's identity_providers", subject.Provider)
	case !client.AnyParty && (subject.Party == "" || !slices.Contains(client.AuthorizedParties, subject.Party)):
		return Refuse(CodeInvalidRequest, ReasonPartyNotAuthorized,
			"the subject token was issued to a party (azp or client_id) that is not among the client's authorized_parties")
	}
	return d.settle(a)
}

// refusal is why the decided attempt goes no further, nil where it goes on.
func refusal(a *Attempt) error {
	switch {
	case a.Decision.Denial != nil:
		return a.Decision.Denial
	case a.Request.narrowing != nil:
		return a.Request.narrowing
	}
	return nil
}

// obtain gets the token and fixes the end that the caller is told: min(token's rest, limit, presented tokens' rest).
func (s *Service) obtain(ctx context.Context, a *Attempt) (err error) {
	now, limit, notAfter := s.now(), a.limit(), a.notAfter()
	if err := a.tooShort(now); err != nil {
		return err
	}
	grant := a.Decision.Grant
	grant.Client = a.Call.Client.ID
	if a.Token, err = s.tokens.Obtain(ctx, grant, limit, notAfter); err != nil {
		return err
	}
	switch later := s.now(); {
	case later.Before(now):
		now = later // the clock was set back meanwhile: counted from what it said before, the end would be too late
	case later.Sub(now) > longWait:
		if err := s.decideAgain(a); err != nil {
			return err
		}
	}
	a.ExpiresAt = now.Add(limit).Truncate(time.Second)
	for _, end := range []time.Time{a.Token.TrueExpiry, notAfter} {
		if end.Before(a.ExpiresAt) {
			a.ExpiresAt = end
		}
	}
	return nil
}

// longWait is how old a decision may be before it is made anew: a mint may take longer than a change of policy may take
// to be in force.
const longWait = time.Second

// decideAgain asks policy once more about an attempt that has its token. What policy no longer grants is not given out.
func (s *Service) decideAgain(a *Attempt) error {
	before := a.Decision.Grant
	a.Decision = s.policy.Decide(a)
	before.Credential = a.Decision.Grant.Credential // a secret that was rotated takes nothing from the token
	err := refusal(a)
	if err == nil && !reflect.DeepEqual(before, a.Decision.Grant) {
		err = Refuse(CodeUnavailable, ReasonUpstreamUnavailable, "the policy changed while the token was obtained; ask again").After(time.Second)
	}
	if err != nil {
		a.Token = Token{}
	}
	return err
}

// record writes the attempt down, then answers. What can't be recorded doesn't happen.
func (s *Service) record(ctx context.Context, a *Attempt) (Answer, error) {
	now := s.now()
	if a.Err == nil && Rest(a.ExpiresAt, now) <= 0 {
		a.Err = spent()
	}
	a.Duration = now.Sub(a.Time)
	step, end := startStep(ctx, "record")
	// The record is owed whether or not the caller still waits.
	err := s.recorder.Record(context.WithoutCancel(step), &Event{ID: a.ID, Time: a.Time, Exchange: a})
	end(err)
	if err != nil {
		s.log.ErrorContext(ctx, "the audit log did not accept a record; the request is refused", "decision_id", a.ID, "error", err)
		refused := Refuse(CodeUnavailable, ReasonAuditUnavailable, "the audit log can't be written, so no token is given out; ask again shortly").After(time.Second)
		refused.DecisionID = a.ID
		return Answer{}, refused
	}
	if a.Err != nil {
		s.logFailure(ctx, "exchange", a.ID, a.Call.Client, a.Err)
		failed := *a.Err
		failed.DecisionID = a.ID
		return Answer{}, &failed
	}
	s.handouts.Note(ctx, a)
	// The disk may have taken its time, which is not the caller's to spend.
	rest := Rest(a.ExpiresAt, s.now())
	if rest <= 0 {
		refused := spent()
		refused.DecisionID = a.ID
		return Answer{}, refused
	}
	return Answer{
		AccessToken:     a.Token.Text,
		IssuedTokenType: TypeAccessToken,
		ExpiresIn:       int32(rest / time.Second), //nolint:gosec // at most a rule's lifetime, which is days
		Scopes:          a.Token.Scopes,
		Details:         a.Token.Details,
		DecisionID:      a.ID,
		Actors:          len(a.Actors()),
	}, nil
}

func spent() *Error {
	return Refuse(CodeUnavailable, ReasonUpstreamUnavailable, "the token took so long to obtain that none of its life is left; ask again").After(time.Second)
}

// logFailure tells our own log what the caller is not told. Who is denied, limited or gone is the record's business: a
// flood of those must not become a flood of alarms.
func (s *Service) logFailure(ctx context.Context, what, id string, c *Client, err *Error) {
	outcome, level := outcomeOf(err), slog.LevelError
	if outcome == OutcomeDenied || err.Code == CodeDeadline || err.Reason == ReasonOverloaded {
		level = slog.LevelDebug
	}
	s.log.Log(ctx, level, what+" "+string(outcome), "decision_id", id, "client", c.ID, "reason", string(err.Reason), "error", err)
}

// RefuseUnknown records a request that failed before its client was known, and returns its error with the id of the
// record.
func (s *Service) RefuseUnknown(f Failure) *Error {
	refused := *f.Err
	refused.DecisionID = s.recorder.RecordFailure(f)
	return &refused
}
