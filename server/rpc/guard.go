package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

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
	// maxBatch is a thousand requests with tokens of common size.
	maxBatch = 4 << 20
)

// messageLimit is how large the request of a method may be, in bytes.
func messageLimit(method string) int {
	if method == stsv1.TokenService_BatchExchange_FullMethodName {
		return maxBatch
	}
	return maxMessage
}

// guard stands before every handler.
type guard struct {
	refusals *refusals
	proxies  clients.Proxies
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
	under := *desc
	under.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, m := range desc.Methods {
		m.Handler = g.guard.unary("/"+desc.ServiceName+"/"+m.MethodName, m.Handler)
		under.Methods[i] = m
	}
	under.Streams = make([]grpc.StreamDesc, len(desc.Streams))
	for i, s := range desc.Streams {
		s.Handler = g.guard.stream("/"+desc.ServiceName+"/"+s.StreamName, s.Handler)
		under.Streams[i] = s
	}
	g.to.RegisterService(&under, implementation)
}

type unaryHandler = func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error)

// unary is the way of one call. It wraps the handler and is no interceptor, because those are not asked where a message
// can't be decoded.
func (g *guard) unary(method string, next unaryHandler) unaryHandler {
	limit := messageLimit(method)
	return func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (response any, err error) {
		ctx, c := g.identify(ctx)
		ctx, cancel := context.WithTimeout(ctx, callTime)
		defer cancel()
		ctx, end := g.begin(ctx, c, method)
		defer func() {
			if p := recover(); p != nil {
				response, err = nil, g.panicked(ctx, c, p)
			}
			if err != nil {
				err = fault.RPC(err)
			}
			end(status.Code(err))
		}()
		return next(srv, ctx, func(message any) error { return g.decode(ctx, c, message, limit, decode) }, interceptor)
	}
}

// stream is the same for calls of more than one message, which may last. Their messages are bounded by the server alone.
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
		return next(srv, contextStream{s, ctx})
	}
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

// decode reads the message of a call, and refuses what was not understood of it: a field that a newer caller sets may be
// one that narrows what it asks for. The gateway has looked after size and form of its own messages.
func (g *guard) decode(ctx context.Context, c *caller, message any, limit int, decode func(any) error) error {
	if c.entrance != EntranceGRPC {
		return decode(message)
	}
	e := &envelope{message: message, limit: limit}
	err := decode(e)
	m, isMessage := message.(proto.Message)
	switch {
	case ctx.Err() != nil:
		return g.refusals.reject(c, exchange.AsError(ctx.Err()))
	case err != nil || e.err != nil:
		return g.refusals.reject(c, inbound.Malformed("the message can't be read; make it of the service's own .proto, and of at most %d bytes", limit))
	case e.size > limit:
		return g.refusals.reject(c, exchange.Refuse(exchange.CodeTooLarge, exchange.ReasonRequestMalformed, "the message is larger than %d bytes", limit))
	case isMessage && hasUnknown(m.ProtoReflect()):
		return g.refusals.reject(c, inbound.Malformed("the message has a field that is not known here; this service may be older than its caller"))
	}
	return nil
}

// hasUnknown reports whether a message has a field that isn't in its description, at any depth.
func hasUnknown(m protoreflect.Message) (found bool) {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil || isWellKnown(field.Message()):
		case field.IsList():
			list := value.List()
			for i := 0; i < list.Len() && !found; i++ {
				found = hasUnknown(list.Get(i).Message())
			}
		case !field.IsMap():
			found = hasUnknown(value.Message())
		}
		return !found
	})
	return found
}

// isWellKnown tells messages of google.protobuf, which have a form of their own.
func isWellKnown(m protoreflect.MessageDescriptor) bool {
	return strings.HasPrefix(string(m.FullName()), "google.protobuf.")
}

// panicked turns a panic into a failure of ours, with a record.
func (g *guard) panicked(ctx context.Context, c *caller, p any) error {
	err := g.refusals.reject(c, exchange.AsError(fmt.Errorf("panic: %v\n%s", p, debug.Stack())))
	g.log.ErrorContext(ctx, "a call panicked", "decision_id", err.DecisionID, "error", err)
	return err
}
