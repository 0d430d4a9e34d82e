package e2e_test

import (
	"context"
	"net"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
)

// collector receives the service's spans, as an OpenTelemetry collector would.
type collector struct {
	collectorpb.UnimplementedTraceServiceServer
	said *collected
}

// Export takes a batch of spans.
func (c *collector) Export(_ context.Context, batch *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	text, err := protojson.Marshal(batch)
	if err != nil {
		return nil, err
	}
	c.said.addTrace(string(text))
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

// startCollector returns the collector's URL.
func startCollector(t *testing.T, said *collected) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(server, &collector{said: said})
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return "http://" + l.Addr().String()
}
