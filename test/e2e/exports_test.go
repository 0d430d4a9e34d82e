package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/grpc"

	"github.com/lakegate/sts/internal/emulator/databricks"
)

const (
	auditWriter = "ad017e50-0000-4000-8000-00000000000f"
	auditVolume = "/Volumes/main/security/sts"
	siemSecret  = "Bearer c2llbS1zZWNyZXQtb2YtYS10ZXN0LTAxMjM0NTY3ODk"
)

// sink is a far end of an export: what of the log is there, as lines.
type sink func() (string, error)

// exporting gives a world exports of these kinds, and registers their far ends with the scan.
func exporting(kinds ...string) func(*world, *setup) {
	return func(w *world, s *setup) {
		w.sinks = map[string]sink{}
		var exports list
		for _, kind := range kinds {
			exports = append(exports, w.export(kind, s))
		}
		audit, _ := s.config["audit"].(object)
		audit["exports"] = exports
	}
}

func (w *world) export(kind string, s *setup) object {
	w.t.Helper()
	e := object{"name": kind}
	switch kind {
	case "file":
		path := filepath.Join(w.dir, "out", "audit.jsonl")
		e["file"] = path
		w.sinks[kind] = func() (string, error) {
			text, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				err = nil // nothing has arrived yet
			}
			return string(text), err
		}
	case "command":
		dir := w.t.TempDir()
		e["command"] = list{"/bin/sh", "-c", `cat > "$0/.$STS_BATCH" && mv "$0/.$STS_BATCH" "$0/$STS_BATCH"`, dir}
		w.sinks[kind] = func() (string, error) {
			paths, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil {
				return "", err
			}
			return readFiles(paths...)
		}
	case "ocsf":
		r := newReceiver(w.t)
		w.WriteFile("siem.secret", siemSecret+"\n")
		w.secrets["siem"] = strings.TrimPrefix(siemSecret, "Bearer ")
		e["url"], e["format"], e["authorization_file"] = r.url, "ocsf", "siem.secret"
		w.sinks[kind] = r.text
	case "url":
		r := newReceiver(w.t)
		e["url"] = r.url
		w.sinks[kind] = r.text
	case "otlp":
		l := newLogCollector(w.t)
		e["otlp"] = l.url
		w.sinks[kind] = l.text
	case "volume":
		e["volume"], e["workspace"], e["principal"] = auditVolume+"/audit", "prod", "audit-writer"
		principals, _ := s.policy["principals"].(object)
		principals["audit-writer"] = object{
			"workspace": "prod", "application_id": auditWriter, "scopes": list{"files"}, "max_lifetime": "15m", "owner": "tests",
		}
		if err := w.dbx.PutVolume(databricks.Volume{Path: auditVolume, Write: []string{auditWriter}}); err != nil {
			w.t.Fatal(err)
		}
		w.sinks[kind] = func() (string, error) {
			files := w.dbx.Files(auditVolume)
			var b strings.Builder
			for _, name := range slices.Sorted(maps.Keys(files)) {
				b.WriteString(files[name])
			}
			return b.String(), nil
		}
	}
	return e
}

// putWriter lets the workspace trust the running service for the principal that writes the volume.
func (w *world) putWriter() {
	w.t.Helper()
	if err := w.dbx.PutPrincipal(databricks.Principal{
		ApplicationID: auditWriter, Policies: []databricks.FederationPolicy{{Issuer: stsIssuer, Reach: "http://" + w.sts.http}},
	}); err != nil {
		w.t.Fatal(err)
	}
}

// receiver is an HTTP server that takes each idempotency key once, and remembers under which credential.
type receiver struct {
	url    string
	mu     sync.Mutex
	bodies map[string]string
	faults []string
	with   map[string]bool
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{bodies: map[string]string{}, with: map[string]bool{}}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // its sender was killed
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		key := req.Header.Get("Idempotency-Key")
		if had, again := r.bodies[key]; again && had != string(body) || key == "" {
			r.faults = append(r.faults, "the key "+key+" came with two bodies")
		}
		r.bodies[key] = string(body)
		r.with[req.Header.Get("Authorization")] = true
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() {
		for _, fault := range r.faults {
			t.Error(fault)
		}
	})
	r.url = s.URL
	return r
}

func (r *receiver) text() (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(slices.Collect(maps.Values(r.bodies)), ""), nil
}

// logCollector is an OpenTelemetry collector that knows records by their uid.
type logCollector struct {
	collogspb.UnimplementedLogsServiceServer
	url   string
	mu    sync.Mutex
	lines map[string]string
}

func newLogCollector(t *testing.T) *logCollector {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &logCollector{url: "http://" + l.Addr().String(), lines: map[string]string{}}
	server := grpc.NewServer()
	collogspb.RegisterLogsServiceServer(server, c)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return c
}

// Export takes a batch of log records.
func (c *logCollector) Export(_ context.Context, batch *collogspb.ExportLogsServiceRequest) (*collogspb.ExportLogsServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range batch.GetResourceLogs() {
		for _, scope := range resource.GetScopeLogs() {
			for _, r := range scope.GetLogRecords() {
				for _, a := range r.GetAttributes() {
					if a.GetKey() == "log.record.uid" {
						c.lines[a.GetValue().GetStringValue()] = r.GetBody().GetStringValue() + "\n"
					}
				}
			}
		}
	}
	return &collogspb.ExportLogsServiceResponse{}, nil
}

func (c *logCollector) text() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(slices.Collect(maps.Values(c.lines)), ""), nil
}

// idsOf are the ids of records, or of events, sorted: each as often as it is there.
func idsOf(t *testing.T, text string) []string {
	t.Helper()
	var ids []string
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r struct {
			ID       string `json:"id"`
			Metadata struct {
				UID string `json:"uid"`
			} `json:"metadata"`
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%v in %.200s", err, lines.Text())
		}
		ids = append(ids, r.ID+r.Metadata.UID)
	}
	slices.Sort(ids)
	return ids
}

// recordIDs are those of all records in the log.
func (w *world) recordIDs() []string {
	w.t.Helper()
	var ids []string
	for _, r := range w.Records() {
		ids = append(ids, r.ID)
	}
	slices.Sort(ids)
	return ids
}

// exported is what is at a far end.
func (w *world) exported(kind string) []string {
	w.t.Helper()
	text, err := w.sinks[kind]()
	if err != nil {
		w.t.Fatal(err)
	}
	return idsOf(w.t, text)
}

// TestExports holds that each record arrives at every kind of far end, once; what is there holds no secret, which the scan
// sees.
func TestExports(t *testing.T) {
	t.Parallel()
	kinds := []string{"file", "command", "ocsf", "otlp", "volume"}
	w := newWorld(t, exporting(kinds...))
	w.putWriter()
	ada := w.lasting("ada", "data-eng")
	for range 5 {
		mustGrant(t, w.Ask(token(ada)), tenMinutes)
	}
	w.Ask(token(w.Token(nil) + "x"))
	w.Ask(func(r *request) { r.Secret = "wrong" })
	w.Eventually("the failure is summed up", func() bool { return len(w.Of("failures")) == 1 })
	asked := w.recordIDs()
	w.Move(2 * time.Minute) // a file is written to the volume once a minute
	for _, kind := range kinds {
		w.arrived(kind, asked)
	}
	for _, r := range w.Of("mint") {
		if r.Principal == "audit-writer" && (r.Cause != "export" || r.Outcome != "granted" || r.ApplicationID != auditWriter) {
			t.Errorf("recorded as %+v", r)
		}
	}
	w.Eventually("/readyz says that all is well", func() bool {
		ready := w.Ready()
		return ready.Status == "ok" && ready.Parts["audit_exports"].Status == "ok"
	})
	w.Finish()
	for _, kind := range kinds {
		w.once(kind)
	}
	out, code := w.run("audit", "export", "--config", "sts.yaml", "--format", "ocsf")
	if got := len(idsOf(t, out)); code != 0 || got < len(asked) || strings.Contains(out, siemSecret) {
		t.Errorf("sts audit export: %d lines of %d, exit code %d", got, len(asked), code)
	}
}

// TestExportsSurviveKills kills the service again and again while it is under load and exports; in the end each record is at
// every far end once.
func TestExportsSurviveKills(t *testing.T) {
	t.Parallel()
	kinds := []string{"file", "url", "otlp"}
	w := newWorld(t, exporting(kinds...))
	ada := w.lasting("ada", "data-eng")
	ask := b0(w)
	token(ada)(&ask)
	params := ask.Params
	for range 4 {
		stop, stopped := make(chan struct{}), make(chan struct{})
		var answered sync.WaitGroup
		for range 2 {
			answered.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						w.knock(params)
					}
				}
			})
		}
		go func() { answered.Wait(); close(stopped) }()
		before := len(w.exported("url"))
		w.Eventually("something of this life is exported", func() bool { return len(w.exported("url")) > before+20 })
		w.sts.Kill()
		close(stop)
		<-stopped
		w.Start()
	}
	mustGrant(t, w.Ask(token(ada)), tenMinutes)
	for _, kind := range kinds {
		w.arrived(kind, w.recordIDs())
	}
	w.Finish()
	for _, kind := range kinds {
		w.once(kind)
	}
}

// arrived waits until these records are at a far end.
func (w *world) arrived(kind string, ids []string) {
	w.t.Helper()
	w.Eventually("the records are at the far end of "+kind, func() bool {
		text, err := w.sinks[kind]()
		if err != nil {
			w.t.Fatal(err)
		}
		there := idsOf(w.t, string(wholeLines([]byte(text))))
		return !slices.ContainsFunc(ids, func(id string) bool { _, found := slices.BinarySearch(there, id); return !found })
	})
}

// once holds that what is at a far end is what the log has, each record once. The last may still lack: their time is short.
func (w *world) once(kind string) {
	w.t.Helper()
	var want []string
	got := w.exported(kind)
	for _, id := range w.recordIDs() {
		if _, found := slices.BinarySearch(got, id); found {
			want = append(want, id)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("%s (-log +far end):\n%.2000s", kind, diff)
	}
}

// knock asks without caring for the answer: the service may be killed meanwhile.
func (w *world) knock(params url.Values) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.sts.http+"/oauth2/token", strings.NewReader(params.Encode()))
	if err != nil {
		return
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("kong", w.secrets["kong"])
	if resp, err := w.http.Do(req); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}

// TestAnExportThatFailsHoldsUpNothing holds that a far end that is away is told in /readyz and in a metric, and that
// exchanges go on.
func TestAnExportThatFailsHoldsUpNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world, s *setup) {
		audit, _ := s.config["audit"].(object)
		audit["exports"] = list{object{"name": "siem", "url": "http://127.0.0.1:1/in?token=dG9rZW4taW4tYS1VUkwtMDEyMzQ1Njc4OQ"}}
		w.secrets["in the URL"] = "dG9rZW4taW4tYS1VUkwtMDEyMzQ1Njc4OQ"
	})
	w.Eventually("it has failed", func() bool { return w.Metric("sts_audit_export_errors_total", `class="unavailable"`) > 0 })
	w.Move(time.Minute)
	mustGrant(t, w.Ask(), tenMinutes)
	w.Eventually("/readyz tells", func() bool {
		ready := w.Ready()
		part := ready.Parts["audit_exports"]
		return ready.HTTP == http.StatusOK && ready.Status == "degraded" && strings.Contains(part.Reason, "the export siem has failed since") && strings.Contains(part.Reason, "records wait")
	})
	if lag := w.Metric("sts_audit_export_lag_records"); lag < 3 {
		t.Errorf("a lag of %g", lag)
	}
}
