package export

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lakegate/sts/exchange"
)

// OTLP sends batches to an OpenTelemetry collector as log records, whose body is the line and whose log.record.uid the
// record's id: a batch that comes again has the same.
type OTLP struct {
	Client collogspb.LogsServiceClient
	// Conn is closed at the end; nil for none.
	Conn io.Closer
	// Version is this build's.
	Version string
}

var (
	_ Destination = (*OTLP)(nil)
	_ io.Closer   = (*OTLP)(nil)
)

// Close implements io.Closer.
func (o *OTLP) Close() error {
	if o.Conn == nil {
		return nil
	}
	return o.Conn.Close()
}

// Limits implements Destination. A collector takes 4 MiB a request, unless it is told otherwise.
func (*OTLP) Limits() Limits {
	return Limits{Records: 1000, Bytes: 1 << 20, Timeout: 30 * time.Second}
}

// Send implements Destination. What a collector has rejected of a batch must not be sent again (OTLP §partial success).
func (o *OTLP) Send(ctx context.Context, b *Batch) error {
	resp, err := o.Client.Export(ctx, o.request(b))
	if err != nil {
		return grpcFailure(err)
	}
	if n := resp.GetPartialSuccess().GetRejectedLogRecords(); n > 0 {
		return &RejectedError{Records: int(min(n, int64(len(b.Records))))}
	}
	return nil
}

func (o *OTLP) request(b *Batch) *collogspb.ExportLogsServiceRequest {
	records := make([]*logspb.LogRecord, len(b.Records))
	for i := range b.Records {
		records[i] = logRecord(&b.Records[i])
	}
	return &collogspb.ExportLogsServiceRequest{ResourceLogs: []*logspb.ResourceLogs{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
			attribute("service.name", "sts"), attribute("service.version", o.Version), attribute("sts.audit.origin", b.Origin),
		}},
		ScopeLogs: []*logspb.ScopeLogs{{Scope: &commonpb.InstrumentationScope{Name: "github.com/lakegate/sts/audit"}, LogRecords: records}},
	}}}
}

func logRecord(r *Record) *logspb.LogRecord {
	severity := logspb.SeverityNumber_SEVERITY_NUMBER_INFO
	switch exchange.Outcome(r.Outcome) {
	case exchange.OutcomeDenied:
		severity = logspb.SeverityNumber_SEVERITY_NUMBER_WARN
	case exchange.OutcomeFailed:
		severity = logspb.SeverityNumber_SEVERITY_NUMBER_ERROR
	}
	at := uint64(max(0, r.Time.UnixNano()))
	body := strings.ToValidUTF8(string(r.Line), "\uFFFD") // a damaged line may be none, and then the whole batch is never taken
	return &logspb.LogRecord{
		TimeUnixNano: at, ObservedTimeUnixNano: at, SeverityNumber: severity, EventName: "sts.audit." + r.Type,
		Body:       &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: body}},
		Attributes: []*commonpb.KeyValue{attribute("log.record.uid", r.ID)},
	}
}

func attribute(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

// grpcFailure sorts a collector's answers as OTLP asks: which may be tried again, and after how long.
func grpcFailure(err error) error {
	s := status.Convert(err)
	f := &Failure{Class: ClassRefused, Err: fmt.Errorf("sending to the collector: it answers %s", s.Code())} // what it says is nobody's
	switch s.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		f.Class = ClassUnavailable
	}
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok { // without it RESOURCE_EXHAUSTED is for good
			f.Class, f.After = ClassUnavailable, info.GetRetryDelay().AsDuration()
		}
	}
	return f
}
