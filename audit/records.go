package audit

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lakegate/sts/exchange"
)

// The types of records.
const (
	typeExchange = "exchange"
	typeMint     = "mint"
	typeSubject  = "subject"
	typeAdmin    = "admin"
	typeFailures = "failures"
	typeRepeat   = "repeat"
	typeSegment  = "segment"
)

// recordTypes are all of them.
var recordTypes = []string{typeExchange, typeMint, typeSubject, typeAdmin, typeFailures, typeRepeat, typeSegment}

// begin writes what every record starts with.
func (e *encoder) begin(kind, id string, at time.Time, replica string) {
	e.buf = append(e.buf, '{')
	e.text("type", kind)
	e.text("id", id)
	e.instant("time", at)
	e.text("replica", replica)
}

func (e *encoder) end() { e.buf = append(e.buf, '}', '\n') }

// exchange writes the members of one attempt: subject is the id of its subject record, actor that of its actor's.
func (e *encoder) exchange(a *exchange.Attempt, subject, actor string) {
	if a.Call != nil {
		e.call(a.Call)
	}
	if a.Subject != nil {
		e.key("subject")
		e.reference(a.Subject, subject)
	}
	if a.Actor != nil {
		e.key("actors")
		e.actors(a, actor)
	}
	if a.Request != nil {
		e.target(&a.Request.Target)
	}
	e.text("outcome", string(a.Outcome()))
	if a.Err != nil {
		e.text("reason", string(a.Err.Reason))
	}
	e.text("rule", a.Decision.Rule)
	e.text("policy", a.Decision.Policy)
	if a.Decision.Denial == nil && a.Decision.Grant.Principal != "" {
		e.grant(&a.Decision.Grant)
	}
	if a.Err == nil {
		e.second("expires_at", a.ExpiresAt)
	}
	if a.Token.Mint != "" {
		e.second("true_expires_at", a.Token.TrueExpiry)
		e.text("bound", string(a.Token.Bound))
		e.text("mint", string(a.Token.Mint))
		e.text("cache", string(a.Token.Cache))
		e.hash("token_sha256", &a.Token.SHA256)
	}
	e.presented(a)
	e.integer("duration_us", a.Duration.Microseconds())
}

func (e *encoder) call(c *exchange.Call) {
	e.text("entrance", c.Entrance)
	if c.Client != nil {
		e.text("client", c.Client.ID)
	}
	e.source(&c.Source)
}

func (e *encoder) source(s *exchange.Source) {
	e.address("peer", s.Peer)
	if claimed := s.Claimed; claimed != (exchange.Claimed{}) {
		e.open("claimed")
		e.clipped("source", claimed.Source)
		e.clipped("route", claimed.Route)
		e.clipped("request_id", claimed.RequestID)
		e.close()
	}
}

func (e *encoder) reference(who *exchange.Identity, record string) {
	e.buf = append(e.buf, '{')
	e.text("id", record)
	e.text("issuer", who.Issuer)
	e.text("sub", who.Subject)
	e.close()
}

// actors writes the whole chain, the current actor first. Whoever is known by the subject token's word alone has no record
// of his own, and says so.
func (e *encoder) actors(a *exchange.Attempt, record string) {
	chain := a.Actors()
	e.buf = append(e.buf, '[')
	if !a.ActorTold {
		e.reference(a.Actor, record)
		chain = chain[1:]
	}
	for i := range chain {
		e.comma()
		e.buf = append(e.buf, '{')
		e.text("provider", chain[i].Provider)
		e.text("issuer", chain[i].Issuer)
		e.text("sub", chain[i].Subject)
		e.text("from", fromAct)
		e.close()
	}
	e.buf = append(e.buf, ']')
}

// fromAct is where an actor is known from that has no token of his own.
const fromAct = "act"

func (e *encoder) target(t *exchange.Target) {
	e.open("target")
	e.clipped("workspace", t.Workspace)
	e.clipped("principal", t.Principal)
	e.clipped("resource", origin(t.Resource))
	e.close()
}

// origin is a URL without its path and query, which policy may not know and in which anything may stand.
func origin(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	host, _, _ = strings.Cut(host, "?")
	if host == "" {
		return ""
	}
	return scheme + "://" + host
}

func (e *encoder) grant(g *exchange.Grant) {
	e.text("principal", g.Principal)
	e.text("application_id", g.ApplicationID)
	e.text("workspace", g.Workspace)
	e.texts("scopes", g.Scopes)
	e.details("authorization_details", g.Details)
}

func (e *encoder) presented(a *exchange.Attempt) {
	var subject, actor exchange.TokenType
	if a.Request != nil {
		subject = a.Request.Subject.Type
		if a.Request.Actor != nil {
			actor = a.Request.Actor.Type
		}
	}
	e.token("subject_token", subject, a.Subject, a.SubjectTokenSHA256())
	e.token("actor_token", actor, a.Actor, a.ActorTokenSHA256())
}

// token writes what is known of a token that was presented: who is nil where it did not verify.
func (e *encoder) token(name string, declared exchange.TokenType, who *exchange.Identity, sum [32]byte) {
	if sum == ([32]byte{}) {
		return
	}
	e.open(name)
	e.text("type", shortType(declared))
	if who != nil {
		e.text("jti", who.TokenID)
	}
	e.hash("sha256", &sum)
	e.close()
}

// shortType is the last part of a token type's URN, as the configuration writes it.
func shortType(t exchange.TokenType) string {
	return string(t[strings.LastIndexByte(string(t), ':')+1:])
}

// answered is what a mint's cause may say of Databricks' answer: a status and the words of OAuth, never a body.
type answered interface{ Answer() string }

func (e *encoder) mint(id string, m *exchange.Mint) {
	e.text("cause", string(m.Cause))
	e.text("method", string(m.Grant.Method))
	if m.Grant.Method == exchange.MethodFederation {
		e.text("assertion_jti", id)
	}
	e.grant(&m.Grant)
	e.second("asked_expires_at", m.Asked)
	if m.Err == nil {
		e.text("outcome", string(exchange.OutcomeGranted))
		e.second("true_expires_at", m.Token.TrueExpiry)
		e.text("bound", string(m.Token.Bound))
		e.hash("token_sha256", &m.Token.SHA256)
	} else {
		e.text("outcome", string(exchange.OutcomeFailed))
		e.text("reason", string(m.Err.Reason))
		var a answered
		if errors.As(m.Err, &a) {
			e.clipped("answer", a.Answer())
		}
	}
	e.integer("duration_us", m.Duration.Microseconds())
}

// subject writes who a token speaks of, with the claims that are named and no others.
func (e *encoder) subject(who *exchange.Identity, reads, records []string) {
	e.text("provider", who.Provider)
	e.text("issuer", who.Issuer)
	e.text("sub", who.Subject)
	if who.Groups.Known {
		e.texts("groups", who.Groups.Names)
	}
	if who.Groups.Overage {
		e.flag("groups_overage", true)
	}
	e.open("claims")
	for _, name := range reads {
		e.claim(who, name)
	}
	for _, name := range records {
		if !slices.Contains(reads, name) {
			e.claim(who, name)
		}
	}
	e.close()
	e.text("party", who.Party)
	e.text("token_type", string(who.TokenType))
	e.text("jti", who.TokenID)
	e.hash("sha256", &who.TokenSHA256)
	e.second("issued_at", who.IssuedAt)
	e.second("expires_at", who.Expiry)
}

func (e *encoder) claim(who *exchange.Identity, name string) {
	if value, ok := who.Claims[name]; ok {
		e.comma()
		e.string(name)
		e.buf = append(e.buf, ':')
		e.value(value)
	}
}

func (e *encoder) admin(a *exchange.Admin) {
	e.text("action", a.Action)
	e.clipped("object", a.Object) // which a caller may have named
	e.text("detail", a.Detail)
	e.second("true_expires_at", a.TrueExpiry)
	if a.By != nil {
		e.caller(a.By)
	}
	if a.By != nil || a.Err != nil {
		e.text("outcome", string(a.Outcome()))
	}
	if a.Err != nil {
		e.text("reason", string(a.Err.Reason))
	}
}

func (e *encoder) caller(c *exchange.Caller) {
	e.text("entrance", c.Entrance)
	e.text("client", c.Client)
	if who := c.Bearer; who != nil {
		e.open("caller")
		e.text("provider", who.Provider)
		e.text("issuer", who.Issuer)
		e.text("sub", who.Subject)
		e.text("jti", who.TokenID)
		e.hash("sha256", &who.TokenSHA256)
		e.close()
	}
	e.source(&c.Source)
}

// segment writes what a segment begins with: where in its log it stands, and the hashes of all records before it.
func (e *encoder) segment(s *SegmentRecord) {
	e.text("origin", s.Origin)
	e.count("number", s.Number)
	e.count("first", s.First)
	e.key("range")
	e.buf = append(e.buf, '[')
	for i := range s.Range {
		e.comma()
		e.string(s.Range[i].String())
	}
	e.buf = append(e.buf, ']')
}

// repeat writes what a repeat has of its own.
func (e *encoder) repeat(a *exchange.Attempt, of *firstOf) {
	e.text("of", of.id)
	if a.Call != nil {
		e.clipped("request_id", a.Call.Source.Claimed.RequestID)
	}
	if a.Err == nil && !a.ExpiresAt.Equal(of.expires) {
		e.second("expires_at", a.ExpiresAt)
	}
	e.text("cache", string(a.Token.Cache))
	e.integer("duration_us", a.Duration.Microseconds())
}

func (e *encoder) failures(s *summary) {
	if s.overflow {
		e.flag("overflow", true)
	}
	e.clipped("source", s.source)
	e.integer("count", s.count)
	e.open("reasons")
	for _, reason := range slices.Sorted(maps.Keys(s.reasons)) {
		e.integer(string(reason), s.reasons[reason])
	}
	e.close()
	e.texts("entrances", s.entrances)
	if s.last.After(s.first) {
		e.instant("until", s.last)
	}
}
