package main

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
	"github.com/lakegate/sts/mapping/mappingtest"
)

// decide measures decisions over policies of three sizes, all kinds of rules in turn.
func (b *bench) decide(context.Context) error {
	testing.Init()
	if err := flag.Set("test.benchtime", "300ms"); err != nil {
		return err
	}
	sizes := []int{10, 1_000, 100_000}
	took := make([]time.Duration, len(sizes))
	for i, n := range sizes {
		var err error
		if took[i], err = decision(n); err != nil {
			return err
		}
	}
	for i, n := range sizes {
		ratio := float64(took[i]) / float64(took[0])
		b.table.add(row{
			what: fmt.Sprintf("decision at %d rules", n), measured: fmt.Sprintf("%d ns", took[i].Nanoseconds()), against: fmt.Sprintf("%d rules", sizes[0]),
			ratio: fmt.Sprintf("%.2f", ratio), budget: "<= 1.50, < 5 µs", verdict: verdict(ratio <= 1.5 && took[i] < 5*time.Microsecond),
		})
	}
	return nil
}

// decision is how long one decision takes at n rules.
func decision(n int) (time.Duration, error) {
	shape := mappingtest.Shape{Rules: n, Principals: principals, Clients: clientIDs}
	p, err := mapping.Compile([]mapping.File{{Name: "policy.yaml", Data: mappingtest.Policy(shape)}}, mappingtest.Environment(shape))
	if err != nil {
		return 0, err
	}
	now := time.Now()
	var attempts []*exchange.Attempt
	for i := 0; i < n; i += max(1, n/200) | 1 {
		if i%20 != 3 { // it denies
			attempts = append(attempts, mappingtest.Attempt(shape, i, now))
		}
	}
	var denied error
	best := time.Duration(0)
	for range rounds { // the least is what it takes; the rest is the machine's
		r := testing.Benchmark(func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if d := p.Decide(attempts[i%len(attempts)]); d.Denial != nil {
					denied = d.Denial
				}
			}
		})
		if took := time.Duration(r.NsPerOp()); best == 0 || took < best {
			best = took
		}
	}
	return best, denied
}
