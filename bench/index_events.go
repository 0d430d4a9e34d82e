package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/exchange"
)

// archive makes the events of months: of ten, nearly one is an exchange and eight or nine repeat one, and the rest is
// what else there is. Each stretch of them is of another replica, and overlaps with its neighbours in time by half.
type archive struct {
	random *rand.Rand
	ids    io.Reader
	began  time.Time
	places map[string]uint64
	made   int // stretches
}

// The values that the searches ask for. Rare ones are on two events of the first stretch alone.
const (
	stretchEvents = 250_000
	spacing       = 40 * time.Millisecond
	rareValue     = "rare"
)

func newArchive() *archive {
	seed := [32]byte{7}
	return &archive{
		random: rand.New(rand.NewPCG(1, 1)), ids: rand.NewChaCha8(seed), began: time.Now().Add(-60 * 24 * time.Hour).Truncate(time.Second), places: map[string]uint64{}, //nolint:gosec // no secrets
	}
}

// tokenOf is the hash of a token: one that is handed out for a principal, or a user's.
func tokenOf(kind string, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", kind, n))
	return hex.EncodeToString(sum[:])
}

// commonToken is handed out more often than any other.
var commonToken, commonMint = tokenOf("handed", 0), mintOf(0)

func mintOf(n int) string { return fmt.Sprintf("01999999-0000-7000-8000-%012d", n) }

// stretch makes the next n events, of one replica.
func (a *archive) stretch(n int) (index.Batch, error) {
	origin := fmt.Sprintf("sts.example/audit/sts-%d/00000000", a.made%3)
	at := a.began.Add(time.Duration(a.made) * stretchEvents * spacing)
	gap := spacing * 3 / 2
	b := index.Batch{Origin: origin, Entries: make([]audit.Entry, 0, n)}
	var firsts []string
	for i := range n {
		at = at.Add(gap)
		id, err := exchange.NewID(at, a.ids)
		if err != nil {
			return b, err
		}
		e, err := a.event(id, at, i, &firsts)
		if err != nil {
			return b, err
		}
		e.Origin, e.Index, e.Leaf = origin, a.places[origin], audit.LeafHash(e.Raw)
		a.places[origin]++
		b.Entries = append(b.Entries, e)
	}
	a.made++
	return b, nil
}

// event makes one event; firsts are the exchanges of this stretch that a repeat may be of.
func (a *archive) event(id string, at time.Time, i int, firsts *[]string) (e audit.Entry, err error) {
	h := audit.Header{ID: id, Time: at.UTC().Truncate(time.Microsecond), Replica: "sts"}
	kind := a.random.IntN(1000)
	switch {
	case a.made == 0 && i == 10:
		e.Exchange = a.rare()
	case a.made == 0 && i == 11:
		e.Admin = &audit.AdminRecord{Action: rareValue, Object: rareValue, Outcome: "failed"}
	case kind < 850 && len(*firsts) > 0:
		recent := (*firsts)[max(0, len(*firsts)-1000):]
		e.Repeat = &audit.RepeatRecord{Of: recent[a.random.IntN(len(recent))], RequestID: id[24:], Cache: "memory", Duration: 40}
	case kind < 950:
		e.Exchange = a.exchange(at)
		*firsts = append(*firsts, id)
	case kind < 980:
		user := a.random.IntN(50_000)
		e.Subject = &audit.SubjectRecord{
			Provider: "okta", Issuer: "https://idp.example", Subject: userName(user), SHA256: tokenOf("user", user), ExpiresAt: at.Add(time.Hour).UTC(),
			Groups: []string{"analysts", "staff"}, Claims: map[string]any{"department": "research"},
		}
	case kind < 985:
		n := a.random.IntN(5000)
		e.Mint = &audit.MintRecord{
			Cause: "miss", Method: "federation", Principal: "p1", ApplicationID: applicationID(1), Workspace: "prod", Outcome: "granted", TokenSHA256: tokenOf("handed", n),
		}
	case kind < 990:
		e.Admin = &audit.AdminRecord{
			Action: "mapping.get_rule", Object: "rule-p0", Client: "", Peer: "10.0.0.1", Outcome: "granted", Caller: &audit.Bearer{Issuer: "https://idp.example", Subject: userName(1)},
		}
	default:
		e.Failures = &audit.FailuresRecord{Source: fmt.Sprintf("198.51.100.%d", a.random.IntN(256)), Count: 3, Reasons: map[string]int64{"client_authentication_failed": 3}}
	}
	return finish(e, h)
}

func userName(n int) string { return fmt.Sprintf("user-%d", n) }

// exchange makes one: half of them become the same principal with the same token.
func (a *archive) exchange(at time.Time) *audit.ExchangeRecord {
	principal, user := 0, a.random.IntN(50_000)
	if a.random.IntN(2) == 0 {
		principal = a.random.IntN(100)
	}
	x := &audit.ExchangeRecord{
		Entrance: "form", Client: "kong", Peer: fmt.Sprintf("10.0.0.%d", 1+a.random.IntN(3)),
		Claimed:      &audit.Claimed{Source: fmt.Sprintf("203.0.%d.%d", a.random.IntN(256), a.random.IntN(256)), Route: "models", RequestID: "req-1"},
		Subject:      &audit.Reference{ID: mintOf(user), Issuer: "https://idp.example", Subject: userName(user)},
		SubjectToken: &audit.Presented{Type: "access_token", ID: "jti-1", SHA256: tokenOf("user", user)}, Policy: commonToken, Outcome: "granted", Duration: 40,
	}
	switch a.random.IntN(50) {
	case 0:
		x.Actors = []audit.Reference{{ID: mintOf(1), Issuer: "https://idp.example", Subject: fmt.Sprintf("agent-%d", a.random.IntN(20))}}
	case 1:
		x.Client, x.Subject.Issuer = "batch", "https://other.example"
	case 2, 3:
		x.Outcome, x.Reason = "denied", "no_matching_rule"
		return x
	}
	handed := principal
	if principal != 0 {
		handed = 100 + a.random.IntN(4900)
	}
	x.Rule, x.Principal, x.ApplicationID, x.Workspace = fmt.Sprintf("rule-p%d", principal), fmt.Sprintf("p%d", principal), applicationID(principal), "prod"
	x.Scopes, x.Bound, x.Cache, x.Mint, x.TokenSHA256 = []string{"model-serving"}, "token", "memory", mintOf(handed), tokenOf("handed", handed)
	x.ExpiresAt, x.TrueExpiresAt = at.Add(time.Hour).UTC().Truncate(time.Second), at.Add(time.Hour).UTC().Truncate(time.Second)
	return x
}

// rare is found by what nothing else is found by.
func (a *archive) rare() *audit.ExchangeRecord {
	return &audit.ExchangeRecord{
		Client: rareValue, Peer: rareValue, Subject: &audit.Reference{Issuer: rareValue, Subject: rareValue}, Actors: []audit.Reference{{Subject: rareValue}},
		Outcome: "failed", Reason: rareValue, Rule: rareValue, Principal: rareValue, Workspace: rareValue, Mint: rareValue, TokenSHA256: rareValue,
	}
}

// finish gives an event its type, its header and its line.
func finish(e audit.Entry, h audit.Header) (audit.Entry, error) {
	var body any
	switch {
	case e.Exchange != nil:
		h.Type = "exchange"
		e.Exchange.Header, body = h, e.Exchange
	case e.Repeat != nil:
		h.Type = "repeat"
		e.Repeat.Header, body = h, e.Repeat
	case e.Subject != nil:
		h.Type = "subject"
		e.Subject.Header, body = h, e.Subject
	case e.Mint != nil:
		h.Type = "mint"
		e.Mint.Header, body = h, e.Mint
	case e.Admin != nil:
		h.Type = "admin"
		e.Admin.Header, body = h, e.Admin
	case e.Failures != nil:
		h.Type = "failures"
		e.Failures.Header, body = h, e.Failures
	}
	e.Header = h
	var err error
	e.Raw, err = json.Marshal(body)
	return e, err
}
