package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lakegate/sts/audit"
)

// allocated is the metric of objects allocated so far.
const allocated = "go_memstats_mallocs_total"

// side is one of those that take turns, and what its rounds showed.
type side struct {
	*process
	requests string // file
	length   time.Duration
	load     load                        // over HTTP if it is nil
	before   func(context.Context) error // each round, nil for nothing
	after    func(context.Context, measure) error
	measured []measure
}

// alternate measures all sides round by round, so that what else happens on the machine happens to all of them.
func (b *bench) alternate(ctx context.Context, sides ...*side) error {
	for range rounds {
		for _, s := range sides {
			if s.load == nil {
				s.load = b.wrk
			}
			if s.before != nil {
				if err := s.before(ctx); err != nil {
					return err
				}
			}
			m, err := b.round(ctx, s.load, s.process, s.requests, s.length)
			if err != nil {
				return err
			}
			s.measured = append(s.measured, m)
			if s.after != nil {
				if err := s.after(ctx, m); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *side) total() (n int) {
	for _, m := range s.measured {
		n += m.requests
	}
	return n
}

// warm measures exchanges that mint nothing and verify nothing anew: ten thousand subject tokens, a hundred principals,
// three clients. A second service, whose records reach the disk when it suits the kernel, shows what sync: mint costs.
func (b *bench) warm(ctx context.Context) error {
	tokens, err := b.mint(subjects, subjects, "ES256")
	if err != nil {
		return err
	}
	requests := b.requests(tokens)
	file := filepath.Join(b.dir, "warm.requests")
	if err := writeRequests(file, requests); err != nil {
		return err
	}
	s, err := b.newInstance("mint", audit.SyncMint)
	if err != nil {
		return err
	}
	took, sample, err := s.warm(ctx, requests)
	if err != nil {
		return err
	}
	b.table.add(row{what: "first start, until ready", measured: millis(took), budget: "<= 1 s", verdict: verdict(took <= time.Second)})
	written, err := b.newInstance("written", audit.SyncWritten)
	if err != nil {
		return err
	}
	if _, _, err := written.warm(ctx, requests); err != nil {
		return err
	}
	bare, err := b.launchBare(ctx, sample)
	if err != nil {
		return err
	}
	minted, mallocs := b.world.databricks.Mints(""), 0.0
	if mallocs, err = s.metric(ctx, allocated); err != nil {
		return err
	}

	theirs := &side{process: bare, requests: file, length: b.length}
	ours := &side{process: s.process, requests: file, length: b.length}
	loose := &side{process: written.process, requests: file, length: b.length}
	ours.before = func(context.Context) error { s.saveProfiles(ctx, "warm", b.length, len(ours.measured)); return nil }
	if err := b.alternate(ctx, theirs, ours, loose); err != nil {
		return err
	}
	after, err := s.metric(ctx, allocated)
	if err != nil {
		return err
	}
	if err := s.complete(len(requests) + ours.total()); err != nil {
		return err
	}
	if err := written.complete(len(requests) + loose.total()); err != nil {
		return err
	}
	memory, err := s.memory()
	if err != nil {
		return err
	}
	b.tell("warm exchange over HTTP", "bare handler", ours, theirs, 0.70, ">= 0.70, aim 0.75")
	minting, writing := median(ours.measured).perSecond, median(loose.measured).perSecond
	cost := 100 * (1 - minting/writing)
	b.table.add(row{
		what: "  audit sync: mint", measured: rate(minting), against: "written " + rate(writing),
		ratio: fmt.Sprintf("%+.0f %%", -cost), budget: ">= -10 %", verdict: verdict(cost <= 10),
	})
	b.table.add(row{what: "  allocations a request", measured: fmt.Sprintf("%.0f", (after-mallocs)/float64(ours.total()))})
	b.table.add(row{what: "  memory, warm", measured: fmt.Sprintf("%.0f MiB", memory), budget: "<= 256 MiB", verdict: verdict(memory <= 256)})
	extra := b.world.databricks.Mints("") - minted
	b.table.add(row{
		what: "  mints while warm", measured: fmt.Sprint(extra), against: fmt.Sprintf("%d grants", grants), budget: "0", verdict: verdict(extra == 0),
	})
	s.stop()
	written.stop()
	bare.stop()
	return b.restarts(ctx, s)
}

// tell adds what two sides showed, ours against theirs. A least ratio of 0 is no budget.
func (b *bench) tell(what, against string, ours, theirs *side, least float64, budget string) {
	o, t := median(ours.measured), median(theirs.measured)
	ratio := o.perSecond / t.perSecond
	first := row{what: what, measured: rate(o.perSecond), against: against + " " + rate(t.perSecond), ratio: fmt.Sprintf("%.2f", ratio), budget: budget}
	if least > 0 {
		first.verdict = verdict(ratio >= least)
	}
	b.table.add(first)
	b.table.add(row{what: "  p50 / p99", measured: times(o), against: times(t)})
	b.table.add(row{
		what: "  CPU a request", measured: micros(o.cpu), against: micros(t.cpu), ratio: fmt.Sprintf("%.2f", float64(o.cpu)/float64(t.cpu)),
	})
}

// warm starts a service and has it see all requests once. It returns how long the start took, and one of the answers.
func (s *instance) warm(ctx context.Context, requests []request) (took time.Duration, sample string, err error) {
	if took, err = s.start(ctx); err != nil {
		return 0, "", err
	}
	sample, err = sendAll(ctx, s.http, requests, connections)
	return took, sample, err
}

// restarts measures how long a stopped service takes to be back, with the ledger that it left.
func (b *bench) restarts(ctx context.Context, s *instance) error {
	var all []time.Duration
	for range rounds {
		took, err := s.start(ctx)
		if err != nil {
			return err
		}
		s.stop()
		all = append(all, took)
	}
	slices.Sort(all)
	took := all[len(all)/2]
	b.table.add(row{what: "restart, until ready", measured: millis(took), budget: "<= 1 s", verdict: verdict(took <= time.Second)})
	return nil
}

// launchBare starts the bare handler, which answers those bytes.
func (b *bench) launchBare(ctx context.Context, sample string, args ...string) (*process, error) {
	file := filepath.Join(b.dir, "answer.json")
	if err := os.WriteFile(file, []byte(sample), 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return b.launch(ctx, b.dir, nil, self, append([]string{"bare", "-answer", file}, args...)...)
}

func rate(perSecond float64) string { return fmt.Sprintf("%.0f/s", perSecond) }

func times(m measure) string {
	return fmt.Sprintf("%.2f / %.1f ms", float64(m.p50.Microseconds())/1000, float64(m.p99.Microseconds())/1000)
}

func micros(d time.Duration) string { return fmt.Sprintf("%.1f µs", float64(d.Nanoseconds())/1000) }

func millis(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
