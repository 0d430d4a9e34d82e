package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/tap"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/fault"
)

// The bounds of what comes in, the same as over HTTP where there is such a thing.
const (
	maxHeader     = 64 << 10
	maxStreams    = 100 // of one connection
	handshakeTime = 10 * time.Second
	idleTime      = 120 * time.Second
	aliveTime     = time.Minute // how long a connection may be silent before it is asked whether it lives
	aliveAnswer   = 20 * time.Second
	leastPing     = 10 * time.Second // more frequent pings of a client close its connection
	flowWindow    = 64 << 10         // what a stream may send ahead of being read
	// leaveTime is how long calls that are cut off have to end.
	leaveTime = 500 * time.Millisecond
	// maxOther bounds messages that gRPC reads itself: of its own services.
	maxOther = 16 << 10
	// readBuffer is what every connection has; gRPC would take 32 KiB.
	readBuffer = 16 << 10
	// workers are goroutines that go on to the next call. A new one would have to grow its stack in each call, which costs
	// a tenth of it. While all are busy, calls get goroutines of their own.
	workers = 64
)

// ServerConfig is what a Server is made of.
type ServerConfig struct {
	// TLS is nil for plaintext.
	TLS *tls.Config
	// Reflection lets clients ask for the description of the services.
	Reflection bool
	// Calls is how many may be under way at once. Streams, which may last, are counted for themselves, up to an eighth of it.
	Calls int64
}

// Server serves the API over gRPC.
type Server struct {
	grpc   *grpc.Server
	health *health.Server
	guard  *guard
	api    *API

	calls, streams turnstile
	services       []string // of the API
	// lasting are the methods that are streams.
	lasting map[string]bool
	// stopping ends the streams that would go on for ever.
	stopping context.Context
	stop     context.CancelFunc
}

// Server makes a gRPC server.
func (a *API) Server(c ServerConfig) *Server {
	s := &Server{guard: a.guard, api: a, health: health.NewServer(), lasting: map[string]bool{}}
	s.calls.most, s.streams.most = c.Calls, max(1, c.Calls/8)
	s.stopping, s.stop = context.WithCancel(context.Background())
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxOther),
		grpc.ForceServerCodecV2(encoding.GetCodecV2(proto.Name)), // whatever a caller names
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.InitialWindowSize(flowWindow),
		grpc.ReadBufferSize(readBuffer),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleTime, Time: aliveTime, Timeout: aliveAnswer}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: leastPing, PermitWithoutStream: true}),
		grpc.InTapHandle(s.limitTime),
		grpc.UnknownServiceHandler(s.unknown),
		grpc.WaitForHandlers(true), // they need what is taken down after us
		grpc.NumStreamWorkers(workers),
	}
	if c.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(c.TLS)))
	}
	s.grpc = grpc.NewServer(options...)
	counted := counted{s.grpc, s}
	a.register(counted)
	s.services = slices.Collect(maps.Keys(s.grpc.GetServiceInfo()))
	healthv1.RegisterHealthServer(counted, s.health)
	if c.Reflection {
		reflection.Register(counted)
	}
	for name, service := range s.grpc.GetServiceInfo() {
		for _, m := range service.Methods {
			if m.IsClientStream || m.IsServerStream {
				s.lasting["/"+name+"/"+m.Name] = true
			}
		}
	}
	s.Report(false)
	return s
}

// limitTime gives a call its time before its message is read: a context that is made later would not end the reading.
func (s *Server) limitTime(ctx context.Context, info *tap.Info) (context.Context, error) {
	if s.lasting[info.FullMethodName] {
		return ctx, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.guard.callTime) //nolint:gosec // gRPC ends the context around it with the call
	_ = cancel
	return ctx, nil
}

// unknown refuses what is no method of ours.
func (s *Server) unknown(_ any, stream grpc.ServerStream) error {
	return s.refuse(stream.Context(), exchange.Refuse(fault.CodeUnknownMethod, exchange.ReasonNotFound,
		"there is no such method; this service may be older than its caller"))
}

// Report says whether the service is ready, to those who ask grpc.health.v1.
func (s *Server) Report(ready bool) {
	status := healthv1.HealthCheckResponse_NOT_SERVING
	if ready {
		status = healthv1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", status)
	for _, name := range s.services {
		s.health.SetServingStatus(name, status)
	}
}

// Serve works until Stop, which may come first, or until the listener breaks.
func (s *Server) Serve(l net.Listener) error {
	if err := s.grpc.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// Stop takes no new calls, and lets those under way end until ctx does. It reports whether they all did; those that go on
// when they are told to end are left behind.
func (s *Server) Stop(ctx context.Context) (whole bool) {
	s.health.Shutdown()
	s.api.EndStreams() // ahead of stop, which has no word for their callers
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
	}
	go s.grpc.Stop()
	select {
	case <-ended:
	case <-time.After(leaveTime):
	}
	return false
}
