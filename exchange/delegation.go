package exchange

import "slices"

// Delegation is how far others may act for a subject (RFC 8693 §1.1). The zero value is not at all.
type Delegation struct {
	Enabled bool
	// MaxChain is how many may act, each for the one behind him; who acts now is one of them.
	MaxChain int
}

// Actors are all who act for the subject, the current actor first; none where nobody does.
func (a *Attempt) Actors() []Actor {
	if a.Actor == nil {
		return nil
	}
	current := Actor{Provider: a.Actor.Provider, Issuer: a.Actor.Issuer, Subject: a.Actor.Subject}
	return append([]Actor{current}, a.Prior...)
}

// takes refuses an actor token that this client may not present, before anybody looks at it. It is never ignored: that
// would turn delegation into impersonation (RFC 8693 §1.1).
func (d Delegation) takes(c *Client) error {
	switch {
	case !d.Enabled:
		return undelegated("delegation is switched off here; send no actor_token, or switch it on (delegation.enabled)")
	case !c.MayAct:
		return undelegated("this client may not present actor tokens; send none, or give the client may_act")
	}
	return nil
}

// findActors finds out who acts. Without an actor token, the outermost actor that the subject token tells of acts now; those
// within him have no say (RFC 8693 §4.1). It comes before anything is refused, so that a refusal's record names them, too.
func (a *Attempt) findActors() {
	told := a.Subject.Actors
	switch {
	case a.Actor == nil && a.Request.Actor != nil: // who acts did not prove himself
	case a.Actor == nil && len(told) > 0:
		a.Actor, a.ActorTold, a.Prior = told[0].identity(a.Subject), true, told[1:]
	case a.Actor != nil && !a.ActorTold: // else an explanation has found him in the record of the past
		a.Prior = told
	}
}

// settle finds out whether who acts may.
func (d Delegation) settle(a *Attempt) error {
	if a.Actor == nil {
		return consentOfSubject(a)
	}
	if !a.ActorTold {
		if err := d.takes(a.Call.Client); err != nil {
			return err
		}
	}
	if !d.Enabled {
		return undelegated("the subject token says that somebody acts for its subject (act), and delegation is switched off here; present a token without act, or switch it on (delegation.enabled)")
	}
	if err := known(a); err != nil {
		return err
	}
	switch chain := 1 + len(a.Prior); {
	case a.Actor.Issuer == a.Subject.Issuer && a.Actor.Subject == a.Subject.Subject:
		return undelegated("the actor is the subject itself; send no actor_token where nobody acts for the subject")
	case chain > d.MaxChain:
		return undelegated("%d actors act one for another, more than the %d that may (delegation.max_chain)", chain, d.MaxChain)
	}
	return consentOfSubject(a)
}

func undelegated(format string, args ...any) error {
	return Refuse(CodeInvalidRequest, ReasonDelegationNotAllowed, format, args...)
}

// identity is the actor as policy sees him. Of an actor without a token of his own no groups and no claims are known, and
// the subject's token bounds what he gets.
func (r Actor) identity(subject *Identity) *Identity {
	return &Identity{Provider: r.Provider, Issuer: r.Issuer, Subject: r.Subject, Expiry: subject.Expiry}
}

// known checks that this client may bring this actor.
func known(a *Attempt) error {
	client, actor := a.Call.Client, a.Actor
	switch {
	case actor.Provider == "":
		return undelegated("the subject token tells of an actor (act) whom policy can't know: his issuer is that of no configured identity provider, or of one whose subject_claim his act lacks; present his own token as actor_token")
	case !slices.Contains(client.IdentityProviders, actor.Provider):
		return Refuse(CodeInvalidRequest, ReasonIssuerNotAllowed,
			"this client may not bring actors of the identity provider %s; add it to the client's identity_providers", actor.Provider)
	case a.ActorTold:
		return nil
	case !client.AnyActorParty && (actor.Party == "" || !slices.Contains(client.ActorParties, actor.Party)):
		return Refuse(CodeInvalidRequest, ReasonPartyNotAuthorized,
			"the actor token was issued to a party (azp or client_id) that is not among the client's actor_parties")
	case len(actor.Actors) > 0:
		// Whose order that would be in the chain, no RFC says.
		return Refuse(CodeInvalidRequest, ReasonActorTokenInvalid,
			"the actor token says itself that somebody acts for its subject (act); present the token that the actor got for himself")
	}
	return nil
}

// consentOfSubject holds whoever acts to the may_act of the subject token: the actor or, where there is none, the client
// (RFC 8693 §4.4). All members must fit, and what can't be compared doesn't.
func consentOfSubject(a *Attempt) error {
	may := a.Subject.MayAct
	switch {
	case may == nil:
		return nil
	case a.Actor == nil:
		if len(may) == 1 && may["client_id"] == a.Call.Client.ID {
			return nil
		}
		return undelegated("the subject token says who may act (may_act), and that isn't this client by its client_id alone; send the actor_token of who may")
	case !identifies(may):
		return undelegated("the subject token's may_act names nobody: it has neither sub nor client_id; have the identity provider name who may act")
	}
	for name, value := range may {
		if !isScalar(value) || value != a.memberOfActor(name) {
			return undelegated("the subject token's may_act is not for this actor: all of its members must fit him; have the identity provider name him, or present the token of who is named")
		}
	}
	if may["iss"] == nil && a.Actor.Issuer != a.Subject.Issuer {
		return undelegated("the subject token's may_act has no iss, so it is for an actor of the subject's own issuer; have the identity provider add iss")
	}
	return nil
}

// identifies reports whether members can name one party. An iss alone would name all of its issuer's, and nothing at all
// would name everybody; and so would an empty text all whose tokens have one.
func identifies(may map[string]any) bool {
	names := func(member any) bool { text, ok := member.(string); return ok && text != "" }
	return names(may["sub"]) || names(may["client_id"])
}

// memberOfActor is what a member of may_act is compared with. A sub is compared with a sub: that of his act, where it isn't
// by that that he is known here.
func (a *Attempt) memberOfActor(name string) any {
	if told := a.Subject.Actors; a.ActorTold && name == "sub" && len(told) > 0 && told[0].Sub != "" {
		return told[0].Sub
	}
	return a.Actor.member(name)
}

// member is a member of who acts: the claim of its name. A token without a sub of its own, such as a
// SAML assertion, has the subject for it; and so has an actor without a token.
func (id *Identity) member(name string) any {
	switch claim, there := id.Claims[name]; {
	case name == "iss":
		return id.Issuer
	case name == "sub" && !there:
		return id.Subject
	default:
		return claim
	}
}

// isScalar reports whether a claim can be compared; null says nothing.
func isScalar(claim any) bool {
	switch claim.(type) {
	case string, bool, int64, float64:
		return true
	}
	return false
}
