package rpc

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/tap"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/fault"
)

// The bounds of what comes in, the same as over HTTP where there is such a thing.
const (
	maxHeader      = 64 << 10
	maxStreams     = 100 // of one connection
	handshakeTime  = 10 * time.Second
	idleTime       = 120 * time.Second
	aliveTime      = time.Minute // how long a connection may be silent before it is asked whether it lives
	aliveAnswer    = 20 * time.Second
	leastPing      = 10 * time.Second // more frequent pings of a client close its connection
	flowWindow     = 64 << 10         // what a stream may send ahead of being read
	overloadedWait = time.Second
)

// ServerConfig is what a Server is made of.
type ServerConfig struct {
	// TLS is nil for plaintext.
	TLS *tls.Config
	// Reflection lets clients ask for the description of the services.
	Reflection bool
	// Calls is how many may be under way at once.
	Calls int64
}

// Server serves the API over gRPC.
type Server struct {
	grpc   *grpc.Server
	health *health.Server
	guard  *guard

	under atomic.Int64
	most  int64
	// stopping ends the streams that would go on for ever.
	stopping context.Context
	stop     context.CancelFunc
}

// Server makes a gRPC server.
func (a *API) Server(c ServerConfig) *Server {
	s := &Server{guard: a.guard, most: c.Calls, health: health.NewServer()}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxBatch), // the guard knows what each method may have of it
		grpc.ForceServerCodecV2(newEnvelopeCodec()),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.InitialWindowSize(flowWindow),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleTime, Time: aliveTime, Timeout: aliveAnswer}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: leastPing, PermitWithoutStream: true}),
		grpc.InTapHandle(s.enter),
		grpc.StreamInterceptor(s.endingStream),
		grpc.UnknownServiceHandler(s.unknown),
		grpc.WaitForHandlers(true), // they need what is taken down after us
	}
	if c.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(c.TLS)))
	}
	s.grpc = grpc.NewServer(options...)
	a.register(s.grpc)
	healthv1.RegisterHealthServer(s.grpc, s.health)
	if c.Reflection {
		reflection.Register(s.grpc)
	}
	return s
}

// enter lets a call in before its message is read, or refuses it.
func (s *Server) enter(ctx context.Context, _ *tap.Info) (context.Context, error) {
	if s.under.Add(1) > s.most {
		s.under.Add(-1)
		err := exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonOverloaded, "too many calls are under way; ask again shortly").After(overloadedWait)
		return ctx, fault.RPC(s.guard.refusals.reject(s.guard.grpcCaller(ctx), err))
	}
	context.AfterFunc(ctx, func() { s.under.Add(-1) })
	return ctx, nil
}

// unknown refuses what is no method of ours.
func (s *Server) unknown(_ any, stream grpc.ServerStream) error {
	err := exchange.Refuse(fault.CodeUnknownMethod, fault.ReasonNotFound, "there is no such method; this service may be older than its caller")
	return fault.RPC(s.guard.refusals.reject(s.guard.grpcCaller(stream.Context()), err))
}

// endingStream ends a stream when the server stops: whoever watches our health would hold it up.
func (s *Server) endingStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	return next(srv, contextStream{stream, ctx})
}

// Report says whether the service is ready, to those who ask grpc.health.v1.
func (s *Server) Report(ready bool) {
	status := healthv1.HealthCheckResponse_NOT_SERVING
	if ready {
		status = healthv1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", status)
	s.health.SetServingStatus(stsv1.TokenService_ServiceDesc.ServiceName, status)
}

// Serve works until Stop, or until the listener breaks.
func (s *Server) Serve(l net.Listener) error { return s.grpc.Serve(l) }

// Stop takes no new calls, and lets those under way end until ctx does. It reports whether they all did.
func (s *Server) Stop(ctx context.Context) (whole bool) {
	s.health.Shutdown()
	s.stop()
	ended := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(ended)
	}()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		s.grpc.Stop()
		<-ended
		return false
	}
}
