package main

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/audit/search"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
	"github.com/lakegate/sts/server"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/rpc"
)

// bearerParts are what the services for bearers are made of.
type bearerParts struct {
	policy   *mapping.Engine
	verifier exchange.Verifier
	gate     exchange.Gate
	recorder exchange.Recorder
	clients  *clients.Registry
	index    search.Index
	// delegation is what explanations hold an actor to.
	delegation exchange.Delegation
}

// serveBearers adds the services for bearers to a server's configuration.
func (p *bearerParts) serveBearers(c *server.Config) error {
	events, err := search.New(search.Config{Index: p.index, Now: now})
	if err != nil {
		return err
	}
	mappings, err := mapping.NewService(mapping.ServiceConfig{
		Engine: p.policy, Verifier: p.verifier, Client: p.clients.Client, Past: past{events}, Delegation: p.delegation, Now: now,
	})
	if err != nil {
		return err
	}
	c.Services = []rpc.Service{{
		Register: mappings.Register, Roles: mappings.Roles(), Object: mappings.Object,
		Route: func(ctx context.Context, mux *runtime.ServeMux, to grpc.ClientConnInterface) error {
			return stsv1.RegisterMappingServiceHandlerClient(ctx, mux, stsv1.NewMappingServiceClient(to))
		},
	}, {
		Register: events.Register, Roles: events.Roles(), Object: events.Object,
		Route: func(ctx context.Context, mux *runtime.ServeMux, to grpc.ClientConnInterface) error {
			return stsv1.RegisterAuditServiceHandlerClient(ctx, mux, stsv1.NewAuditServiceClient(to))
		},
		Streams: map[string]string{stsv1.AuditService_TailEvents_FullMethodName: "/v1/audit/events:tail"},
	}}
	c.Bearers = rpc.BearerConfig{
		Verifier: p.verifier, Limits: p.gate, Recorder: p.recorder, Random: rand.Reader,
		Holds: func(subject *exchange.Identity, role string, at time.Time) bool {
			return p.policy.Holds(subject, mapping.Role(role), at)
		},
	}
	c.BearerIssuers = func() []string { return p.policy.AccessIssuers(now()) }
	return nil
}
