package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/lakegate/sts/exchange"
)

// repeatKey names all that a record says and a repeat of it does not: two exchanges with the same key differ only in
// what a repeat has of its own.
type repeatKey [sha256.Size]byte

// firstOf is the first exchange of a key in this segment.
type firstOf struct {
	id      string
	expires time.Time
}

// repeats returns the exchange that a repeats, nil if it is the first of its kind in this segment. subject and actor are
// the ids of their records.
func (l *Log) repeats(a *exchange.Attempt, subject, actor string) *firstOf {
	if a.Call == nil || a.Request == nil {
		return nil
	}
	k := l.key.sum(a, subject, actor)
	if first, ok := l.firsts.Get(k); ok {
		return &first
	}
	l.firsts.Put(k, firstOf{a.ID, a.ExpiresAt})
	return nil
}

// keyBuilder collects a key's parts in a buffer that is used over and over.
type keyBuilder struct{ buf []byte }

// text adds a text behind its length, so that no two lists of texts look alike.
func (k *keyBuilder) text(texts ...string) {
	for _, s := range texts {
		k.buf = binary.AppendUvarint(k.buf, uint64(len(s)))
		k.buf = append(k.buf, s...)
	}
}

func (k *keyBuilder) list(texts []string) {
	k.buf = binary.AppendUvarint(k.buf, uint64(len(texts)))
	k.text(texts...)
}

func (k *keyBuilder) sum(a *exchange.Attempt, subject, actor string) repeatKey {
	k.buf = k.buf[:0]
	call, request, token := a.Call, a.Request, &a.Token
	client := ""
	if call.Client != nil {
		client = call.Client.ID
	}
	claimed := call.Source.Claimed
	k.text(call.Entrance, client, claimed.Source, claimed.Route)
	k.buf = append(call.Source.Peer.AppendTo(k.buf), 0) // as it is written, and 0 is in no address

	presented := a.SubjectTokenSHA256()
	k.buf = append(k.buf, presented[:]...)
	// Of who acts by the subject token's word, that token says all.
	actorSum, actorType := a.ActorTokenSHA256(), ""
	if request.Actor != nil {
		actorType = string(request.Actor.Type)
	}
	k.buf = append(k.buf, actorSum[:]...)
	k.text(string(request.Subject.Type), actorType, subject, actor, request.Target.Workspace, request.Target.Principal, request.Target.Resource)

	reason := ""
	if a.Err != nil {
		reason = string(a.Err.Reason)
	}
	grant := &a.Decision.Grant
	if a.Decision.Denial != nil {
		grant = &exchange.Grant{}
	}
	k.text(string(a.Outcome()), reason, a.Decision.Rule, a.Decision.Policy, grant.Principal, grant.ApplicationID, grant.Workspace)
	k.list(grant.Scopes)
	k.buf = binary.AppendUvarint(k.buf, uint64(len(grant.Details)))
	for i := range grant.Details {
		d := &grant.Details[i]
		k.text(d.Type, d.ObjectType, d.ObjectPath)
		k.list(d.Actions)
	}

	k.text(string(token.Mint), string(token.Bound))
	k.buf = binary.AppendVarint(k.buf, token.TrueExpiry.Unix())
	k.buf = append(k.buf, token.SHA256[:]...)
	return sha256.Sum256(k.buf)
}
