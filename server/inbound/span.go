package inbound

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/lakegate/sts/exchange"
)

// Describe tells the span of a sampled request how it went. The reason is ours; the error's text may be foreign.
func Describe(ctx context.Context, decisionID string, err *exchange.Error) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(attribute.String("decision_id", decisionID))
	if err != nil {
		span.SetAttributes(attribute.String("reason", string(err.Reason)))
	}
}
