package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/audit/search"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
)

// past finds what mapping explains of the past in the audit index.
type past struct{ events *search.Service }

var _ mapping.Past = past{}

// Exchange implements mapping.Past.
func (p past) Exchange(ctx context.Context, decisionID string) (*mapping.PastExchange, error) {
	found, err := p.events.Recall(ctx, decisionID)
	if err != nil {
		return nil, err
	}
	x := found.Event.Exchange
	if x == nil {
		return nil, exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed,
			"decision_id is the id of an event that is no exchange, or of a repeat whose exchange is past its retention")
	}
	e := &mapping.PastExchange{
		ID: x.ID, Time: x.Time, Client: x.Client, Acted: len(x.Actors) > 0,
		Outcome: exchange.Outcome(x.Outcome), Reason: exchange.Reason(x.Reason), Policy: x.Policy, Rule: x.Rule,
		Principal: x.Principal, Scopes: x.Scopes, Details: detailsOf(x.Details),
	}
	if t := x.Target; t != nil {
		e.Target = exchange.Target{Workspace: t.Workspace, Principal: t.Principal, Resource: t.Resource}
	}
	if e.Subject, err = identityOf(found.Subject); err != nil {
		return nil, err
	}
	if e.Actor, err = identityOf(found.Actor); err != nil || len(x.Actors) == 0 || !x.Actors[0].Told() || e.Subject == nil {
		return e, err
	}
	// Nothing else was known of him, and so it is all there is.
	told := x.Actors[0]
	e.Actor, e.ActorTold = &exchange.Identity{Provider: told.Provider, Issuer: told.Issuer, Subject: told.Subject, Expiry: e.Subject.Expiry}, true
	return e, nil
}

func detailsOf(list []audit.Detail) (details exchange.Details) {
	for _, d := range list {
		details = append(details, exchange.Detail(d))
	}
	return details
}

// identityOf is who a subject record tells of; nil where there is none.
func identityOf(e *index.Event) (*exchange.Identity, error) {
	if e == nil || e.Subject == nil {
		return nil, nil
	}
	who := e.Subject
	claims, err := claimsOf(e.Raw)
	if err != nil {
		return nil, fmt.Errorf("reading the claims of subject record %s: %w", e.ID, err)
	}
	return &exchange.Identity{
		Provider: who.Provider, Issuer: who.Issuer, Subject: who.Subject,
		Groups: exchange.Groups{Known: who.Groups != nil, Overage: who.GroupsOverage, Names: who.Groups},
		Claims: claims, Party: who.Party, TokenType: exchange.TokenType(who.TokenType), TokenID: who.TokenID,
		IssuedAt: who.IssuedAt, Expiry: who.ExpiresAt,
	}, nil
}

// claimsOf reads a record's claims as they were in the token: a number without fraction and exponent is an int64 where it
// fits (exchange.Identity), which encoding/json alone would make a float64.
func claimsOf(record []byte) (map[string]any, error) {
	var r struct {
		Claims map[string]any `json:"claims"`
	}
	dec := json.NewDecoder(bytes.NewReader(record))
	dec.UseNumber()
	if err := dec.Decode(&r); err != nil {
		return nil, err
	}
	for name, value := range r.Claims {
		r.Claims[name] = claimOf(value)
	}
	return r.Claims, nil
}

func claimOf(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // what is out of its range is infinite, as no claim is
		return f
	case []any:
		for i := range v {
			v[i] = claimOf(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = claimOf(v[name])
		}
	}
	return value
}
