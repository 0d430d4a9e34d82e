package export_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/lakegate/sts/audit/export"
	"github.com/lakegate/sts/exchange"
)

// farEnd is a place that records are brought to, as it really is, and what of them is there.
type farEnd interface {
	destination() export.Destination
	text() string
}

// farEnds are one of each kind.
var farEnds = map[string]func(t testing.TB) farEnd{
	"file":    func(t testing.TB) farEnd { return fileEnd{filepath.Join(t.TempDir(), "out", "audit.jsonl"), t} },
	"command": func(t testing.TB) farEnd { return commandEnd{t.TempDir(), t} },
	"url":     func(t testing.TB) farEnd { return newReceiver(t) },
	"otlp":    func(t testing.TB) farEnd { return newCollector(t) },
	"volume":  func(t testing.TB) farEnd { return &volumeEnd{files: map[string]string{}} },
}

type fileEnd struct {
	path string
	t    testing.TB
}

func (f fileEnd) destination() export.Destination {
	return smallFile{&export.File{Path: f.path, Log: quietly}}
}
func (f fileEnd) text() string { return readFile(f.t, f.path) }

// commandEnd is a folder, into which a program puts each batch, by its id: that is how such a program knows one again.
type commandEnd struct {
	dir string
	t   testing.TB
}

func (c commandEnd) destination() export.Destination {
	return small{&export.Command{Command: []string{"/bin/sh", "-c", `cat > "$0/$STS_FROM.$STS_BATCH"`, c.dir}}}
}

func (c commandEnd) text() string {
	files, err := filepath.Glob(filepath.Join(c.dir, "*"))
	if err != nil {
		c.t.Fatal(err)
	}
	bodies := map[string]string{}
	for _, path := range files {
		from, _, _ := strings.Cut(filepath.Base(path), ".")
		if bodies[from] != "" {
			c.t.Errorf("two batches from %s on", from)
		}
		bodies[from] = readFile(c.t, path)
	}
	return inOrder(bodies)
}

// inOrder joins batches by the number that each begins with.
func inOrder(bodies map[string]string) string {
	var from []int
	for key := range bodies {
		var n int
		_, _ = fmt.Sscan(key, &n)
		from = append(from, n)
	}
	slices.Sort(from)
	var b strings.Builder
	for _, n := range from {
		b.WriteString(bodies[fmt.Sprint(n)])
	}
	return b.String()
}

// receiver is an HTTP server that takes each idempotency key once.
type receiver struct {
	t    testing.TB
	url  string
	mu   sync.Mutex
	keys map[string]string // key: body
	from map[string]string // where the batch begins: body
	last http.Header
	// answer, if it is set, answers in its place, unless it returns false.
	answer func(w http.ResponseWriter) bool
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{t: t, keys: map[string]string{}, from: map[string]string{}}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		r.t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = req.Header
	if r.answer != nil && r.answer(w) {
		return
	}
	key := req.Header.Get("Idempotency-Key")
	if had, again := r.keys[key]; again && had != string(body) {
		r.t.Errorf("the key %s came with two bodies:\n%s\n%s", key, had, body)
	}
	r.keys[key] = string(body)
	from, _, _ := strings.Cut(req.Header.Get("STS-Audit-Range"), "-")
	r.from[from] = string(body)
}

func (r *receiver) destination() export.Destination {
	return small{&export.URL{URL: r.url, Client: http.DefaultClient}}
}

func (r *receiver) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.keys) != len(r.from) {
		r.t.Errorf("%d keys for %d batches", len(r.keys), len(r.from))
	}
	return inOrder(r.from)
}

// collector is an OpenTelemetry collector that knows records by their uid.
type collector struct {
	collogspb.UnimplementedLogsServiceServer
	t      testing.TB
	client collogspb.LogsServiceClient

	mu    sync.Mutex
	lines map[string]string // by uid
	order []string
	reply *collogspb.ExportLogsServiceResponse
	err   error
}

func newCollector(t testing.TB) *collector {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{t: t, lines: map[string]string{}}
	server := grpc.NewServer()
	collogspb.RegisterLogsServiceServer(server, c)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c.client = collogspb.NewLogsServiceClient(conn)
	return c
}

func (c *collector) Export(_ context.Context, req *collogspb.ExportLogsServiceRequest) (*collogspb.ExportLogsServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	for _, r := range req.GetResourceLogs()[0].GetScopeLogs()[0].GetLogRecords() {
		uid := ""
		for _, a := range r.GetAttributes() {
			if a.GetKey() == "log.record.uid" {
				uid = a.GetValue().GetStringValue()
			}
		}
		line := r.GetBody().GetStringValue()
		had, again := c.lines[uid]
		if again && had != line || uid == "" {
			c.t.Errorf("the uid %q came with two bodies:\n%s\n%s", uid, had, line)
		}
		if !again {
			c.order = append(c.order, uid)
		}
		c.lines[uid] = line
	}
	if c.reply != nil {
		return c.reply, nil
	}
	return &collogspb.ExportLogsServiceResponse{}, nil
}

func (c *collector) destination() export.Destination {
	return small{&export.OTLP{Client: c.client, Version: "test"}}
}

func (c *collector) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, uid := range c.order {
		b.WriteString(c.lines[uid] + "\n")
	}
	return b.String()
}

// volumeEnd is a folder of files that are replaced as wholes. The real one's emulator is in the tests of databricks.
type volumeEnd struct {
	mu    sync.Mutex
	files map[string]string
}

func (v *volumeEnd) Upload(_ context.Context, name string, content []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if had, again := v.files[name]; again && had != string(content) {
		return fmt.Errorf("%s came with two contents", name)
	}
	v.files[name] = string(content)
	return nil
}

func (v *volumeEnd) destination() export.Destination { return small{&export.Volume{Uploader: v}} }

func (v *volumeEnd) text() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var names []string
	for name := range v.files {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		b.WriteString(v.files[name])
	}
	return b.String()
}

// small is a destination whose batches are small.
type small struct{ export.Destination }

func (s small) Limits() export.Limits {
	l := s.Destination.Limits()
	l.Records, l.Wait = 3, 0
	return l
}

type smallFile struct{ *export.File }

func (s smallFile) Limits() export.Limits { return small{s.File}.Limits() }

// fails makes the nth of all operations, sends and puts, fail before or after it is done.
type fails struct {
	mu    sync.Mutex
	n     int // counts down
	after bool
}

func (f *fails) now() (before, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n--
	return f.n == 0 && !f.after, f.n == 0 && f.after
}

// failing is a destination whose sends may fail.
type failing struct {
	export.Destination
	fails *fails
}

func (f failing) Send(ctx context.Context, b *export.Batch) error {
	before, after := f.fails.now()
	if before {
		return errInjected
	}
	err := f.Destination.Send(ctx, b)
	if after {
		return errors.Join(err, errInjected)
	}
	return err
}

// failingFile is that for a file, which has a mark and an end.
type failingFile struct {
	failing
	smallFile
}

func (f failingFile) Send(ctx context.Context, b *export.Batch) error { return f.failing.Send(ctx, b) }
func (f failingFile) Limits() export.Limits                           { return f.smallFile.Limits() }

func mayFail(d export.Destination, f *fails) export.Destination {
	if file, ok := d.(smallFile); ok {
		return failingFile{failing{d, f}, file}
	}
	return failing{d, f}
}

// A process that ends at any point, before or after any send or any word to the ledger, and is followed by another, leaves
// each record at the far end once, in order.
func TestNothingIsLostOrDoubledByACrash(t *testing.T) {
	for name, make := range farEnds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var i ids
			var events []*exchange.Event
			for range 8 {
				events = append(events, loaded(i.next()))
			}
			w := newTown(t, events...)
			for crash := 1; ; crash++ {
				happened := false
				for _, after := range []bool{false, true} {
					f := &fails{n: crash, after: after}
					w.ledger = &ledger{fail: f.now}
					end := make(t)
					err := w.run(mayFail(end.destination(), f))
					if f.n > 0 { // there were fewer operations
						continue
					}
					happened = true
					if err == nil {
						t.Fatalf("crash %d, after %t: nothing went wrong", crash, after)
					}
					w.ledger.fail = nil
					if err := w.run(end.destination()); err != nil {
						t.Fatalf("crash %d, after %t: %v", crash, after, err)
					}
					if got, want := idsOf(t, end.text()), w.ids(); !slices.Equal(got, want) {
						t.Fatalf("crash %d, after %t: the far end has\n%v, want\n%v", crash, after, got, want)
					}
				}
				if !happened {
					if crash < 9 { // three batches, each of an intent, a send and a cursor
						t.Errorf("only %d operations", crash-1)
					}
					return
				}
			}
		})
	}
}

// What was written of a batch when the process ended is written again, whole.
func TestAFileIsCutBackToWhereItsBatchBegan(t *testing.T) {
	var i ids
	w := newTown(t, loaded(i.next()), loaded(i.next()), loaded(i.next()), loaded(i.next()))
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for _, left := range []int64{0, 1, 100, 300} { // bytes of the second batch
		_ = os.Remove(path)
		clear(w.ledger.entries)
		f := &fails{n: 5, after: true} // the second batch's send
		w.ledger.fail = f.now
		if err := w.run(mayFail(smallFile{&export.File{Path: path, Log: quietly}}, f)); err == nil {
			t.Fatal("nothing went wrong")
		}
		w.ledger.fail = nil
		whole := readFile(t, path)
		first := int64(len(strings.Join(strings.SplitAfter(whole, "\n")[:3], "")))
		if err := os.Truncate(path, min(first+left, int64(len(whole)))); err != nil {
			t.Fatal(err)
		}
		if err := w.run(smallFile{&export.File{Path: path, Log: quietly}}); err != nil {
			t.Fatal(err)
		}
		if got, want := idsOf(t, readFile(t, path)), w.ids(); !slices.Equal(got, want) {
			t.Fatalf("with %d bytes left: %v, want %v", left, got, want)
		}
	}
}

// A batch that was begun elsewhere goes to the end of a file: where it stood there says nothing of this one, which may hold
// what was exported before.
func TestAFileIsNotCutForABatchThatWasBegunElsewhere(t *testing.T) {
	old := strings.Repeat(`{"id":"old"}`+"\n", 50)
	for name, elsewhere := range map[string]func(t *testing.T) export.Destination{
		"a URL": func(*testing.T) export.Destination {
			return &export.URL{URL: "http://127.0.0.1:1/", Client: http.DefaultClient}
		},
		"another file": func(t *testing.T) export.Destination {
			return smallFile{&export.File{Path: filepath.Join(t.TempDir(), "audit.jsonl"), Log: quietly}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var i ids
			w := newTown(t, loaded(i.next()), loaded(i.next()))
			f := &fails{n: 2, after: true} // the first batch's send
			w.ledger.fail = f.now
			if w.run(mayFail(elsewhere(t), f)) == nil || len(w.ledger.entries) != 1 {
				t.Fatal("nothing was begun")
			}
			w.ledger.fail = nil
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := w.run(&export.File{Path: path, Log: quietly}); err != nil {
				t.Fatal(err)
			}
			rest, kept := strings.CutPrefix(readFile(t, path), old)
			if got, want := idsOf(t, rest), w.ids(); !kept || !slices.Equal(got, want) {
				t.Errorf("kept what was there: %t; %v behind it, want %v", kept, got, want)
			}
		})
	}
}

// jsonOf decodes a line.
func jsonOf(t testing.TB, line string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(line), &o); err != nil {
		t.Fatal(err)
	}
	return o
}
