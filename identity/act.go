package identity

import (
	"strings"
	"unicode"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/internal/refusal"
)

// maxActors bounds the actors that a token tells of. Claims can't nest deeper than 32 levels, so no token gets there; how
// many are admitted, the configuration says.
const maxActors = 32

// maxIssuerBytes bounds the issuer of an actor, which may be one that we don't know.
const maxIssuerBytes = 1 << 10

// delegation reads what the token says of who acts, and who may.
func (t *trial) delegation(s *snapshot, id *exchange.Identity) (err error) {
	if id.Actors, err = actorsOf(t.Refuser, t.claims, id.Issuer, t.knows(s, id.Issuer)); err != nil {
		return err
	}
	id.MayAct, err = mayActOf(t.Refuser, t.claims)
	return err
}

// namer says under which name policy knows an actor: the provider whose an issuer is, "" where there is none, the issuer that
// its identities have, and the member of an act that names its subjects, "" where none does.
type namer func(issuer string) (provider, identities, member string)

// knows is the namer of the configured providers; own is the issuer of the token's own identity.
func (t *trial) knows(s *snapshot, own string) namer {
	return func(issuer string) (provider, identities, member string) {
		if issuer == own { // which a JWT-SVID doesn't have for its iss
			return t.provider.Name, own, t.provider.actorMember()
		}
		p := s.byIssuer[issuer]
		if p == nil {
			return "", issuer, ""
		}
		return p.Name, p.tenancies[issuer].issuer, p.actorMember()
	}
}

// actorMember is the claim that tells a provider's subjects apart: sub, or the one other that it is in some of its tokens.
// Where there are several, an act can't say which is meant.
func (p *provider) actorMember() string {
	member := "sub"
	for _, claim := range p.SubjectClaims {
		switch {
		case claim == "sub" || claim == member:
		case member == "sub":
			member = claim
		default:
			return ""
		}
	}
	return member
}

// actorsOf reads the act claim (RFC 8693 §4.1): who acts, the current actor first, by who they are; what else stands
// there is of no use to anybody and is left out. A claim that is null is none, and one that is malformed makes the token
// invalid: whoever acts must not go unnoticed. An actor without iss is of the token's own issuer.
func actorsOf(r refusal.Refuser, claims map[string]any, issuer string, names namer) (actors []exchange.Actor, err error) {
	for act := claims["act"]; act != nil; {
		members, ok := act.(map[string]any)
		if !ok {
			return nil, r.Invalid("has an act that is not an object, or one in it (RFC 8693 §4.1)")
		}
		actor := exchange.Actor{Issuer: issuer}
		if actor.Subject, err = actorName(r, members, "sub", maxSubjectBytes); err != nil {
			return nil, err
		}
		if members["iss"] != nil {
			if actor.Issuer, err = actorName(r, members, "iss", maxIssuerBytes); err != nil {
				return nil, err
			}
		}
		var provider, member string
		if provider, actor.Issuer, member = names(actor.Issuer); member == "sub" {
			actor.Provider = provider
		} else if subject, ok := members[member].(string); ok && isName(subject) {
			// A sub of this provider is nobody's name in the policy, which goes by this.
			actor.Provider, actor.Subject, actor.Sub = provider, subject, actor.Subject
		}
		if actors = append(actors, actor); len(actors) > maxActors {
			return nil, r.Invalid("tells of more than %d actors (act)", maxActors)
		}
		act = members["act"]
	}
	return actors, nil
}

// actorName is a member of an act that says who the actor is.
func actorName(r refusal.Refuser, members map[string]any, member string, most int) (string, error) {
	value, ok := members[member].(string)
	switch {
	case !ok || value == "":
		return "", r.Invalid("has an act without %s, or with one that is empty or not a string", member)
	case len(value) > most:
		return "", r.Invalid("has an act with a %s of more than %d bytes", member, most)
	case strings.ContainsFunc(value, unicode.IsControl):
		return "", r.Invalid("has an act with control characters in its %s", member)
	}
	return value, nil
}

func isName(text string) bool {
	return text != "" && len(text) <= maxSubjectBytes && !strings.ContainsFunc(text, unicode.IsControl)
}

// mayActOf reads the may_act claim (RFC 8693 §4.4), all of it; nil where there is none, or null.
func mayActOf(r refusal.Refuser, claims map[string]any) (map[string]any, error) {
	value := claims["may_act"]
	if value == nil {
		return nil, nil
	}
	members, ok := value.(map[string]any)
	if !ok {
		return nil, r.Invalid("has a may_act that is not an object (RFC 8693 §4.4)")
	}
	return members, nil
}
