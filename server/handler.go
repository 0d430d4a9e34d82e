package server

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/fault"
	"github.com/lakegate/sts/server/inbound"
	"github.com/lakegate/sts/server/oauth"
	"github.com/lakegate/sts/server/rpc"
)

// entranceHTTP names the door in records of requests that came to none of the others.
const entranceHTTP = "http"

// handler serves the callers' listener. Every path is exact, so that a map routes, but for those of the API, which
// routes by itself.
type handler struct {
	routes  map[string]http.Handler
	api     http.Handler
	refuse  func(exchange.Failure) *exchange.Error
	watcher watcher
	log     *slog.Logger

	// under counts the requests under way, of which there may be most. HTTP/2 has many in one connection, so that the
	// bound on connections is none on requests.
	under atomic.Int64
	most  int64
}

func newHandler(c *Config, w watcher, endpoint *oauth.Endpoint, api http.Handler) (*handler, error) {
	refuse := c.Exchanger.RefuseUnknown
	routes, err := oauth.Metadata(oauth.MetadataConfig{
		Issuer: c.Issuer, FederationIssuer: c.FederationIssuer, JWKS: c.JWKS, AuthMethods: c.authMethods(), Refuse: refuse,
	})
	if err != nil {
		return nil, err
	}
	endpoints, err := endpoint.Routes(c.Issuer)
	if err != nil {
		return nil, err
	}
	maps.Copy(routes, endpoints)
	routes[openAPIPath] = openAPI(refuse)
	for _, path := range c.Bearers.Resource.Paths() {
		routes[path] = c.resourceMetadata()
	}
	return &handler{routes: routes, api: api, refuse: refuse, watcher: w, log: c.Log, most: int64(c.Connections)}, nil
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	under := h.under.Add(1)
	defer h.under.Add(-1)
	defer h.recover(w, r)
	route := r.URL.Path
	next, known := h.routes[route]
	switch {
	case under > h.most:
		route, next = "overloaded", http.HandlerFunc(h.overloaded)
	case !known && strings.HasPrefix(route, rpc.Prefix):
		route, next = rpc.Route(route), h.api
	case !known:
		route, next = "unknown", http.HandlerFunc(h.notFound)
	}
	h.watcher.serve(next, w, r, route)
}

func (h *handler) notFound(w http.ResponseWriter, r *http.Request) {
	err := exchange.Refuse(exchange.CodeNotFound, exchange.ReasonNotFound, "there is nothing at this path; the token endpoint is %s", oauth.TokenPath)
	fault.Write(w, h.refuse(h.failure(r, err)))
}

func (h *handler) overloaded(w http.ResponseWriter, r *http.Request) {
	err := exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonOverloaded, "too many requests are under way; ask again shortly").After(time.Second)
	fault.Write(w, h.refuse(h.failure(r, err)))
}

// recover answers a panic like every failure of ours, with a record.
func (h *handler) recover(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if aborted, ok := p.(error); ok && errors.Is(aborted, http.ErrAbortHandler) {
		panic(p) // the server's own word for hanging up
	}
	err := h.refuse(h.failure(r, exchange.AsError(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))))
	h.log.ErrorContext(r.Context(), "a request panicked", "decision_id", err.DecisionID, "error", err)
	fault.Write(w, err)
}

func (h *handler) failure(r *http.Request, err *exchange.Error) exchange.Failure {
	return exchange.Failure{Entrance: entranceHTTP, Source: exchange.Source{Peer: inbound.Peer(r)}, Err: err}
}
