package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
)

// auditor asks AuditService in this process, so that there are answers while the service is down. Each use is on record
// before anything is shown of it.
type auditor struct {
	service auditService
	record  func(context.Context, exchange.Admin) error
	// explainer makes MappingService, for what the policy says of the past.
	explainer func(context.Context) (*mapping.Service, error)
}

// auditService is AuditService as it is asked here.
type auditService interface {
	stsv1.AuditServiceServer
	// Object is what an answer is about, for the record of its use.
	Object(answer any) string
}

// ask puts one question, and records that it was put.
func ask[Q, A proto.Message](ctx context.Context, a *auditor, action string, question func(context.Context, Q) (A, error), q Q) (A, error) {
	return askAbout(ctx, a, a.service.Object, action, question, q)
}

// askAbout is ask of another service, which says otherwise what an answer is about.
func askAbout[Q, A proto.Message](
	ctx context.Context, a *auditor, object func(answer any) string, action string, question func(context.Context, Q) (A, error), q Q,
) (A, error) {
	answer, err := question(ctx, q)
	use := exchange.Admin{Action: action, Err: exchange.AsError(err)}
	if err == nil {
		use.Object = object(answer)
	}
	var none A
	if err := a.used(ctx, use); err != nil {
		return none, err
	}
	if err != nil {
		return none, said(err)
	}
	return answer, nil
}

// used records a use.
func (a *auditor) used(ctx context.Context, use exchange.Admin) error {
	// It is owed whether or not somebody still waits.
	if err := a.record(context.WithoutCancel(ctx), use); err != nil {
		return found(fmt.Errorf("each use of the audit is recorded, and this one can't be, so nothing is shown: %w", err))
	}
	return nil
}

// said is an error in the API's words; behind them, what they hide from callers elsewhere. What is wrong with the question is
// wrong usage.
func said(err error) error {
	failed := exchange.AsError(err)
	text := fmt.Errorf("%s: %s", failed.Reason, failed.Message)
	if failed.Cause != nil {
		text = fmt.Errorf("%w: %w", text, failed.Cause)
	}
	if failed.Code == exchange.CodeInvalidRequest {
		return text
	}
	return found(text)
}

// stream takes the answers of a streaming method.
type stream[A any] struct {
	grpc.ServerStream // of which nothing is used but the context
	ctx               context.Context
	take              func(*A) error
}

// Context implements grpc.ServerStream.
func (s *stream[A]) Context() context.Context { return s.ctx }

// Send implements grpc.ServerStreamingServer.
func (s *stream[A]) Send(answer *A) error { return s.take(answer) }

// write writes what a command has to say.
func write(w io.Writer, text []byte) error {
	_, err := w.Write(text)
	return found(err)
}

var errEnough = errors.New("as many as were asked for")
