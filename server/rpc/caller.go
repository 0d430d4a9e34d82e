package rpc

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/inbound"
)

// caller is who asks, whichever way the request came.
type caller struct {
	entrance string
	began    time.Time
	// until is when the time of a JSON request's call is over, counted from before its body came.
	until time.Time
	peer  netip.Addr
	// credentials are those that came with the connection and beside the message.
	credentials clients.Credentials
	// doubled says that there was more than one authorization.
	doubled bool
	// values looks up a header, or metadata.
	values func(name string) []string
	// challenge is the WWW-Authenticate of a JSON request's refusal, "" for none.
	challenge string
	// query is what of a JSON request's query string nobody has read.
	query url.Values
	// fault is why the body of a JSON request is not the message that it should be.
	fault *exchange.Error
	// hangUp gives a JSON stream's reader a last moment; for all others it does nothing.
	hangUp func()
}

type callerKey struct{}

func withCaller(ctx context.Context, c *caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerOf is who makes the call that ctx belongs to. The guard and the gateway see to it that there is one.
func callerOf(ctx context.Context) *caller { return ctx.Value(callerKey{}).(*caller) }

// identify finds the caller of a call, for a context that doesn't know him yet. A call by the gateway comes without the
// values of the context that it was made with; of those the caller and the span are taken over.
func (g *guard) identify(ctx context.Context) (context.Context, *caller) {
	if from := inprocgrpc.ClientContext(ctx); from != nil {
		c := callerOf(from)
		return withCaller(trace.ContextWithSpan(ctx, trace.SpanFromContext(from)), c), c
	}
	c := g.grpcCaller(ctx)
	return withCaller(ctx, c), c
}

func (g *guard) grpcCaller(ctx context.Context) *caller {
	authorization := metadata.ValueFromIncomingContext(ctx, "authorization")
	c := &caller{
		entrance: EntranceGRPC,
		hangUp:   func() {},
		began:    g.refusals.now(),
		doubled:  len(authorization) > 1,
		values: func(name string) []string {
			return metadata.ValueFromIncomingContext(ctx, strings.ToLower(name))
		},
	}
	if len(authorization) == 1 {
		c.credentials.Authorization = exchange.Secret(authorization[0])
	}
	var handshake []*x509.Certificate
	if p, ok := peer.FromContext(ctx); ok {
		if tcp, ok := p.Addr.(*net.TCPAddr); ok {
			c.peer = tcp.AddrPort().Addr().Unmap()
		}
		if tls, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			handshake = tls.State.PeerCertificates
		}
	}
	g.proxies.Certify(&c.credentials, c.peer, handshake, c.values(clients.HeaderForwarded))
	return c
}

func (g *guard) httpCaller(r *http.Request) *caller {
	c := &caller{
		entrance: EntranceJSON,
		hangUp:   func() {},
		began:    g.refusals.now(),
		peer:     inbound.Peer(r),
		doubled:  len(r.Header["Authorization"]) > 1,
		values:   r.Header.Values,
	}
	c.credentials.Authorization = exchange.Secret(r.Header.Get("Authorization"))
	inbound.Certify(&c.credentials, r, g.proxies)
	return c
}
