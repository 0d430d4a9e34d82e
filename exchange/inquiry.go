package exchange

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime/debug"
	"time"
)

// Inquiry is a request about a token that may have been handed out: what it is (RFC 7662), or that its client is done
// with it (RFC 7009).
type Inquiry struct {
	// Entrance, Client and Source are as in a Call: the client has authenticated. It needs no grant.
	Entrance string
	Client   *Client
	Source   Source
	Token    Secret
}

// Handout is a Databricks token in the hands of a client.
type Handout struct {
	// Expiry is the token's true expiry, IssuedAt when it was minted; zero where that isn't known. In whole seconds.
	Expiry   time.Time
	IssuedAt time.Time
	// Scopes are sorted and shared: read only.
	Scopes []string
	// Subject is whose token it is, and Actor who acts for him, where it is one subject's alone (isolation: subject).
	// Any other token speaks of nobody.
	Subject, Actor *Party
}

// HandoutOf is what an attempt that was granted hands out.
func HandoutOf(a *Attempt) Handout {
	h := Handout{Expiry: a.Token.TrueExpiry, Scopes: a.Token.Scopes}
	if minted, ok := a.Token.Mint.time(); ok {
		h.IssuedAt = minted.Truncate(time.Second)
	}
	if a.Decision.Grant.Personal {
		h.Subject, h.Actor = partyOf(a.Subject), partyOf(a.Actor)
	}
	return h
}

func partyOf(who *Identity) *Party {
	if who == nil {
		return nil
	}
	return &Party{Issuer: who.Issuer, Subject: who.Subject}
}

// Party is a subject or an actor, by its provider's issuer.
type Party struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

// Handouts remember what was handed out. They are a cache: what they forget costs its client an answer, and no one a
// token.
type Handouts interface {
	// Note remembers that a's token goes to a's client, before it does. Of what is known already it costs one look. What
	// can't be shared with other replicas at once is shared later; that is no error.
	Note(ctx context.Context, a *Attempt)
	// Find returns what is known of a token in the hands of a client, by the SHA-256 of its text; nil where the client
	// hasn't got it, and then others tells whether others have. An error (CodeUnavailable) means that nobody can tell.
	//
	// The hash is not the token's identity: an ES256 signature can be rewritten by anybody, and the token still holds at
	// Databricks. A rewritten token is one that was never handed out, which is all that is asked here: nothing is granted
	// to a token for not being known, or refused to one because a like of it was given up.
	Find(ctx context.Context, token [sha256.Size]byte, client string) (h *Handout, others bool, err error)
}

// Revocations know what was ended before its time.
type Revocations interface {
	// Ended reports whether a client has given a token up. It answers from local knowledge, which is a few seconds old
	// at most as long as the ledger can be read.
	Ended(client string, token [sha256.Size]byte) bool
	// End makes it so, here at once and everywhere within seconds, until the token's true expiry. What can't be stored is
	// an error (CodeUnavailable) and not in force; a client that gives up too many is refused (CodeRateLimited).
	End(ctx context.Context, client string, token [sha256.Size]byte, until time.Time) error
}

// standing is how a token stands with a client, in the words of the record.
type standing string

const (
	standingActive  standing = "active"
	standingEnded   standing = "given up by this client"
	standingExpired standing = "expired"
	standingOthers  standing = "handed out to others"
	standingUnknown standing = "not known"
)

// standing finds out how a token stands with the client that asks; of an active one it returns the hand-out.
func (s *Service) standing(ctx context.Context, q *Inquiry, token [sha256.Size]byte) (*Handout, standing, error) {
	if s.revocations.Ended(q.Client.ID, token) {
		return nil, standingEnded, nil
	}
	h, others, err := s.handouts.Find(ctx, token, q.Client.ID)
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("looking for a hand-out: %w", err)
	case h == nil && others:
		return nil, standingOthers, nil
	case h == nil:
		return nil, standingUnknown, nil
	case Rest(h.Expiry, s.now()) <= 0:
		return nil, standingExpired, nil
	}
	return h, standingActive, nil
}

// inquire takes an inquiry the way that all go, and records how it went before anybody learns it; do fills the rest of
// the record in. Its error is an *Error that names its record.
func (s *Service) inquire(ctx context.Context, q *Inquiry, record *Admin, do func(token [sha256.Size]byte) error) error {
	now := s.now()
	id, err := NewID(now, s.random)
	if err != nil {
		return AsError(err)
	}
	record.By = &Caller{Entrance: q.Entrance, Source: q.Source, Client: q.Client.ID}
	record.Err = AsError(s.admitted(q, record, do))
	// The record is owed whether or not the caller still waits.
	if err := s.recorder.Record(context.WithoutCancel(ctx), &Event{ID: id, Time: now, Admin: record}); err != nil {
		s.log.ErrorContext(ctx, "the audit log did not accept a record; the request is not answered", "decision_id", id, "error", err)
		record.Err = Refuse(CodeUnavailable, ReasonAuditUnavailable, "the audit log can't be written, so there is no answer; ask again shortly").After(time.Second)
	} else if record.Err != nil {
		s.logFailure(ctx, record.Action, id, q.Client, record.Err)
	}
	if record.Err == nil {
		return nil
	}
	failed := *record.Err
	failed.DecisionID = id
	return &failed
}

// admitted asks the gate, then does what was asked. A panic of it is a failure like any.
func (s *Service) admitted(q *Inquiry, record *Admin, do func(token [sha256.Size]byte) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := s.gate.Enter(q.Client, q.Source); err != nil {
		return err
	}
	if q.Token == "" {
		return Refuse(CodeInvalidRequest, ReasonRequestMalformed, "token is missing; send the token that this is about")
	}
	token := sha256.Sum256([]byte(q.Token.Reveal()))
	record.Object = hex.EncodeToString(token[:])
	return do(token)
}
