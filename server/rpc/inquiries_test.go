package rpc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
)

func TestIntrospect(t *testing.T) {
	end := time.Date(2026, 11, 24, 12, 10, 0, 0, time.UTC)
	live := exchange.Introspection{Active: true, Client: "kong", Handout: exchange.Handout{Expiry: end, Scopes: []string{"model-serving", "sql"}}}
	delegated := live
	delegated.IssuedAt = end.Add(-time.Minute)
	delegated.Subject, delegated.Actor = &exchange.Party{Issuer: "https://idp.example", Subject: "ada"}, &exchange.Party{Issuer: "https://idp.example", Subject: "agent"}
	whole := &stsv1.IntrospectResponse{Active: true, Scope: "model-serving sql", ClientId: "kong", TokenType: "Bearer", Exp: timestamppb.New(end)}
	withSubject := &stsv1.IntrospectResponse{
		Active: true, Scope: "model-serving sql", ClientId: "kong", TokenType: "Bearer", Exp: timestamppb.New(end),
		Iat: timestamppb.New(end.Add(-time.Minute)), Sub: "ada",
		SubId: &stsv1.SubjectIdentifier{Format: "iss_sub", Iss: "https://idp.example", Sub: "ada"},
		Act:   &stsv1.Actor{Iss: "https://idp.example", Sub: "agent"},
	}
	for _, row := range []struct {
		name  string
		found exchange.Introspection
		want  *stsv1.IntrospectResponse
	}{
		{"K04", exchange.Introspection{Client: "kong", Handout: delegated.Handout}, &stsv1.IntrospectResponse{}},
		{"K05", live, whole},
		{"K05 of one subject", delegated, withSubject},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			b.exchanger.found = row.found
			got, err := b.client.Introspect(as(t, "authorization", kong), &stsv1.IntrospectRequest{Token: "asked", TokenTypeHint: "nonsense"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, got, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			if q := b.exchanger.inquiries[0]; q.Entrance != "grpc" || q.Client.ID != "kong" || q.Token != "asked" || !q.Source.Peer.IsLoopback() {
				t.Errorf("asked %+v of %s", q.Source, q.Client.ID)
			}
			if b.introspected.of("") != 1 || b.revoked.of("") != 0 || b.grpc.of("") != 0 {
				t.Error("counted otherwise")
			}
		})
	}
}

func TestRevoke(t *testing.T) {
	b := newBench(t)
	if _, err := b.client.Revoke(as(t, "authorization", kong), &stsv1.RevokeRequest{Token: "asked"}); err != nil {
		t.Fatal(err)
	}
	_, err := b.client.Revoke(as(t, "authorization", kong), &stsv1.RevokeRequest{Token: "others"})
	wantError(t, err, codes.PermissionDenied, exchange.ReasonClientNotAllowed) // K07
	_, err = b.client.Revoke(as(t, "authorization", "Basic eDp5"), &stsv1.RevokeRequest{Token: "asked"})
	wantError(t, err, codes.Unauthenticated, exchange.ReasonClientAuthenticationFailed)
	_, err = b.client.Introspect(t.Context(), &stsv1.IntrospectRequest{Token: "asked"}) // K03
	wantError(t, err, codes.Unauthenticated, exchange.ReasonClientAuthenticationFailed)
	if len(b.exchanger.inquiries) != 2 || b.revoked.of("") != 1 || b.revoked.of(exchange.ReasonClientNotAllowed) != 1 || b.revoked.of(exchange.ReasonClientAuthenticationFailed) != 1 {
		t.Errorf("%d inquiries, counted %+v", len(b.exchanger.inquiries), b.revoked.count)
	}
}

// There is no REST route to them but the form's.
func TestInquiriesHaveNoRoute(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/v1/introspect", "/v1/revoke", "/sts.v1.TokenService/Introspect"} {
		resp, err := b.web.Client().Post(b.web.URL+path, "application/json", strings.NewReader(`{"token":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 404 {
			t.Errorf("%s answers %d", path, resp.StatusCode)
		}
	}
}
