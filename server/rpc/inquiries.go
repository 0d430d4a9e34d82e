package rpc

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/inbound"
)

// Introspect implements stsv1.TokenServiceServer.
func (t *tokens) Introspect(ctx context.Context, r *stsv1.IntrospectRequest) (*stsv1.IntrospectResponse, error) {
	var response *stsv1.IntrospectResponse
	err := t.inquire(ctx, r, t.introspections, func(q *exchange.Inquiry) error {
		found, err := t.inquirer.Introspect(ctx, q)
		response = introspectionOf(&found)
		return err
	})
	if err != nil {
		return nil, err
	}
	return response, nil
}

// Revoke implements stsv1.TokenServiceServer.
func (t *tokens) Revoke(ctx context.Context, r *stsv1.RevokeRequest) (*stsv1.RevokeResponse, error) {
	err := t.inquire(ctx, r, t.revocations, func(q *exchange.Inquiry) error { return t.inquirer.Revoke(ctx, q) })
	if err != nil {
		return nil, err
	}
	return &stsv1.RevokeResponse{}, nil
}

// inquiryMessage is a message that asks about a token.
type inquiryMessage interface {
	presenter
	GetToken() string
}

// inquire authenticates the client, and has its question answered.
func (t *tokens) inquire(ctx context.Context, r inquiryMessage, observer Observer, answer func(*exchange.Inquiry) error) error {
	c := callerOf(ctx)
	client, err := t.authenticate(ctx, c, r)
	if err == nil {
		err = exchange.AsError(answer(&exchange.Inquiry{
			Entrance: c.entrance, Client: client, Source: inbound.Source(c.peer, client, c.values), Token: exchange.Secret(r.GetToken()),
		}))
	}
	observer.Observe(err, t.refusals.now().Sub(c.began))
	if err != nil {
		describe(ctx, err.DecisionID, err)
		return err
	}
	return nil
}

func introspectionOf(found *exchange.Introspection) *stsv1.IntrospectResponse {
	if !found.Active {
		return &stsv1.IntrospectResponse{}
	}
	response := &stsv1.IntrospectResponse{
		Active: true, Scope: strings.Join(found.Scopes, " "), ClientId: found.Client, TokenType: tokenType,
		Exp: timestampOf(found.Expiry), Iat: timestampOf(found.IssuedAt),
	}
	if who := found.Subject; who != nil {
		response.Sub, response.SubId = who.Subject, &stsv1.SubjectIdentifier{Format: "iss_sub", Iss: who.Issuer, Sub: who.Subject}
	}
	if who := found.Actor; who != nil {
		response.Act = &stsv1.Actor{Iss: who.Issuer, Sub: who.Subject}
	}
	return response
}

func timestampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
