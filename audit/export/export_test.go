package export_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/export"
	"github.com/lakegate/sts/exchange"
)

// exported runs an export of a file, and returns its lines.
func exported(t testing.TB, w *town, f export.Format) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out.jsonl")
	e := w.exports(export.Export{Name: t.Name(), Destination: &export.File{Path: path, Log: quietly}, Format: f})
	if err := e.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return slices.Collect(strings.Lines(readFile(t, path)))
}

// A record goes as it stands in the log, to the byte; a repeat as the exchange that it was.
func TestLines(t *testing.T) {
	var i ids
	who, first, second, third := ada(), i.next(), i.next(), i.next()
	again := granted(second, who)
	again.Time, again.Exchange.ExpiresAt, again.Exchange.Token.Cache = start.Add(time.Second), start.Add(11*time.Minute), exchange.CacheRedis
	unclaimed := granted(third, who)
	unclaimed.Exchange.Call.Source.Claimed = exchange.Claimed{Source: "203.0.113.9"}
	w := newTown(t, granted(first, who), again, loaded(i.next()), unclaimed)
	lines := exported(t, w, export.JSON)

	full := map[string]*audit.ExchangeRecord{}
	n, repeats := 0, 0
	for r, err := range audit.Read(w.dir) {
		if err != nil {
			t.Fatal(err)
		}
		line := strings.TrimSuffix(lines[n], "\n")
		n++
		if r.Repeat == nil {
			if line != string(r.Raw) {
				t.Errorf("a record went as\n%s, and is\n%s", line, r.Raw)
			}
			full[r.ID] = r.Exchange
			continue
		}
		repeats++
		of, _ := jsonOf(t, line)["repeat_of"].(string)
		got, err := audit.Decode([]byte(strings.Replace(line, `"repeat_of":"`+of+`",`, "", 1)))
		if err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if diff := cmp.Diff(r.Repeat.In(full[first]), got.Exchange); of != first || diff != "" {
			t.Errorf("a repeat of %s: (-want +got)\n%s", of, diff)
		}
	}
	if n != len(lines) || repeats != 2 {
		t.Errorf("%d lines for %d records, %d of them repeats", len(lines), n, repeats)
	}
}

// What a repeat refers to is found by a process that begins in the middle of a segment, and in the segment before.
func TestARepeatIsWholeWhereverItsExchangeStands(t *testing.T) {
	var i ids
	who, first := ada(), i.next()
	w := newTown(t, granted(first, who), granted(i.next(), who), granted(i.next(), who))
	path := filepath.Join(t.TempDir(), "out.jsonl")
	f := &fails{n: 4} // the second batch's intent
	w.ledger.fail = f.now
	if w.run(mayFail(smallFile{&export.File{Path: path, Log: quietly}}, f)) == nil || strings.Contains(readFile(t, path), "repeat_of") {
		t.Fatal("nothing went wrong, or too late")
	}
	w.ledger.fail = nil

	l := open(t, w.dir, nil) // a segment of its own
	record(t, l, loaded(i.next()))
	closeLog(t, l)
	stray := `{"type":"repeat","id":"` + i.next() + `","time":"2026-11-24T10:00:01Z","replica":"sts-0","of":"` + first + `","cache":"memory","duration_us":5}` + "\n"
	last := segments(t, w.dir)[1]
	if err := os.WriteFile(last, []byte(readFile(t, last)+stray), 0o600); err != nil {
		t.Fatal(err)
	}
	c := l.Checkpoint()
	c.Size++
	w.log = still{c}
	if err := w.run(smallFile{&export.File{Path: path, Log: quietly}}); err != nil {
		t.Fatal(err)
	}
	text := readFile(t, path)
	if got, want := idsOf(t, text), w.ids(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if n := strings.Count(text, `"repeat_of":"`+first+`"`); n != 3 || strings.Contains(text, `"type":"repeat"`) {
		t.Errorf("%d whole repeats of 3 in\n%s", n, text)
	}
}

// removes takes a file away once the first batch was sent, as retention does where an export is far behind.
type removes struct {
	export.Destination
	path string
}

func (r removes) Send(ctx context.Context, b *export.Batch) error {
	if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return r.Destination.Send(ctx, b)
}

// Retention that drops a segment while it is being read neither holds the export up nor loses what was read: a repeat whose
// exchange can't be looked up any more goes as it is.
func TestRetentionDropsWhatIsBeingRead(t *testing.T) {
	var i ids
	who, first := ada(), i.next()
	w := newTown(t, granted(first, who), granted(i.next(), who), granted(i.next(), who))
	l := open(t, w.dir, nil)
	record(t, l, loaded(i.next()))
	closeLog(t, l)
	w.log = still{l.Checkpoint()}
	want := w.ids()
	r := newReceiver(t)
	if err := w.run(removes{r.destination(), segments(t, w.dir)[0]}); err != nil {
		t.Error(err)
	}
	text := r.text()
	if diff := cmp.Diff(want, idsOf(t, text)); diff != "" || strings.Count(text, `"of":"`+first+`"`) != 2 {
		t.Errorf("(-log +far end)\n%s\n%s", diff, text)
	}
}

// Logs that are no more the present one are exported too: one that was given up, one of a replica that is gone, with what
// no checkpoint covers; but not one that another process exports.
func TestLogsOfOthers(t *testing.T) {
	var i ids
	dir := t.TempDir()
	write := func(replica string, random uint32, n int) *audit.Log {
		l := open(t, dir, func(c *audit.Config) { c.Replica, c.Random = replica, &counter{n: random} })
		for range n {
			record(t, l, loaded(i.next()))
		}
		closeLog(t, l)
		return l
	}
	write("gone-1", 7, 3)
	gone := segments(t, dir)[0]
	stray := `{"type":"admin","id":"` + i.next() + `","time":"2026-11-24T10:00:01Z","replica":"gone-1","action":"policy.load"}` + "\n"
	if err := os.WriteFile(gone, []byte(readFile(t, gone)+stray+`{"type":"adm`), 0o600); err != nil {
		t.Fatal(err)
	}
	write("sts-0", 1, 2)
	if err := os.Remove(filepath.Join(dir, "sts-0.checkpoint")); err != nil {
		t.Fatal(err)
	}
	l := write("sts-0", 99, 2)
	w := &town{t: t, dir: dir, ledger: &ledger{}, clock: &clock{now: start}, log: still{l.Checkpoint()}}
	path := filepath.Join(t.TempDir(), "out.jsonl")

	other := &town{t: t, dir: dir, ledger: w.ledger, clock: w.clock, log: w.log}
	before := other.exports(export.Export{Name: "other", Destination: &export.File{Path: path + ".other", Log: quietly}})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); before.Run(ctx) }()
	eventually(t, "another process has the logs", func() bool { _, err := os.Stat(path + ".other"); return err == nil })
	if err := w.run(&export.File{Path: path, Log: quietly}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("beside another process: %v", err)
	}
	stop()
	<-done
	if err := before.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}

	if err := w.run(&export.File{Path: path, Log: quietly}); err != nil {
		t.Fatal(err)
	}
	if got, want := len(idsOf(t, readFile(t, path))), len(w.ids())-1-3; got != want {
		t.Errorf("%d records, want %d: all but those of which no checkpoint is known, and for which somebody may still sign", got, want)
	}
	old := time.Now().Add(-2 * time.Minute)
	for _, path := range segments(t, dir) {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.run(&export.File{Path: path, Log: quietly}); err != nil {
		t.Fatal(err)
	}
	got, want := idsOf(t, readFile(t, path)), w.ids()
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What can't be exported is told at the far end, in its place, and the rest follows.
func TestGaps(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, w *town)
		want  string
	}{
		{"past retention", func(t *testing.T, w *town) { remove(t, segments(t, w.dir)[0], segments(t, w.dir)[1]) }, "retention 3-7"},
		{"missing", func(t *testing.T, w *town) { remove(t, segments(t, w.dir)[1], filepath.Join(w.dir, "sts-0.seals")) }, "missing 4-7"},
		{"damaged", func(t *testing.T, w *town) {
			path := segments(t, w.dir)[1]
			if err := os.WriteFile(path, []byte(strings.Replace(readFile(t, path), `{"type":"admin"`, `x"type":"admin"`, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "damaged 5-6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var i ids
			w := newTown(t, loaded(i.next()), loaded(i.next()), loaded(i.next())) // places 0 to 3
			for range 2 {                                                         // 4 to 6, 7 to 9
				l := open(t, w.dir, nil)
				record(t, l, loaded(i.next()))
				record(t, l, loaded(i.next()))
				closeLog(t, l)
				w.log = still{l.Checkpoint()}
			}
			path := filepath.Join(t.TempDir(), "out.jsonl")
			f := &fails{n: 4} // the second batch's intent
			w.ledger.fail = f.now
			if w.run(mayFail(smallFile{&export.File{Path: path, Log: quietly}}, f)) == nil {
				t.Fatal("nothing went wrong")
			}
			w.ledger.fail = nil
			c.spoil(t, w)
			if err := w.run(smallFile{&export.File{Path: path, Log: quietly}}); err != nil {
				t.Fatal(err)
			}
			var got []string
			count := uint64(0)
			for line := range strings.Lines(readFile(t, path)) {
				o := jsonOf(t, line)
				if o["type"] != "gap" {
					count++
					continue
				}
				first, records := uint64(o["first"].(float64)), uint64(o["records"].(float64))
				got = append(got, o["cause"].(string)+" "+itoa(first)+"-"+itoa(first+records))
				count += records
			}
			if strings.Join(got, ", ") != c.want || count != w.log.Checkpoint().Size {
				t.Errorf("gaps %v, want %s; %d records in all, want %d", got, c.want, count, w.log.Checkpoint().Size)
			}
		})
	}
}

func itoa(n uint64) string { return string(rune('0' + n)) }

func remove(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// A batch that was intended, and can't be read any more, is told of as a whole: nobody knows what of it was taken.
func TestWhatWasIntendedAndIsGone(t *testing.T) {
	var i ids
	w := newTown(t, loaded(i.next()), loaded(i.next()))
	l := open(t, w.dir, nil)
	record(t, l, loaded(i.next()))
	closeLog(t, l)
	w.log = still{l.Checkpoint()}
	path := filepath.Join(t.TempDir(), "out.jsonl")
	f := &fails{n: 2, after: true} // the first batch's send
	w.ledger.fail = f.now
	if w.run(mayFail(smallFile{&export.File{Path: path, Log: quietly}}, f)) == nil {
		t.Fatal("nothing went wrong")
	}
	w.ledger.fail = nil
	remove(t, segments(t, w.dir)[0])
	if err := w.run(smallFile{&export.File{Path: path, Log: quietly}}); err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(readFile(t, path)))
	if gap := jsonOf(t, lines[0]); len(lines) != 3 || gap["type"] != "gap" || gap["records"] != 3. || jsonOf(t, lines[1])["type"] != "segment" {
		t.Errorf("the far end has\n%s", strings.Join(lines, ""))
	}
}

// An export that fails is tried again and tells of it: in its health after ten seconds, and in metrics. Those beside it go on.
func TestFailuresAreTold(t *testing.T) {
	var i ids
	w := newTown(t, loaded(i.next()))
	l := open(t, w.dir, func(c *audit.Config) { c.Now = time.Now })
	w.log = l
	r := newReceiver(t)
	r.answer = refuse(500)
	good := filepath.Join(t.TempDir(), "good.jsonl")
	metrics := prometheus.NewRegistry()
	e, err := export.New(export.Config{
		Directory: w.dir, Log: l, Ledger: w.ledger, Now: w.clock.Now, Slog: quietly, Metrics: metrics,
		Retry: export.Retry{Least: time.Millisecond, Most: time.Millisecond, Refused: time.Millisecond},
		Exports: []export.Export{
			{Name: "bad", Destination: r.destination()}, {Name: "good", Destination: &export.File{Path: good, Log: quietly}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx) }()
	eventually(t, "it has failed several times", func() bool { return metric(t, metrics, "sts_audit_export_errors_total", "bad", "unavailable") > 3 })
	if err := e.Health(); err != nil {
		t.Errorf("told too soon: %v", err)
	}
	w.clock.Add(11 * time.Second)
	if err := e.Health(); err == nil || !strings.Contains(err.Error(), "the export bad has failed since 2026-11-24T10:00:00Z (unavailable)") ||
		!strings.Contains(err.Error(), "answers 500") || !strings.Contains(err.Error(), "2 records wait") || strings.Contains(err.Error(), "good") {
		t.Errorf("health: %v", err)
	}
	if lag := metric(t, metrics, "sts_audit_export_lag_records", "bad", ""); lag != 2 {
		t.Errorf("lag %g", lag)
	}
	record(t, l, loaded(i.next()))
	eventually(t, "the good one has all", func() bool { return len(idsOf(t, readFile(t, good))) == 4 })
	r.mu.Lock()
	r.answer = nil
	r.mu.Unlock()
	eventually(t, "the bad one has all", func() bool { return len(idsOf(t, r.text())) == 4 })
	eventually(t, "all is well", func() bool {
		return e.Health() == nil && metric(t, metrics, "sts_audit_export_lag_records", "bad", "") == 0
	})
	stop()
	<-done
	if n := metric(t, metrics, "sts_audit_export_records_total", "good", ""); n != 4 {
		t.Errorf("%g records exported", n)
	}
}

// metric is a value of one export, of one class where there are classes.
func metric(t testing.TB, r *prometheus.Registry, name, of, class string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == name && labels["export"] == of && labels["class"] == class {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s of %s", name, of)
	return 0
}

// A batch waits for more until it is full or its oldest record is old; at the end it waits for nothing.
func TestBatchesWait(t *testing.T) {
	var i ids
	w := newTown(t)
	l := open(t, w.dir, func(c *audit.Config) { c.Now = time.Now })
	w.log = l
	v := &volumeEnd{files: map[string]string{}}
	e := w.exports(export.Export{Name: "lake", Destination: waits{&export.Volume{Uploader: v}}})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx) }()
	stamped := func() *exchange.Event { ev := loaded(i.next()); ev.Time = w.clock.Now(); return ev }
	files := func() int { v.mu.Lock(); defer v.mu.Unlock(); return len(v.files) }

	record(t, l, stamped())
	eventually(t, "it is covered", func() bool { return l.Checkpoint().Size == 2 })
	w.clock.Add(2 * time.Minute)
	eventually(t, "it is old", func() bool { return files() == 1 })
	record(t, l, stamped())
	record(t, l, stamped())
	eventually(t, "they are covered", func() bool { return l.Checkpoint().Size == 4 })
	if n := files(); n != 1 {
		t.Errorf("%d files at once", n)
	}
	w.clock.Add(2 * time.Minute)
	eventually(t, "they are old", func() bool { return files() == 2 })
	for range 5 {
		record(t, l, stamped())
	}
	eventually(t, "a batch is full", func() bool { return files() == 3 })
	record(t, l, stamped())
	stop()
	<-done
	closeLog(t, l)
	if err := e.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := idsOf(t, v.text()), w.ids(); !slices.Equal(got, want) || files() != 4 {
		t.Errorf("%d files with %v, want %v", files(), got, want)
	}
}

type waits struct{ export.Destination }

func (w waits) Limits() export.Limits {
	l := w.Destination.Limits()
	l.Records = 5
	return l
}

// Configurations that can't work are refused by name.
func TestConfig(t *testing.T) {
	good := func() export.Config {
		return export.Config{Directory: "x", Log: still{}, Ledger: &ledger{}, Slog: quietly, Exports: []export.Export{{Name: "a", Destination: &export.File{}}}}
	}
	for _, c := range []struct {
		name   string
		change func(*export.Config)
		want   string
	}{
		{"good", func(*export.Config) {}, ""},
		{"no directory", func(c *export.Config) { c.Directory = "" }, "Directory"},
		{"no log", func(c *export.Config) { c.Log = nil }, "Log"},
		{"no ledger", func(c *export.Config) { c.Ledger = nil }, "Ledger"},
		{"no slog", func(c *export.Config) { c.Slog = nil }, "Slog"},
		{"no name", func(c *export.Config) { c.Exports[0].Name = "" }, "Name"},
		{"a name twice", func(c *export.Config) { c.Exports = append(c.Exports, c.Exports[0]) }, "Name"},
		{"no destination", func(c *export.Config) { c.Exports[0].Destination = nil }, "Destination"},
	} {
		config := good()
		c.change(&config)
		_, err := export.New(config)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
