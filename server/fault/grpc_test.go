package fault_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/fault"
)

// The table of the interface's description, as gRPC sees it.
func TestRPC(t *testing.T) {
	for _, row := range []struct {
		name  string
		err   error
		code  codes.Code
		oauth string
		retry time.Duration // 0: no RetryInfo
	}{
		{"invalid request", exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed, "x"), codes.InvalidArgument, "invalid_request", 0},
		{"too large", exchange.Refuse(exchange.CodeTooLarge, exchange.ReasonRequestMalformed, "x"), codes.InvalidArgument, "invalid_request", 0},
		{"not granted", exchange.Refuse(exchange.CodeNotGranted, exchange.ReasonNoMatchingRule, "x"), codes.PermissionDenied, "invalid_request", 0},
		{"grant type", exchange.Refuse(exchange.CodeUnsupportedGrantType, exchange.ReasonGrantTypeUnsupported, "x"), codes.InvalidArgument, "unsupported_grant_type", 0},
		{"client", exchange.Refuse(exchange.CodeInvalidClient, exchange.ReasonClientAuthenticationFailed, "x"), codes.Unauthenticated, "invalid_client", 0},
		{"client's grants", exchange.Refuse(exchange.CodeUnauthorizedClient, exchange.ReasonClientNotAllowed, "x"), codes.PermissionDenied, "unauthorized_client", 0},
		{"target", exchange.Refuse(exchange.CodeInvalidTarget, exchange.ReasonTargetUnknown, "x"), codes.PermissionDenied, "invalid_target", 0},
		{"scope", exchange.Refuse(exchange.CodeInvalidScope, exchange.ReasonScopeExceedsPolicy, "x"), codes.InvalidArgument, "invalid_scope", 0},
		{"details", exchange.Refuse(exchange.CodeInvalidAuthorizationDetails, exchange.ReasonDetailsExceedPolicy, "x"), codes.InvalidArgument, "invalid_authorization_details", 0},
		{"limit", exchange.Refuse(exchange.CodeRateLimited, exchange.ReasonRateLimited, "x").After(1500 * time.Millisecond), codes.ResourceExhausted, "temporarily_unavailable", 2 * time.Second},
		{"unavailable", exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonAuditUnavailable, "x"), codes.Unavailable, "temporarily_unavailable", time.Second},
		{"upstream", exchange.Refuse(exchange.CodeUpstream, exchange.ReasonUpstreamInvalid, "x"), codes.FailedPrecondition, "server_error", 0},
		{"deadline", context.DeadlineExceeded, codes.DeadlineExceeded, "temporarily_unavailable", time.Second},
		{"a plain error is ours", errors.New("secret cause"), codes.Internal, "server_error", 0},
		{"no token", exchange.Refuse(exchange.CodeTokenMissing, exchange.ReasonAccessTokenInvalid, "x"), codes.Unauthenticated, "", 0},
		{"bad token", exchange.Refuse(exchange.CodeInvalidToken, exchange.ReasonAccessTokenInvalid, "x"), codes.Unauthenticated, "invalid_token", 0},
		{"no role", exchange.Refuse(exchange.CodeInsufficientScope, exchange.ReasonRoleMissing, "x"), codes.PermissionDenied, "insufficient_scope", 0},
		{"not found", exchange.Refuse(exchange.CodeNotFound, exchange.ReasonNotFound, "x"), codes.NotFound, "not_found", 0},
		{"unknown method", exchange.Refuse(fault.CodeUnknownMethod, exchange.ReasonNotFound, "x"), codes.Unimplemented, "not_found", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			core := exchange.AsError(row.err)
			failed := *core
			failed.DecisionID = "id"
			err := fault.RPC(&failed)
			if got := exchange.AsError(err); got != &failed {
				t.Errorf("it is no longer the error that it was: %v", got)
			}
			s := status.Convert(err)
			if s.Code() != row.code || s.Message() != fault.Description(core.Message) {
				t.Errorf("%v %q", s.Code(), s.Message())
			}
			info, retry := details(t, s)
			if info.GetDomain() != "sts.v1" || info.GetReason() != string(core.Reason) {
				t.Errorf("ErrorInfo is %v", info)
			}
			want := map[string]string{"decision_id": "id"}
			if row.oauth != "" {
				want["error"] = row.oauth
			}
			if diff := cmp.Diff(want, info.GetMetadata()); diff != "" {
				t.Error(diff)
			}
			if got := retry.GetRetryDelay().AsDuration(); got != row.retry || (retry != nil) != (row.retry != 0) {
				t.Errorf("RetryInfo is %v, want %v", retry, row.retry)
			}
		})
	}
}

func details(t *testing.T, s *status.Status) (info *errdetails.ErrorInfo, retry *errdetails.RetryInfo) {
	t.Helper()
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			info = d
		case *errdetails.RetryInfo:
			retry = d
		default:
			t.Errorf("an unexpected detail: %T", d)
		}
	}
	return info, retry
}
