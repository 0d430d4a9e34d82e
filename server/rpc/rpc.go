package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/inbound"
)

// The names of these doors in records and metrics.
const (
	EntranceGRPC = "grpc"
	EntranceJSON = "json"
)

// Exchanger exchanges tokens. Both of its errors name their record.
type Exchanger interface {
	Exchange(ctx context.Context, call *exchange.Call) (exchange.Answer, error)
	// RefuseUnknown records a failure from before the client was known.
	RefuseUnknown(f exchange.Failure) *exchange.Error
}

// Inquirer answers for the tokens that were handed out. Its errors name their record.
type Inquirer interface {
	Introspect(ctx context.Context, q *exchange.Inquiry) (exchange.Introspection, error)
	Revoke(ctx context.Context, q *exchange.Inquiry) error
}

// Authenticator proves clients. Its error is an *exchange.Error.
type Authenticator interface {
	Authenticate(ctx context.Context, c clients.Credentials) (*exchange.Client, error)
}

// Observer counts what was answered; err is nil where a token was.
type Observer interface {
	Observe(err *exchange.Error, took time.Duration)
}

// Service is a service of the API beside TokenService, which this package serves itself. Its callers are bearers of a
// role. Its handlers return errors of the core, and never put them in gRPC's words.
type Service struct {
	// Register adds the service.
	Register func(grpc.ServiceRegistrar)
	// Roles are what its methods take, by their names. A method that isn't there is refused to everybody.
	Roles map[string]string
	// Object is what an answer is about, for the record of its use: a name or an id that exists, "" for nothing. nil says
	// nothing of any.
	Object func(answer any) string
	// Route adds its REST routes, which call it by that connection; nil for a service without any.
	Route func(ctx context.Context, mux *runtime.ServeMux, to grpc.ClientConnInterface) error
	// Streams are the paths of its methods that answer with many messages, by the methods' full names; they are asked by GET,
	// without a body. A request and its answers have a field cursor: the one goes on where the other stands. An answer in
	// which nothing else is set is a sign of life.
	Streams map[string]string
}

// Config is what an API is made of.
type Config struct {
	// Exchanger, Inquirer and Clients are those of TokenService. Needed.
	Exchanger Exchanger
	Inquirer  Inquirer
	Clients   Authenticator
	// Proxies are those whose forwarded client certificates are believed.
	Proxies clients.Proxies
	// GRPC and JSON count what each entrance answered. Needed.
	GRPC, JSON Observer
	// Introspections and Revocations count those of gRPC; they have no other entrance here. Needed.
	Introspections, Revocations Observer
	// Watch begins the watch over one gRPC call, with its traceparent metadata, and returns what ends it; nil for none.
	// JSON requests are watched as the HTTP requests that they are.
	Watch func(ctx context.Context, method string, traceparent []string) (context.Context, func(codes.Code))
	// Services are served beside TokenService, to Bearers, which is needed where there are any.
	Services []Service
	Bearers  BearerConfig
	// Bodies bounds the messages of all entrances together; nil bounds those of this one.
	Bodies *inbound.Bodies
	// CallTime is how long a call may take, but for streams; 0 means 25 s.
	CallTime time.Duration
	// Streams is how many streams there may be at once, over gRPC and JSON together; 0 means 100.
	Streams int64
	// Now and Log are needed.
	Now func() time.Time
	Log *slog.Logger
}

// API is the services, ready to be served over gRPC and JSON.
type API struct {
	guard    *guard
	tokens   Service
	services []Service
	bearers  BearerConfig
	lasting  *lastings
}

// New makes an API.
func New(c Config) (*API, error) {
	for _, need := range []struct {
		name    string
		missing bool
	}{
		{"Exchanger", c.Exchanger == nil}, {"Inquirer", c.Inquirer == nil}, {"Clients", c.Clients == nil}, {"GRPC", c.GRPC == nil}, {"JSON", c.JSON == nil},
		{"Introspections", c.Introspections == nil}, {"Revocations", c.Revocations == nil},
		{"Now", c.Now == nil}, {"Log", c.Log == nil},
	} {
		if need.missing {
			return nil, fmt.Errorf("rpc.Config.%s is missing", need.name)
		}
	}
	if missing := c.Bearers.missing(); missing != "" && len(c.Services) > 0 {
		return nil, fmt.Errorf("%s is missing", missing)
	}
	if c.Watch == nil {
		c.Watch = func(ctx context.Context, _ string, _ []string) (context.Context, func(codes.Code)) {
			return ctx, func(codes.Code) {}
		}
	}
	if c.CallTime == 0 {
		c.CallTime = callTime
	}
	if c.Bodies == nil {
		c.Bodies = inbound.NewBodies()
	}
	refusals := &refusals{
		exchanger: c.Exchanger, observers: map[string]Observer{EntranceGRPC: c.GRPC, EntranceJSON: c.JSON}, now: c.Now,
	}
	tokens := &tokens{
		exchanger: c.Exchanger, inquirer: c.Inquirer, clients: c.Clients, refusals: refusals, log: c.Log,
		introspections: c.Introspections, revocations: c.Revocations,
	}
	own := Service{
		Register: func(r grpc.ServiceRegistrar) { stsv1.RegisterTokenServiceServer(r, tokens) },
		Route: func(ctx context.Context, mux *runtime.ServeMux, to grpc.ClientConnInterface) error {
			return stsv1.RegisterTokenServiceHandlerClient(ctx, mux, stsv1.NewTokenServiceClient(to))
		},
	}
	return &API{
		guard: &guard{
			refusals: refusals, proxies: c.Proxies, bodies: c.Bodies, callTime: c.CallTime, watch: c.Watch, log: c.Log,
		},
		tokens: own, services: c.Services, bearers: c.Bearers, lasting: newLastings(c.Streams),
	}, nil
}

// EndStreams ends all streams, with word to their callers to call again, and lets none begin any more: what lasts would
// hold up a server that stops.
func (a *API) EndStreams() { a.lasting.end() }

// register adds all services, under guard, to a gRPC server or an in-process channel.
func (a *API) register(to grpc.ServiceRegistrar) {
	to = guarded{a.guard, to}
	a.tokens.Register(to)
	for i := range a.services {
		s := &a.services[i]
		s.Register(&bearers{
			BearerConfig: a.bearers, service: s, to: to, refusals: a.guard.refusals, lasting: a.lasting, callTime: a.guard.callTime, log: a.guard.log,
		})
	}
}

// refusals records and counts failures from before the client was known.
type refusals struct {
	exchanger Exchanger
	observers map[string]Observer
	now       func() time.Time
}

// refuse returns err with the id of its record.
func (r *refusals) refuse(c *caller, err *exchange.Error) *exchange.Error {
	return r.exchanger.RefuseUnknown(exchange.Failure{Entrance: c.entrance, Source: exchange.Source{Peer: c.peer}, Err: err})
}

// reject is refuse for what never came to a service, which counts what comes to it.
func (r *refusals) reject(c *caller, err *exchange.Error) *exchange.Error {
	refused := r.refuse(c, err)
	r.observe(c, refused, c.began)
	return refused
}

func (r *refusals) observe(c *caller, err *exchange.Error, began time.Time) {
	r.observers[c.entrance].Observe(err, r.now().Sub(began))
}
