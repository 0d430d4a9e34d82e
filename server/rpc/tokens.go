package rpc

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/inbound"
)

// tokens is TokenService.
type tokens struct {
	stsv1.UnimplementedTokenServiceServer
	exchanger Exchanger
	inquirer  Inquirer
	clients   Authenticator
	refusals  *refusals
	log       *slog.Logger

	introspections, revocations Observer
}

// Exchange implements stsv1.TokenServiceServer.
func (t *tokens) Exchange(ctx context.Context, r *stsv1.ExchangeRequest) (*stsv1.ExchangeResponse, error) {
	c := callerOf(ctx)
	answer, err := t.exchange(ctx, c, r)
	t.refusals.observe(c, err, c.began)
	if err != nil {
		describe(ctx, err.DecisionID, err)
		return nil, err
	}
	describe(ctx, answer.DecisionID, nil)
	return responseOf(&answer), nil
}

func (t *tokens) exchange(ctx context.Context, c *caller, r *stsv1.ExchangeRequest) (exchange.Answer, *exchange.Error) {
	client, err := t.authenticate(ctx, c, r)
	if err != nil {
		return exchange.Answer{}, err
	}
	return t.call(ctx, c, client, r)
}

func (t *tokens) call(ctx context.Context, c *caller, client *exchange.Client, r *stsv1.ExchangeRequest) (exchange.Answer, *exchange.Error) {
	answer, err := t.exchanger.Exchange(ctx, &exchange.Call{
		Entrance: c.entrance,
		Client:   client,
		Source:   inbound.Source(c.peer, client, c.values),
		Params:   paramsOf(r),
	})
	return answer, exchange.AsError(err)
}

// presenter is a message that may carry a client's credential.
type presenter interface {
	GetClientAssertion() string
	GetClientAssertionType() string
	GetClientId() string
}

// authenticate proves the client by what came beside the message and in it.
func (t *tokens) authenticate(ctx context.Context, c *caller, r presenter) (*exchange.Client, *exchange.Error) {
	if c.doubled {
		// Somebody in between may have looked at the other.
		return nil, t.refusals.refuse(c, exchange.Refuse(exchange.CodeInvalidClient, exchange.ReasonClientAuthenticationFailed,
			"there is more than one authorization; send one"))
	}
	credentials := c.credentials
	credentials.ClientID = r.GetClientId()
	credentials.Assertion = exchange.Secret(r.GetClientAssertion())
	credentials.AssertionType = r.GetClientAssertionType()
	client, err := t.clients.Authenticate(ctx, credentials)
	if err != nil {
		return nil, t.refusals.refuse(c, exchange.AsError(err))
	}
	return client, nil
}

// describe tells the span of a sampled call how it went. The reason is ours; the error's text may be foreign.
func describe(ctx context.Context, decisionID string, err *exchange.Error) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(attribute.String("decision_id", decisionID))
	if err != nil {
		span.SetAttributes(attribute.String("reason", string(err.Reason)))
	}
}
