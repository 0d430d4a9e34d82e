package rpc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/fault"
	"github.com/lakegate/sts/server/inbound"
)

// Prefix is what the paths of the JSON API begin with.
const Prefix = "/v1/"

const (
	pathExchange = "/v1/exchange"
	pathBatch    = "/v1/exchange:batch"
)

// Route is a path as it may be shown: what a caller wrote is not.
func Route(path string) string {
	switch path {
	case pathExchange, pathBatch, "/v1/mappings", "/v1/mappings:explain", "/v1/principals", "/v1/policy/versions",
		"/v1/audit/events", "/v1/audit/events:tail", "/v1/audit/tokens:lookup", "/v1/audit/checkpoint", "/v1/audit/statistics":
		return path
	}
	for _, parent := range []string{"/v1/mappings/", "/v1/principals/", "/v1/policy/versions/", "/v1/audit/events/"} {
		if strings.HasPrefix(path, parent) {
			return parent
		}
	}
	return Prefix
}

const mediaType = "application/json"

// gateway is the JSON API.
type gateway struct {
	guard *guard
	mux   *runtime.ServeMux
}

// JSON is the handler of all paths under Prefix. It sees to it that a request is in good order before a message is made
// of it: the gateway itself would take much that is not.
func (a *API) JSON() (http.Handler, error) {
	channel := new(inprocgrpc.Channel)
	a.register(channel)
	g := &gateway{guard: a.guard}
	none := func(string) (string, bool) { return "", false }
	g.mux = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newStrictJSON()),
		runtime.SetQueryParameterParser(new(strictQuery)),
		// A form, or a header, must not turn a POST into something else.
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		// Of the header only Authorization becomes metadata, and no metadata becomes a header: services see the caller.
		runtime.WithIncomingHeaderMatcher(none),
		runtime.WithOutgoingHeaderMatcher(none),
		runtime.WithOutgoingTrailerMatcher(none),
		runtime.WithWriteContentLength(),
		runtime.WithMiddlewares(g.framed),
		runtime.WithRoutingErrorHandler(g.astray),
		runtime.WithErrorHandler(g.fail),
	)
	for _, s := range append([]Service{a.tokens}, a.services...) {
		if s.Route == nil {
			continue
		}
		if err := s.Route(context.Background(), g.mux, channel); err != nil {
			return nil, err
		}
		if err := g.routeStreams(&s, channel); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	c := g.guard.httpCaller(r)
	timed, cancel := context.WithTimeout(r.Context(), g.guard.callTime)
	defer cancel()
	// The call ends then, and not the gateway's waiting for it: what a batch has got by then is answered.
	c.until, _ = timed.Deadline()
	g.mux.ServeHTTP(w, r.WithContext(withCaller(r.Context(), c)))
}

// framed refuses a request that found its route and is not in good order, before its body becomes a message.
func (g *gateway) framed(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		if found, probing := r.Context().Value(probeKey{}).(*bool); probing {
			*found = true
			return
		}
		c := callerOf(r.Context())
		release, err := g.frame(w, r, c)
		if err != nil {
			g.refuse(w, c, err)
			return
		}
		defer release()
		// A deadline and what else the gateway takes from there is our own business.
		r.Header = http.Header{"Authorization": r.Header["Authorization"], "Accept": r.Header["Accept"], headerResume: r.Header[headerResume]}
		next(w, r, path)
	}
}

func (g *gateway) frame(w http.ResponseWriter, r *http.Request, c *caller) (release func(), err *exchange.Error) {
	if err := inbound.CheckQuery(r.URL.RawQuery); err != nil {
		return nil, err
	}
	if err := inbound.CheckAuthorization(r.Header); err != nil {
		return nil, err
	}
	if r.Method != http.MethodPost {
		return func() {}, frameQuery(r, c)
	}
	if err := inbound.CheckMediaType(r.Header, mediaType); err != nil {
		return nil, err
	}
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		return nil, inbound.Malformed("there is a query string; send parameters in the body")
	}
	limits := limitsOf(r.URL.Path == pathBatch)
	text, release, err := g.guard.bodies.Read(w, r, limits.bytes)
	if err != nil {
		return nil, err
	}
	r.Body = newJSONBody(text, limits.parts, c)
	return release, nil
}

// frameQuery has the query string read once, here. What is in it, the route's message takes by strictQuery, and what no
// message takes is found by the guard.
func frameQuery(r *http.Request, c *caller) *exchange.Error {
	if r.ContentLength != 0 { // the gateway would read it, to whatever end, and throw it away
		return inbound.Malformed("there is a body; this method takes none")
	}
	var err error
	if c.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return inbound.Malformed("%v", errQuery)
	}
	r.Form = c.query
	return nil
}

// astray answers what found no route.
func (g *gateway) astray(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	if _, probing := r.Context().Value(probeKey{}).(*bool); probing {
		return
	}
	err := exchange.Refuse(exchange.CodeNotFound, exchange.ReasonNotFound, "there is nothing at this path; /openapi.json says what there is")
	if httpStatus == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", g.allowed(w, r))
		err = exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonMethodNotAllowed, "this path takes other methods; /openapi.json says which")
	}
	g.refuse(w, callerOf(r.Context()), err)
}

// allowed asks the routes which methods a path takes (RFC 9110 §15.5.6).
func (g *gateway) allowed(w http.ResponseWriter, r *http.Request) string {
	var methods []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		found := false
		probe := r.Clone(context.WithValue(r.Context(), probeKey{}, &found))
		probe.Method = method
		if g.mux.ServeHTTP(w, probe); found {
			methods = append(methods, method)
		}
	}
	return strings.Join(methods, ", ")
}

// probeKey marks a request that only asks whether it finds a route, and is answered by what it carries.
type probeKey struct{}

// fail answers what a service, or the way to it, returned.
func (g *gateway) fail(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	c := callerOf(r.Context())
	var failed *exchange.Error
	switch {
	case c.fault != nil:
		g.refuse(w, c, c.fault)
	case errors.As(err, &failed):
		if c.challenge != "" {
			w.Header().Set("WWW-Authenticate", c.challenge)
		}
		fault.Write(w, failed)
	case ctx.Err() != nil || status.Code(err) == codes.DeadlineExceeded || status.Code(err) == codes.Canceled:
		g.refuse(w, c, exchange.AsError(context.DeadlineExceeded))
	case status.Code(err) == codes.InvalidArgument: // of the path or the query string
		g.refuse(w, c, inbound.Malformed("%v", errQuery))
	default:
		g.refuse(w, c, exchange.AsError(err))
	}
}

func (g *gateway) refuse(w http.ResponseWriter, c *caller, err *exchange.Error) {
	fault.Write(w, g.guard.refusals.reject(c, err))
}
