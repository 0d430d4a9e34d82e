package rpc

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/fault"
)

const overloadedWait = time.Second

// turnstile counts what is under way. It counts handlers and not streams of a connection: one who takes back each call as
// soon as he has made it (HTTP/2 rapid reset) leaves no stream, and every handler.
type turnstile struct {
	under atomic.Int64
	most  int64
}

func (t *turnstile) enter() (leave func(), err *exchange.Error) {
	if t.under.Add(1) > t.most {
		t.under.Add(-1)
		return nil, exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonOverloaded, "too many calls are under way; ask again shortly").After(overloadedWait)
	}
	return func() { t.under.Add(-1) }, nil
}

// counted registers services whose calls and streams go through the server's turnstiles.
type counted struct {
	*grpc.Server
	by *Server
}

// RegisterService implements grpc.ServiceRegistrar.
func (c counted) RegisterService(desc *grpc.ServiceDesc, implementation any) {
	c.Server.RegisterService(wrap(desc, c.by.countCall, c.by.countStream), implementation)
}

func (s *Server) countCall(_ string, next unaryHandler) unaryHandler {
	return func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		leave, err := s.calls.enter()
		if err != nil {
			return nil, s.refuse(ctx, err)
		}
		defer leave()
		return next(srv, ctx, decode, interceptor)
	}
}

// countStream also ends a stream when the server stops: whoever watches our health would hold it up.
func (s *Server) countStream(_ string, next grpc.StreamHandler) grpc.StreamHandler {
	return func(srv any, stream grpc.ServerStream) error {
		leave, err := s.streams.enter()
		if err != nil {
			return s.refuse(stream.Context(), err)
		}
		defer leave()
		ctx, cancel := context.WithCancel(stream.Context())
		defer cancel()
		defer context.AfterFunc(s.stopping, cancel)()
		return next(srv, contextStream{stream, ctx})
	}
}

// refuse answers a call that comes to no service.
func (s *Server) refuse(ctx context.Context, err *exchange.Error) error {
	return fault.RPC(s.guard.refusals.reject(s.guard.grpcCaller(ctx), err))
}
