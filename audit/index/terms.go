package index

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/lakegate/sts/audit"
)

// termsOf returns what e can be found by, each once. A repeat has the terms of the exchange that it repeats; where that is
// past its retention only its type is known.
func termsOf(e *Event) []Term {
	t := make(terms, 0, 16)
	switch {
	case e.Exchange != nil:
		t.exchange(e.Exchange)
	case e.Repeat != nil:
		t.add(FieldType, typeExchange)
	case e.Mint != nil:
		t.mint(e.Mint)
	case e.Subject != nil:
		t.subject(e.Subject)
	case e.Admin != nil:
		t.admin(e.Admin)
	case e.Failures != nil:
		t.failures(e.Failures)
	default:
		t.add(FieldType, e.Type)
	}
	return t
}

// typeExchange is the type under which repeats are found, too.
const typeExchange = "exchange"

// terms collects them.
type terms []Term

func (t *terms) add(f Field, value string) {
	if term := (Term{f, value}); value != "" && !slices.Contains(*t, term) {
		*t = append(*t, term)
	}
}

func (t *terms) exchange(r *audit.ExchangeRecord) {
	t.add(FieldType, typeExchange)
	if r.Subject != nil {
		t.who(r.Subject.Issuer, r.Subject.Subject)
	}
	for i := range r.Actors {
		t.add(FieldActor, r.Actors[i].Subject)
	}
	t.door(r.Client, r.Peer, r.Claimed)
	t.grant(r.Principal, r.ApplicationID, r.Workspace)
	t.add(FieldRule, r.Rule)
	t.end(r.Outcome, r.Reason)
	t.add(FieldMint, r.Mint)
	t.add(FieldToken, r.TokenSHA256)
	if r.SubjectToken != nil {
		t.add(FieldToken, r.SubjectToken.SHA256)
	}
	if r.ActorToken != nil {
		t.add(FieldToken, r.ActorToken.SHA256)
	}
}

func (t *terms) mint(r *audit.MintRecord) {
	t.add(FieldType, r.Type)
	t.grant(r.Principal, r.ApplicationID, r.Workspace)
	t.end(r.Outcome, r.Reason)
	t.add(FieldMint, r.ID)
	t.add(FieldToken, r.TokenSHA256)
}

func (t *terms) subject(r *audit.SubjectRecord) {
	t.add(FieldType, r.Type)
	t.who(r.Issuer, r.Subject)
	t.add(FieldToken, r.SHA256)
}

func (t *terms) admin(r *audit.AdminRecord) {
	t.add(FieldType, r.Type)
	t.add(FieldAction, r.Action)
	t.add(FieldObject, r.Object)
	if (r.Action == "token.introspect" || r.Action == "token.revoke") && isHash(r.Object) {
		t.add(FieldToken, r.Object) // who asks what became of a token wants to know that it was given up
	}
	if r.Caller != nil {
		t.who(r.Caller.Issuer, r.Caller.Subject)
		t.add(FieldToken, r.Caller.SHA256)
	}
	t.door(r.Client, r.Peer, r.Claimed)
	t.end(r.Outcome, r.Reason)
}

func (t *terms) failures(r *audit.FailuresRecord) {
	t.add(FieldType, r.Type)
	t.add(FieldSource, r.Source)
	for reason := range r.Reasons {
		t.add(FieldReason, reason)
	}
}

func (t *terms) who(issuer, subject string) {
	t.add(FieldIssuer, issuer)
	t.add(FieldSubject, subject)
}

func (t *terms) door(client, peer string, claimed *audit.Claimed) {
	t.add(FieldClient, client)
	t.add(FieldSource, peer)
	if claimed != nil {
		t.add(FieldSource, claimed.Source)
	}
}

func (t *terms) grant(principal, application, workspace string) {
	t.add(FieldPrincipal, principal)
	t.add(FieldPrincipal, application)
	t.add(FieldWorkspace, workspace)
}

func (t *terms) end(outcome, reason string) {
	t.add(FieldOutcome, outcome)
	t.add(FieldReason, reason)
}

// isHash reports whether s is a SHA-256 as records write it.
func isHash(s string) bool {
	sum, err := hex.DecodeString(s)
	return err == nil && len(sum) == sha256.Size && hex.EncodeToString(sum) == s
}

// hash is what a term is in the database: 64 bits, so that rows are small. Two terms may share one, so a hit is looked at
// again.
func (t Term) hash() int64 {
	var scratch [128]byte
	b := append(scratch[:0], t.Field...)
	b = append(b, 0) // in no field
	sum := sha256.Sum256(append(b, t.Value...))
	return int64(binary.BigEndian.Uint64(sum[:])) //nolint:gosec // the same bits, as SQL has them
}

// Matches reports whether e is what q asks for.
func Matches(e *Event, q *Query) bool {
	if q.ID != "" && e.ID != q.ID {
		return false
	}
	at, _ := parseID(e.ID)
	if low, high := q.span(); at.compare(low) < 0 || at.compare(high) >= 0 {
		return false
	}
	if len(q.Terms) == 0 {
		return true
	}
	of := termsOf(e)
	return !slices.ContainsFunc(q.Terms, func(t Term) bool { return !slices.Contains(of, t) })
}
