package server_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/lakegate/sts/server"
)

func TestMetrics(t *testing.T) {
	c := config(t, &service{})
	metrics := prometheus.NewRegistry()
	c.Metrics, c.Gatherer = metrics, metrics
	r := start(t, c)
	r.do(t, tokenRequest(t, r.http))
	wrong := tokenRequest(t, r.http)
	wrong.SetBasicAuth("kong", "wrong")
	r.do(t, wrong)
	r.get(t, r.admin+"/readyz")
	_, body := r.get(t, r.admin+"/metrics")
	for _, want := range []string{
		`sts_requests_total{entrance="form",outcome="granted",reason=""} 1`,
		`sts_requests_total{entrance="form",outcome="denied",reason="client_authentication_failed"} 1`,
		`sts_request_seconds_count{entrance="form",outcome="granted"} 1`,
		`sts_request_seconds_count{entrance="form",outcome="denied"} 1`,
		`sts_part_ok{part="server"} 1`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	if _, err := server.New(c); err == nil {
		t.Error("registered twice")
	}
}

// A sampled request has a span with what an operator looks for, and no text of the caller's.
func TestTracing(t *testing.T) {
	const trace = "00-4bf92f3577b34da6ffffffffffffffff-00f067aa0ba902b7-01"
	for _, row := range []struct {
		name        string
		ratio       float64
		traceparent string
		spans       int
	}{
		{"all", 1, "", 1},
		{"none", 0, "", 0},
		{"none, whatever the caller says", 0, trace, 0},
		{"a trace that the ratio leaves out", 0.5, trace, 0},
		{"a trace that it takes", 0.5, strings.Replace(trace, "ffffffff", "0fffffff", 1), 1},
		{"all, a malformed parent", 1, "00-zz", 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			exporter := tracetest.NewInMemoryExporter()
			c := config(t, &service{})
			c.Tracing = sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter), sdktrace.WithSampler(sdktrace.AlwaysSample()))
			c.SampleRatio = row.ratio
			r := start(t, c)
			request := tokenRequest(t, r.http)
			request.URL.RawQuery = "q=private"
			if row.traceparent != "" {
				request.Header.Set("traceparent", row.traceparent)
				request.Header.Set("tracestate", "caller=private")
			}
			r.do(t, request)
			r.stop() // the span ends after its answer
			if err := <-r.stopped; err != nil {
				t.Fatal(err)
			}
			r.stopped <- nil
			spans := exporter.GetSpans()
			if len(spans) != row.spans {
				t.Fatalf("%d spans, want %d", len(spans), row.spans)
			}
			for _, span := range spans {
				want := []attribute.KeyValue{attribute.String("decision_id", decisionID), attribute.Int("http.response.status_code", 200)}
				if span.Name != "/oauth2/token" || fmt.Sprint(span.Attributes) != fmt.Sprint(want) {
					t.Errorf("%s %v", span.Name, span.Attributes)
				}
				if state := span.SpanContext.TraceState().String() + span.Parent.TraceState().String(); state != "" {
					t.Errorf("the span holds what a caller wrote: %s", state)
				}
				if row.ratio < 1 && span.Parent.SpanID().String() != "00f067aa0ba902b7" {
					t.Errorf("parent %v", span.Parent)
				}
			}
		})
	}
}

func TestDebugLog(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo} {
		var log logs
		c := config(t, &service{})
		c.Log = log.logger(level)
		r := start(t, c)
		request := tokenRequest(t, r.http)
		request.URL.RawQuery = "q=private"
		r.do(t, request)
		r.get(t, r.http+"/private")
		r.stop()
		if err := <-r.stopped; err != nil {
			t.Fatal(err)
		}
		r.stopped <- nil
		if logged := strings.Contains(log.String(), `"route":"/oauth2/token","status":200`); logged != (level == slog.LevelDebug) {
			t.Errorf("level %v: %s", level, log.String())
		}
		if strings.Contains(log.String(), "private") || strings.Contains(log.String(), "subject-token") {
			t.Errorf("the log holds what a caller wrote: %s", log.String())
		}
	}
}
