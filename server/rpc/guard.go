package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/fault"
	"github.com/lakegate/sts/server/inbound"
)

const (
	// callTime is how long a call may take, the coming of its message included, however much time its caller gives. It is
	// less than the HTTP server has to write an answer.
	callTime = 25 * time.Second

	maxMessage = inbound.MaxBody
	maxParts   = 4_000
	// maxBatch is a thousand requests with tokens of common size, maxBatchParts a thousand with some details each.
	maxBatch      = 4 << 20
	maxBatchParts = 40_000
)

// guard stands before every handler.
type guard struct {
	refusals *refusals
	proxies  clients.Proxies
	bodies   *inbound.Bodies
	callTime time.Duration
	watch    func(ctx context.Context, method string, traceparent []string) (context.Context, func(codes.Code))
	log      *slog.Logger
}

// guarded registers services whose handlers are under guard.
type guarded struct {
	guard *guard
	to    grpc.ServiceRegistrar
}

// RegisterService implements grpc.ServiceRegistrar.
func (g guarded) RegisterService(desc *grpc.ServiceDesc, implementation any) {
	g.to.RegisterService(wrap(desc, g.guard.unary, g.guard.stream), implementation)
}

// wrap is a service with other handlers in the place of its own.
func wrap(
	desc *grpc.ServiceDesc,
	unary func(method string, next unaryHandler) unaryHandler, stream func(method string, next grpc.StreamHandler) grpc.StreamHandler,
) *grpc.ServiceDesc {
	wrapped := *desc
	wrapped.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, m := range desc.Methods {
		m.Handler = unary("/"+desc.ServiceName+"/"+m.MethodName, m.Handler)
		wrapped.Methods[i] = m
	}
	wrapped.Streams = make([]grpc.StreamDesc, len(desc.Streams))
	for i, s := range desc.Streams {
		s.Handler = stream("/"+desc.ServiceName+"/"+s.StreamName, s.Handler)
		wrapped.Streams[i] = s
	}
	return &wrapped
}

type unaryHandler = func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error)

// unary is the way of one call. It wraps the handler and is no interceptor, because those are asked only when a message is
// there, and not at all where it can't be read.
func (g *guard) unary(method string, next unaryHandler) unaryHandler {
	limits := limitsOf(method == stsv1.TokenService_BatchExchange_FullMethodName)
	return func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (response any, err error) {
		ctx, c := g.identify(ctx)
		if !c.until.IsZero() { // the server limits the time of those that come over gRPC
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, c.until)
			defer cancel()
		}
		ctx, end := g.begin(ctx, c, method)
		release := func() {}
		defer func() {
			if p := recover(); p != nil {
				response, err = nil, g.panicked(ctx, c, p)
			}
			release()
			if err != nil {
				err = fault.RPC(err)
			}
			end(status.Code(err))
		}()
		if len(c.query) > 0 { // the gateway has made no use of it
			return nil, g.refusals.reject(c, inbound.Malformed("%v", errQuery))
		}
		if c.entrance == EntranceGRPC { // the gateway has looked after the messages that it makes
			decode = func(message any) error {
				given, refused := g.receive(ctx, message.(proto.Message), limits)
				if refused != nil {
					return g.refusals.reject(c, refused)
				}
				release = given
				return nil
			}
		}
		return next(srv, ctx, decode, interceptor)
	}
}

// stream is the same for calls of more than one message, which may last.
func (g *guard) stream(method string, next grpc.StreamHandler) grpc.StreamHandler {
	return func(srv any, s grpc.ServerStream) (err error) {
		ctx, c := g.identify(s.Context())
		ctx, end := g.begin(ctx, c, method)
		defer func() {
			if p := recover(); p != nil {
				err = g.panicked(ctx, c, p)
			}
			if err != nil {
				err = fault.RPC(err)
			}
			end(status.Code(err))
		}()
		s = contextStream{s, ctx}
		if c.entrance == EntranceGRPC { // the gateway has looked after the messages that it makes
			s = messageStream{s, g}
		}
		return next(srv, s)
	}
}

// messageStream reads its one request as unary calls do theirs.
type messageStream struct {
	grpc.ServerStream
	guard *guard
}

// RecvMsg implements grpc.ServerStream.
func (s messageStream) RecvMsg(m any) error {
	release, err := s.guard.receive(s.Context(), m.(proto.Message), limitsOf(false))
	if err != nil {
		return err
	}
	release()
	return nil
}

// contextStream is a stream whose handler sees another context.
type contextStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s contextStream) Context() context.Context { return s.ctx }

// begin begins the watch over a gRPC call.
func (g *guard) begin(ctx context.Context, c *caller, method string) (context.Context, func(codes.Code)) {
	if c.entrance != EntranceGRPC {
		return ctx, func(codes.Code) {}
	}
	return g.watch(ctx, method, c.values("traceparent"))
}

// panicked turns a panic into a failure of ours, with a record.
func (g *guard) panicked(ctx context.Context, c *caller, p any) error {
	err := g.refusals.reject(c, exchange.AsError(fmt.Errorf("panic: %v\n%s", p, debug.Stack())))
	g.log.ErrorContext(ctx, "a call panicked", "decision_id", err.DecisionID, "error", err)
	return err
}
