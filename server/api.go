package server

import (
	"net/http"

	"github.com/lakegate/sts/server/inbound"
	"github.com/lakegate/sts/server/rpc"
)

// buildAPI makes the gRPC server, where it is wanted, and the handler that serves the same as JSON.
func (s *Server) buildAPI(c *Config, m *metrics, w *watcher, bodies *inbound.Bodies) (http.Handler, error) {
	api, err := rpc.New(rpc.Config{
		Exchanger: c.Exchanger, Inquirer: c.Inquirer, Clients: c.Clients,
		Introspections: m.inquiry(actionIntrospect, rpc.EntranceGRPC), Revocations: m.inquiry(actionRevoke, rpc.EntranceGRPC),
		Proxies: c.TrustedProxies, Services: c.Services, Bearers: c.Bearers,
		GRPC: m.entrance(rpc.EntranceGRPC), JSON: m.entrance(rpc.EntranceJSON), Watch: w.call, Bodies: bodies,
		Now: c.Now, Log: c.Log,
	})
	if err != nil {
		return nil, err
	}
	s.endStreams = api.EndStreams
	if c.GRPC != "" {
		config := rpc.ServerConfig{Reflection: c.Reflection, Calls: int64(c.Connections)}
		if s.cert != nil {
			config.TLS = s.tlsConfig()
		}
		s.grpc = api.Server(config)
	}
	return api.JSON()
}
