package exchange

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// startStep opens a span under a request that is being traced, and costs next to nothing under one that is not.
func startStep(ctx context.Context, name string) (context.Context, func(error)) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, func(error) {}
	}
	ctx, span := parent.TracerProvider().Tracer("github.com/lakegate/sts/exchange").Start(ctx, name)
	return ctx, func(err error) {
		if err != nil {
			// The reason and never the message of a cause: a cause is foreign text.
			span.SetStatus(codes.Error, string(AsError(err).Reason))
		}
		span.End()
	}
}
