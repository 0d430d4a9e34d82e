package mapping_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
)

// ledger is a Ledger in memory.
type ledger struct {
	mu       sync.Mutex
	values   map[string][]byte
	versions map[string]uint64
	down     error
	conflict int // so many Puts are beaten by somebody else
}

func newLedger() *ledger { return &ledger{values: map[string][]byte{}, versions: map[string]uint64{}} }

func (l *ledger) Get(_ context.Context, key string) ([]byte, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.values[key], l.versions[key], l.down
}

func (l *ledger) Put(_ context.Context, key string, value []byte, version uint64, _ time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.down != nil:
		return l.down
	case l.conflict > 0:
		l.conflict--
		return exchange.ErrConflict
	case l.versions[key] != version:
		return exchange.ErrConflict
	}
	l.values[key], l.versions[key] = value, version+1
	return nil
}

// recorder remembers admin events.
type recorder struct {
	mu     sync.Mutex
	events []string
	down   error
}

func (r *recorder) Record(_ context.Context, e *exchange.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		return r.down
	}
	r.events = append(r.events, fmt.Sprintf("%s %.6s %s", e.Admin.Action, e.Admin.Object, e.Admin.Detail))
	return nil
}

func (*recorder) RecordFailure(exchange.Failure) string { return "" }

// house is an engine and what it works with.
type house struct {
	*mapping.Engine
	ledger   *ledger
	recorder *recorder
	metrics  *prometheus.Registry
	log      *bytes.Buffer
	now      time.Time
}

func newHouse(t *testing.T, l *ledger) *house {
	t.Helper()
	h := &house{ledger: l, recorder: &recorder{}, metrics: prometheus.NewRegistry(), log: &bytes.Buffer{}, now: today}
	var err error
	h.Engine, err = mapping.NewEngine(mapping.Config{
		Ledger: l, Recorder: h.recorder, History: 3, Now: func() time.Time { return h.now }, Random: rand.NewChaCha8([32]byte{}),
		Log: slog.New(slog.NewJSONHandler(h.log, nil)), Metrics: h.metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func files(text string) []mapping.File { return []mapping.File{{Name: "p.yaml", Data: []byte(text)}} }

const (
	goodPolicy = base + "rules:\n  - {id: r, match: {issuer: [okta], groups: {any: [ds]}}, grant: {principal: etl}}\n"
	newPolicy  = base + "rules:\n  - {id: s, match: {issuer: [okta], groups: {any: [ds]}}, grant: {principal: etl}}\n"
	badPolicy  = base + "rules:\n  - {id: r, match: {issuer: [oktaa], groups: {any: [ds]}}, grant: {principal: etl}}\n"
	failing    = goodPolicy + "tests:\n  - {name: nobody, subject: {issuer: okta, subject: ada, groups: [hr]}, client: kong, audience: prod, expect: {principal: etl}}\n"
)

func (h *house) rule() string { return h.Decide(attempt(ada("ds"), "prod")).Rule }

func TestEngine(t *testing.T) {
	ctx, h := t.Context(), newHouse(t, newLedger())
	if d := h.Decide(attempt(ada("ds"), "prod")); d.Denial == nil || d.Denial.Code != exchange.CodeInternal {
		t.Fatalf("without a policy: %+v", d)
	}
	if err := h.Start(ctx, files(goodPolicy), environment()); err != nil || h.rule() != "r" || h.Health() != nil {
		t.Fatal(err, h.rule(), h.Health())
	}
	// A bad file, or one whose tests fail, replaces nothing; the same fault is recorded once.
	for _, bad := range []string{badPolicy, badPolicy, failing} {
		if err := h.Load(ctx, files(bad), environment()); err == nil || h.rule() != "r" || h.Health() == nil {
			t.Fatal(err, h.rule(), h.Health())
		}
	}
	if err := h.Health(); !strings.Contains(err.Error(), `p.yaml:21:5: test "nobody": wanted principal etl; refused: no_matching_rule; nearest is rule r (p.yaml:19:5), whose groups wants any of ds and saw hr`) {
		t.Error(err)
	}
	h.now = today.Add(time.Hour)
	if err := h.Load(ctx, files(newPolicy), environment()); err != nil || h.rule() != "s" || h.Health() != nil {
		t.Fatal(err, h.rule(), h.Health())
	}
	// The same files once more, with another environment: in force, and no new version.
	env := environment()
	env.Credentials = map[string]mapping.Credential{"etl": {Method: exchange.MethodClientSecret, Generation: "2"}}
	if err := h.Load(ctx, files(newPolicy), env); err != nil || h.Decide(attempt(ada("ds"), "prod")).Grant.Credential != "2" {
		t.Fatal(err)
	}
	versions, err := h.Versions(ctx)
	if err != nil || len(versions) != 2 || versions[0].Digest != h.Policy().Digest() || !versions[0].Time.Equal(h.now) || versions[0].Rules != 1 {
		t.Fatal(versions, err)
	}
	if content, err := h.Content(ctx, versions[1].Digest); err != nil || string(content[0].Data) != goodPolicy {
		t.Fatal(err)
	}
	want := []string{
		fmt.Sprintf("policy.load %.6s 1 rules", versions[1].Digest), fmt.Sprintf("policy.refuse %.3x 1 fault, at p.yaml:19:30", sha256.Sum256([]byte(badPolicy))),
		fmt.Sprintf("policy.refuse %.3x 1 fault, at p.yaml:21:5", sha256.Sum256([]byte(failing))), fmt.Sprintf("policy.load %.6s 1 rules", versions[0].Digest),
	}
	if diff := cmp.Diff(want, h.recorder.events); diff != "" {
		t.Error(diff)
	}
	expect := fmt.Sprintf("# HELP sts_policy_info 1 for the digest of the policy in force.\n# TYPE sts_policy_info gauge\nsts_policy_info{digest=%q} 1\n"+
		"# HELP sts_policy_loads_total Policies that were put in force (accepted) or not (refused).\n# TYPE sts_policy_loads_total counter\n"+
		"sts_policy_loads_total{result=\"accepted\"} 2\nsts_policy_loads_total{result=\"refused\"} 3\n"+
		"# HELP sts_policy_rules Rules of the policy in force.\n# TYPE sts_policy_rules gauge\nsts_policy_rules 1\n", versions[0].Digest)
	if err := testutil.GatherAndCompare(h.metrics, strings.NewReader(expect)); err != nil {
		t.Error(err)
	}
}

func TestPrepareChangesNothing(t *testing.T) {
	ctx, h := t.Context(), newHouse(t, newLedger())
	if err := h.Start(ctx, files(goodPolicy), environment()); err != nil {
		t.Fatal(err)
	}
	p, err := h.Prepare(files(newPolicy), environment())
	if versions, _ := h.Versions(ctx); err != nil || h.rule() != "r" || len(versions) != 1 || len(h.recorder.events) != 1 {
		t.Fatal(err, h.rule(), versions)
	}
	if _, err := h.Prepare(files(badPolicy), environment()); err == nil || h.Health() != nil {
		t.Fatal("a fault in what is only prepared is nobody's illness", err)
	}
	if err := h.Commit(ctx, p); err != nil || h.rule() != "s" {
		t.Fatal(err, h.rule())
	}
}

func TestStartWithABadFile(t *testing.T) {
	ctx, l := t.Context(), newLedger()
	if err := newHouse(t, l).Start(ctx, files(badPolicy), environment()); err == nil || !strings.Contains(err.Error(), "no policy was ever accepted") || !strings.Contains(err.Error(), "oktaa") {
		t.Fatal(err)
	}
	if err := newHouse(t, l).Start(ctx, files(goodPolicy), environment()); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, l)
	if err := h.Start(ctx, files(badPolicy), environment()); err != nil || h.rule() != "r" {
		t.Fatal(err, h.rule())
	}
	if err := h.Health(); err == nil || !strings.Contains(err.Error(), "the last accepted version is in force, "+h.Policy().Digest()) || !strings.Contains(err.Error(), "p.yaml:19:30") {
		t.Error(err)
	}
	if !strings.Contains(h.log.String(), "starting with the last accepted policy") {
		t.Error(h.log)
	}
	// A watcher that finds the same fault again takes nothing of that back.
	if err := h.Load(ctx, files(badPolicy), environment()); err == nil || !strings.Contains(h.Health().Error(), "last accepted version") || len(h.recorder.events) != 1 {
		t.Error(err, h.Health(), h.recorder.events)
	}
	if err := h.Load(ctx, files(newPolicy), environment()); err != nil || h.Health() != nil || h.rule() != "s" {
		t.Error(err, h.Health(), h.rule())
	}
}

func TestLedgerTrouble(t *testing.T) {
	ctx, l := t.Context(), newLedger()
	h := newHouse(t, l)
	l.down = errors.New("disk on fire")
	if err := h.Start(ctx, files(goodPolicy), environment()); !errors.Is(err, l.down) {
		t.Fatal(err)
	}
	l.down = nil
	if err := h.Start(ctx, files(goodPolicy), environment()); err != nil {
		t.Fatal(err)
	}
	// Later, what is allowed follows the files without it; Health tells, and the next load makes up for it.
	l.down = errors.New("disk on fire")
	if err := h.Load(ctx, files(newPolicy), environment()); err != nil || h.rule() != "s" || !errors.Is(h.Health(), l.down) {
		t.Fatal(err, h.rule(), h.Health())
	}
	l.down, l.conflict = nil, 3
	if err := h.Load(ctx, files(newPolicy), environment()); err != nil || h.Health() != nil {
		t.Fatal(err, h.Health())
	}
	if versions, err := h.Versions(ctx); err != nil || len(versions) != 2 || versions[0].Digest != h.Policy().Digest() {
		t.Error(versions, err)
	}
}

// A policy that the ledger did not take is remembered once it can be, with nobody changing a file.
func TestRemember(t *testing.T) {
	ctx, l := t.Context(), newLedger()
	h := newHouse(t, l)
	if err := h.Start(ctx, files(goodPolicy), environment()); err != nil {
		t.Fatal(err)
	}
	l.down = errors.New("disk on fire")
	if err := h.Load(ctx, files(newPolicy), environment()); err != nil {
		t.Fatal(err)
	}
	if h.Remember(ctx); !errors.Is(h.Health(), l.down) {
		t.Error(h.Health())
	}
	l.down = nil
	if h.Remember(ctx); h.Health() != nil {
		t.Error(h.Health())
	}
	if versions, err := h.Versions(ctx); err != nil || len(versions) != 2 || versions[0].Digest != h.Policy().Digest() {
		t.Error(versions, err)
	}
	l.down = errors.New("nobody asks")
	if h.Remember(ctx); h.Health() != nil {
		t.Error(h.Health())
	}
}

func TestWhatCannotBeRecordedIsNotInForce(t *testing.T) {
	ctx, h := t.Context(), newHouse(t, newLedger())
	if err := h.Start(ctx, files(goodPolicy), environment()); err != nil {
		t.Fatal(err)
	}
	h.recorder.down = errors.New("log is full")
	if err := h.Load(ctx, files(newPolicy), environment()); !errors.Is(err, h.recorder.down) || h.rule() != "r" || !errors.Is(h.Health(), h.recorder.down) {
		t.Error(err, h.rule(), h.Health())
	}
}

func TestHistoryIsBounded(t *testing.T) {
	ctx, h := t.Context(), newHouse(t, newLedger())
	var digests []string
	for i := range 6 {
		if err := h.Load(ctx, files(goodPolicy+strings.Repeat("# x\n", i)), environment()); err != nil {
			t.Fatal(err)
		}
		digests = append([]string{h.Policy().Digest()}, digests...)
	}
	// Back to one that was dropped: it is kept again.
	if err := h.Load(ctx, files(goodPolicy), environment()); err != nil {
		t.Fatal(err)
	}
	versions, err := h.Versions(ctx)
	var got []string
	for _, v := range versions {
		got = append(got, v.Digest)
		if _, err := h.Content(ctx, v.Digest); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]string{digests[5], digests[0], digests[1]}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := h.Content(ctx, digests[3]); err == nil {
		t.Error("a dropped version is still there")
	}
}

// Two replicas with one ledger load the same files: one version. A damaged ledger is noticed.
func TestReplicasShareALedger(t *testing.T) {
	ctx, l := t.Context(), newLedger()
	a, b := newHouse(t, l), newHouse(t, l)
	var wg sync.WaitGroup
	for _, h := range []*house{a, b} {
		wg.Go(func() {
			if err := h.Start(ctx, files(goodPolicy), environment()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if versions, err := a.Versions(ctx); err != nil || len(versions) != 1 {
		t.Error(versions, err)
	}
	for key := range l.values {
		if strings.HasPrefix(key, "policy/content/") {
			l.values[key] = []byte("garbage")
		}
	}
	if err := newHouse(t, l).Start(ctx, files(badPolicy), environment()); err == nil || !strings.Contains(err.Error(), "unpacking") {
		t.Error(err)
	}
}

// Policies change under load, and each decision is of one snapshot.
func TestDecideWhileLoading(t *testing.T) {
	ctx, h := t.Context(), newHouse(t, newLedger())
	if err := h.Start(ctx, files(goodPolicy), environment()); err != nil {
		t.Fatal(err)
	}
	rules := map[string]string{h.Policy().Digest(): "r"}
	next, err := h.Prepare(files(newPolicy), environment())
	if err != nil {
		t.Fatal(err)
	}
	rules[next.Digest()] = "s"
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			id := ada("ds")
			for {
				select {
				case <-done:
					return
				default:
				}
				if d := h.Decide(attempt(id, "prod")); d.Rule != rules[d.Policy] || d.Rule == "" {
					t.Errorf("policy %s decided by %q", d.Policy, d.Rule)
					return
				}
			}
		})
	}
	for i := range 40 {
		if err := h.Load(ctx, files([]string{newPolicy, goodPolicy}[i%2]), environment()); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
}
