package export_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lakegate/sts/audit/export"
	"github.com/lakegate/sts/exchange"
)

func refuse(status int, header ...string) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		return true
	}
}

func batch() *export.Batch {
	return &export.Batch{
		ID: "9f3a12bc-0000-8000-8000-000000000000", Export: "test", Origin: "sts.acme.example/audit/sts-0/9f3a12bc", From: 5, To: 7,
		Records: []export.Record{
			{ID: "one", Type: "admin", Time: start, Line: []byte(`{"id":"one"}`)},
			{ID: "two", Type: "exchange", Outcome: "denied", Time: start, Line: []byte(`{"id":"two"}`)},
		},
	}
}

// An HTTP far end's answers lead to what RFC 9110 and docs/exports.md say.
func TestURLAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		header []string
		class  export.Class
		after  time.Duration
	}{
		{"ok", 200, nil, "", 0},
		{"accepted", 202, nil, "", 0},
		{"no content", 204, nil, "", 0},
		{"too many", 429, []string{"Retry-After", "7"}, export.ClassUnavailable, 7 * time.Second},
		{"away", 503, []string{"Retry-After", start.Add(time.Minute).Format(http.TimeFormat)}, export.ClassUnavailable, time.Minute},
		{"away, until a time that is over", 503, []string{"Retry-After", start.Add(-time.Minute).Format(http.TimeFormat)}, export.ClassUnavailable, 0},
		{"away, nonsense", 503, []string{"Retry-After", "soon"}, export.ClassUnavailable, 0},
		{"broken", 500, nil, export.ClassUnavailable, 0},
		{"slow", 408, nil, export.ClassUnavailable, 0},
		{"bad", 400, []string{"Retry-After", "7"}, export.ClassRefused, 0},
		{"unknown", 401, nil, export.ClassRefused, 0},
		{"too large", 413, nil, export.ClassRefused, 0},
		{"elsewhere", 304, nil, export.ClassRefused, 0},
	} {
		r := newReceiver(t)
		r.answer = refuse(c.status, c.header...)
		u := &export.URL{URL: r.url, Client: http.DefaultClient, Now: func() time.Time { return start }}
		err := u.Send(t.Context(), batch())
		var f *export.Failure
		if c.class == "" && err != nil || c.class != "" && (!errors.As(err, &f) || f.Class != c.class || f.After != c.after) {
			t.Errorf("%s: %+v", c.name, err)
		}
	}
}

func TestURLRequest(t *testing.T) {
	r := newReceiver(t)
	u := &export.URL{URL: r.url, Client: http.DefaultClient, Authorization: func() (exchange.Secret, error) { return "Bearer hush", nil }}
	if err := u.Send(t.Context(), batch()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer hush", "Content-Type": "application/x-ndjson", "Idempotency-Key": batch().ID,
		"STS-Audit-Origin": batch().Origin, "STS-Audit-Range": "5-7",
	} {
		if got := r.last.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if body := r.text(); body != "{\"id\":\"one\"}\n{\"id\":\"two\"}\n" {
		t.Errorf("body %q", body)
	}
	u.Authorization = func() (exchange.Secret, error) { return "", os.ErrNotExist }
	var f *export.Failure
	if err := u.Send(t.Context(), batch()); !errors.As(err, &f) || f.Class != export.ClassRefused {
		t.Errorf("without its secret: %v", err)
	}
}

// A URL may hold a credential; what is told of a failure doesn't.
func TestAFailureTellsNoURL(t *testing.T) {
	var i ids
	w := newTown(t, loaded(i.next()))
	err := w.run(&export.URL{URL: "http://127.0.0.1:1/in?token=hush", Client: http.DefaultClient})
	if err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("it says %v", err)
	}
}

func TestCollectorAnswers(t *testing.T) {
	c := newCollector(t)
	o := &export.OTLP{Client: c.client, Version: "1"}
	busy, err := status.New(codes.ResourceExhausted, "secret words").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(9 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		err   error
		class export.Class
		after time.Duration
	}{
		{"unavailable", status.Error(codes.Unavailable, "secret words"), export.ClassUnavailable, 0},
		{"deadline", status.Error(codes.DeadlineExceeded, "secret words"), export.ClassUnavailable, 0},
		{"exhausted", status.Error(codes.ResourceExhausted, "secret words"), export.ClassRefused, 0},
		{"exhausted for a while", busy.Err(), export.ClassUnavailable, 9 * time.Second},
		{"unauthenticated", status.Error(codes.Unauthenticated, "secret words"), export.ClassRefused, 0},
		{"invalid", status.Error(codes.InvalidArgument, "secret words"), export.ClassRefused, 0},
	} {
		c.err = test.err
		err := o.Send(t.Context(), batch())
		var f *export.Failure
		if !errors.As(err, &f) || f.Class != test.class || f.After != test.after || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %+v", test.name, err)
		}
	}
	c.err, c.reply = nil, &collogspb.ExportLogsServiceResponse{PartialSuccess: &collogspb.ExportLogsPartialSuccess{RejectedLogRecords: 1, ErrorMessage: "secret words"}}
	var rejected *export.RejectedError
	if err := o.Send(t.Context(), batch()); !errors.As(err, &rejected) || rejected.Records != 1 {
		t.Errorf("a partial success: %v", err)
	}
	c.reply.PartialSuccess.RejectedLogRecords = 0 // which is a warning
	if err := o.Send(t.Context(), batch()); err != nil {
		t.Errorf("a full success with a warning: %v", err)
	}
}

// A log's line may be damaged and still be a record. gRPC takes no text that isn't UTF-8, and would hold the export for good.
func TestACollectorGetsText(t *testing.T) {
	b, c := batch(), newCollector(t)
	b.Records[0].Line = []byte("{\"id\":\"one\",\"principal\":\"mod\xe5ls\"}")
	if err := (&export.OTLP{Client: c.client}).Send(t.Context(), b); err != nil {
		t.Error(err)
	}
	if got, want := c.lines["one"], "{\"id\":\"one\",\"principal\":\"mod\uFFFDls\"}"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A partial success is taken; it is not sent again.
func TestAPartialSuccessIsTaken(t *testing.T) {
	var i ids
	w, c := newTown(t, loaded(i.next())), newCollector(t)
	c.reply = &collogspb.ExportLogsServiceResponse{PartialSuccess: &collogspb.ExportLogsPartialSuccess{RejectedLogRecords: 1}}
	if err := w.run(c.destination()); err != nil {
		t.Fatal(err)
	}
	c.err = status.Error(codes.Internal, "asked again")
	if err := w.run(c.destination()); err != nil {
		t.Error(err)
	}
}

func TestCommandsEnd(t *testing.T) {
	for _, c := range []struct {
		name    string
		command []string
		class   export.Class
	}{
		{"well", []string{"/bin/sh", "-c", `test "$STS_EXPORT $STS_ORIGIN $STS_FROM $STS_TO" = "test sts.acme.example/audit/sts-0/9f3a12bc 5 7" && test "$(wc -l)" = 2`}, ""},
		{"badly", []string{"/bin/sh", "-c", "exit 3"}, export.ClassUnavailable},
		{"by a signal", []string{"/bin/sh", "-c", "kill -9 $$"}, export.ClassUnavailable},
		{"never begins", []string{"/no/such/program"}, export.ClassRefused},
	} {
		err := (&export.Command{Command: c.command}).Send(t.Context(), batch())
		var f *export.Failure
		if c.class == "" && err != nil || c.class != "" && (!errors.As(err, &f) || f.Class != c.class) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := (&export.Command{Command: []string{"/bin/sh", "-c", "exec sleep 600"}}).Send(ctx, batch()); err == nil {
		t.Error("a command that hangs has taken a batch")
	}
}

// Who renames the file gets a new one with the next batch; who shortens it is told; what isn't ours is cut off.
func TestAFileThatOthersTouch(t *testing.T) {
	var i ids
	w := newTown(t)
	path := filepath.Join(t.TempDir(), "a", "audit.jsonl")
	file := &export.File{Path: path, Log: quietly}
	next := func(d export.Destination) []string {
		t.Helper()
		l := open(t, w.dir, nil)
		record(t, l, loaded(i.next()))
		closeLog(t, l)
		w.log = still{l.Checkpoint()}
		if err := w.run(d); err != nil {
			t.Fatal(err)
		}
		return idsOf(t, readFile(t, path))
	}
	if got := next(file); len(got) != 2 {
		t.Fatalf("%d lines", len(got))
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if got := next(file); len(got) != 2 {
		t.Errorf("%d lines in the new file", len(got))
	}
	if err := os.WriteFile(path, []byte(readFile(t, path)+`{"torn`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := next(file); len(got) != 4 {
		t.Errorf("%d lines behind one that was torn", len(got))
	}

	// Taken away between the intent and the crash: what of the batch went with it, nobody can tell.
	f := &fails{n: 2, after: true}
	w.ledger.fail = f.now
	l := open(t, w.dir, nil)
	record(t, l, loaded(i.next()))
	closeLog(t, l)
	w.log = still{l.Checkpoint()}
	if w.run(mayFail(smallFile{file}, f)) == nil {
		t.Fatal("nothing went wrong")
	}
	w.ledger.fail = nil
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if err := w.run(file); err != nil {
		t.Fatal(err)
	}
	if got := idsOf(t, readFile(t, path)); len(got) != 2 {
		t.Errorf("%d lines in the emptied file", len(got))
	}
}

func TestAFileHasOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	one, two := &export.File{Path: path, Log: quietly}, &export.File{Path: path, Log: quietly}
	if err := one.Send(t.Context(), batch()); err != nil {
		t.Fatal(err)
	}
	var f *export.Failure
	if err := two.Send(t.Context(), batch()); !errors.As(err, &f) || f.Class != export.ClassRefused {
		t.Errorf("the second writer: %v", err)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if err := two.Send(t.Context(), batch()); err != nil {
		t.Error(err)
	}
}

// Core errors, which the uploader of a volume has, keep their meaning.
func TestCoreErrors(t *testing.T) {
	var i ids
	w := newTown(t, loaded(i.next()))
	for _, c := range []struct {
		err  *exchange.Error
		want string
	}{
		{exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable, "away"), "unavailable"},
		{exchange.Refuse(exchange.CodeUpstream, exchange.ReasonUpstreamRejected, "no"), "refused"},
	} {
		err := w.run(&export.Volume{Uploader: uploader{c.err}})
		var f *export.Failure
		if !errors.As(err, &f) || string(f.Class) != c.want {
			t.Errorf("%v is %+v", c.err, f)
		}
	}
}

type uploader struct{ err error }

func (u uploader) Upload(context.Context, string, []byte) error { return u.err }

func TestBatchNames(t *testing.T) {
	b := batch()
	if got := b.Name(); got != "sts-0.9f3a12bc.000000000005-000000000007" {
		t.Error(got)
	}
	names := []string{}
	for _, from := range []uint64{0, 9, 10, 99, 1_000_000} {
		b.From = from
		names = append(names, b.Name())
	}
	if !slices.IsSorted(names) {
		t.Errorf("%v", names)
	}
}
