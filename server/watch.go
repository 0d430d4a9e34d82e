package server

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc/codes"

	"github.com/lakegate/sts/server/inbound"
)

// watcher sees to it that sampled requests get a span, and every request a line while the log is at debug. All others
// pay for a random number.
type watcher struct {
	tracer trace.Tracer // nil where nothing is traced
	// below is the part of all trace ids that is sampled, as a bound on their last 63 bits.
	below uint64
	log   *slog.Logger
	now   func() time.Time
}

func newWatcher(c *Config) watcher {
	w := watcher{log: c.Log, now: c.Now}
	if c.Tracing != nil && c.SampleRatio > 0 {
		w.tracer = c.Tracing.Tracer("github.com/lakegate/sts/server")
		w.below = uint64(min(1, c.SampleRatio) * math.MaxInt64)
	}
	return w
}

// sampled decides before anything is spent on a span. A request that belongs to a trace is decided by the trace's id, as
// the SDK's TraceIDRatioBased does, so that services with one ratio keep the same traces whole. The caller's own
// sampled flag isn't believed, since many send it always. Whoever makes up ids can still have his own requests traced: it
// costs us a span each.
func (w *watcher) sampled(traceparent []string) bool {
	if w.tracer == nil {
		return false
	}
	chance := rand.Uint64() //nolint:gosec // a lot, not a secret
	if len(traceparent) == 1 && len(traceparent[0]) >= 35 {
		var id [8]byte // the last half of the id, which stands at 3:35 (W3C Trace Context §3.2)
		if _, err := hex.Decode(id[:], []byte(traceparent[0][19:35])); err == nil {
			chance = binary.BigEndian.Uint64(id[:])
		}
	}
	return chance>>1 <= w.below
}

// call begins the watch over a gRPC call, and returns what ends it. What it shows of the method is one of ours.
func (w *watcher) call(ctx context.Context, method string, traceparent []string) (context.Context, func(codes.Code)) {
	sampled, logged := w.sampled(traceparent), w.log.Enabled(ctx, slog.LevelDebug)
	if !sampled && !logged {
		return ctx, func(codes.Code) {}
	}
	began := w.now()
	span := trace.Span(noop.Span{})
	if sampled {
		if len(traceparent) == 1 {
			ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent[0]})
		}
		ctx, span = w.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer))
	}
	return ctx, func(code codes.Code) {
		span.SetAttributes(attribute.Int("rpc.grpc.status_code", int(code)))
		span.End()
		if logged {
			w.log.DebugContext(ctx, "call", "method", method, "code", code.String(), "duration", w.now().Sub(began))
		}
	}
}

// serve serves a request under watch where it is due. route is the path that it was routed by, or a fixed word: what a
// caller wrote is not shown.
func (w *watcher) serve(next http.Handler, rw http.ResponseWriter, r *http.Request, route string) {
	sampled, logged := w.sampled(r.Header["Traceparent"]), w.log.Enabled(r.Context(), slog.LevelDebug)
	if !sampled && !logged {
		next.ServeHTTP(rw, r)
		return
	}
	answer := &answerWatch{ResponseWriter: rw, status: http.StatusOK}
	began := w.now()
	if sampled {
		// Without the tracestate, which is a caller's text and would stand in our spans.
		parent := propagation.MapCarrier{"traceparent": r.Header.Get("Traceparent")}
		ctx := propagation.TraceContext{}.Extract(r.Context(), parent)
		ctx, span := w.tracer.Start(ctx, route, trace.WithSpanKind(trace.SpanKindServer))
		defer func() {
			span.SetAttributes(attribute.Int("http.response.status_code", answer.status))
			span.End()
		}()
		r = r.WithContext(ctx)
	}
	next.ServeHTTP(answer, r)
	if logged {
		// Never the query string or the body: there are tokens in them.
		w.log.DebugContext(r.Context(), "request", "route", route, "status", answer.status,
			"peer", inbound.Peer(r), "duration", w.now().Sub(began))
	}
}

// answerWatch remembers the status.
type answerWatch struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (a *answerWatch) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (a *answerWatch) Unwrap() http.ResponseWriter { return a.ResponseWriter }
