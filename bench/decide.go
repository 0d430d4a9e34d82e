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

// tries is how often each size is measured, in turn. The least is what a decision takes; the rest is the machine's.
const tries = 5

// decide measures decisions over policies of three sizes, all kinds of rules in turn.
func (b *bench) decide(context.Context) error {
	testing.Init()
	if err := flag.Set("test.benchtime", "100ms"); err != nil {
		return err
	}
	sizes := []int{10, 1_000, 100_000}
	measures := make([]func() (time.Duration, error), len(sizes))
	for i, n := range sizes {
		var err error
		if measures[i], err = decision(n); err != nil {
			return err
		}
	}
	least := make([]time.Duration, len(sizes))
	for range tries {
		for i, measure := range measures {
			took, err := measure()
			if err != nil {
				return err
			}
			if least[i] == 0 || took < least[i] {
				least[i] = took
			}
		}
	}
	for i, n := range sizes {
		ratio := float64(least[i]) / float64(least[0])
		b.table.add(row{
			what: fmt.Sprintf("decision at %d rules", n), measured: fmt.Sprintf("%d ns", least[i].Nanoseconds()), against: fmt.Sprintf("%d rules", sizes[0]),
			ratio: fmt.Sprintf("%.2f", ratio), budget: "<= 1.50, < 5 µs", verdict: verdict(ratio <= 1.5 && least[i] < 5*time.Microsecond),
		})
	}
	return nil
}

// decision returns a function that measures how long one decision takes at n rules.
func decision(n int) (func() (time.Duration, error), error) {
	shape := mappingtest.Shape{Rules: n, Principals: principals, Clients: clientIDs}
	p, err := mapping.Compile([]mapping.File{{Name: "policy.yaml", Data: mappingtest.Policy(shape)}}, mappingtest.Environment(shape))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var attempts []*exchange.Attempt
	for i := 0; i < n; i += max(1, n/200) | 1 {
		if i%20 != 3 { // it denies
			attempts = append(attempts, mappingtest.Attempt(shape, i, now))
		}
	}
	return func() (took time.Duration, err error) {
		r := testing.Benchmark(func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if d := p.Decide(attempts[i%len(attempts)]); d.Denial != nil {
					err = d.Denial
				}
			}
		})
		return time.Duration(r.NsPerOp()), err
	}, nil
}
