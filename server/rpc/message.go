package rpc

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/fault"
)

// tokenType is what every token of ours is used as (RFC 6750).
const tokenType = "Bearer"

// paramsOf are the parameters of a request as the core's parser reads them, whatever the entrance.
func paramsOf(r *stsv1.ExchangeRequest) exchange.Params {
	p := exchange.Params{
		GrantType:            exchange.GrantTypeTokenExchange,
		SubjectToken:         exchange.Secret(r.GetSubjectToken()),
		SubjectTokenType:     r.GetSubjectTokenType(),
		ActorToken:           exchange.Secret(r.GetActorToken()),
		ActorTokenType:       r.GetActorTokenType(),
		RequestedTokenType:   r.GetRequestedTokenType(),
		Audience:             r.GetAudience(),
		Resource:             r.GetResource(),
		Scope:                r.GetScope(),
		AuthorizationDetails: detailsText(r.GetAuthorizationDetails()),
	}
	if r.RequestedLifetimeSeconds != nil {
		p.RequestedLifetime = strconv.Itoa(int(r.GetRequestedLifetimeSeconds()))
	}
	return p
}

// detailsText is the parameter's text. A list that JSON can't express becomes a text that its parser refuses, in its
// place in the order of evaluation.
func detailsText(list *structpb.ListValue) string {
	if list == nil {
		return ""
	}
	text, err := protojson.Marshal(list)
	if err != nil {
		return "not JSON"
	}
	return string(text)
}

func responseOf(a *exchange.Answer) *stsv1.ExchangeResponse {
	return &stsv1.ExchangeResponse{
		AccessToken:          a.AccessToken.Reveal(),
		IssuedTokenType:      string(a.IssuedTokenType),
		TokenType:            tokenType,
		ExpiresIn:            a.ExpiresIn,
		Scope:                strings.Join(a.Scopes, " "),
		AuthorizationDetails: detailsList(a.Details),
		DecisionId:           a.DecisionID,
		Delegation:           delegationOf(a),
	}
}

// delegationOf says where the chain of actors is; nil where nobody acts.
func delegationOf(a *exchange.Answer) *stsv1.Delegation {
	if a.Actors == 0 {
		return nil
	}
	return &stsv1.Delegation{Chain: exchange.ChainInRecordOnly, DecisionId: a.DecisionID, Actors: int32(a.Actors)} //nolint:gosec // a token holds some dozens
}

func detailsList(details exchange.Details) *structpb.ListValue {
	if len(details) == 0 {
		return nil
	}
	list := &structpb.ListValue{}
	for _, d := range details {
		actions := &structpb.ListValue{}
		for _, action := range d.Actions {
			actions.Values = append(actions.Values, structpb.NewStringValue(action))
		}
		list.Values = append(list.Values, structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
			"type":        structpb.NewStringValue(d.Type),
			"object_type": structpb.NewStringValue(d.ObjectType),
			"object_path": structpb.NewStringValue(d.ObjectPath),
			"actions":     structpb.NewListValue(actions),
		}}))
	}
	return list
}

// errorOf is an error as a member of a batch's answer.
func errorOf(err *exchange.Error) *stsv1.ExchangeError {
	body := fault.NewBody(err)
	e := &stsv1.ExchangeError{
		Error: body.Error, ErrorDescription: body.ErrorDescription, Reason: body.Reason, DecisionId: body.DecisionID, ErrorUri: body.ErrorURI,
	}
	if seconds, wait := fault.RetryAfter(err); wait {
		e.RetryAfterSeconds = &seconds
	}
	return e
}
