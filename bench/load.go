package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// connections is how many callers there are at once.
const connections = 32

// rounds is how often each side is measured; the median counts.
const rounds = 3

//go:embed load.lua
var script []byte

// measure is what one round, or the median of several, showed.
type measure struct {
	requests  int
	perSecond float64
	p50, p99  time.Duration
	cpu       time.Duration // of the server, per request
}

// load sends the requests of a file to a process for so long, from as many callers as there are connections.
type load = func(ctx context.Context, p *process, requests string, length time.Duration) (measure, error)

// round loads one process.
func (b *bench) round(ctx context.Context, send load, p *process, requests string, length time.Duration) (measure, error) {
	before, err := p.cpu()
	if err != nil {
		return measure{}, err
	}
	m, err := send(ctx, p, requests, length)
	if err != nil {
		return measure{}, err
	}
	after, err := p.cpu()
	m.cpu = (after - before) / time.Duration(m.requests)
	return m, err
}

// wrk is the load over HTTP.
func (b *bench) wrk(ctx context.Context, p *process, requests string, length time.Duration) (measure, error) {
	seconds := strconv.Itoa(int(length / time.Second))
	cmd := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(connections), "-d"+seconds+"s", "-s", b.script, //nolint:gosec // our own arguments
		"http://"+p.http+exchangePath, "--", requests)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return measure{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	text := string(out)
	return read(text[strings.LastIndex(text, "\n{")+1:])
}

// said is what a load says of itself in the end, as JSON.
type said struct {
	Requests     int `json:"requests"`
	Microseconds int `json:"microseconds"`
	NotOK        int `json:"not_ok"`
	Socket       int `json:"socket"` // failures of connections
	P50          int `json:"p50"`    // microseconds
	P99          int `json:"p99"`
}

func read(text string) (measure, error) {
	var s said
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return measure{}, fmt.Errorf("a load that says %q: %w", text, err)
	}
	if s.NotOK > 0 || s.Socket > 0 || s.Requests == 0 {
		return measure{}, void("%d answers, of which %d were refusals, and %d failures of connections", s.Requests, s.NotOK, s.Socket)
	}
	return measure{
		requests:  s.Requests,
		perSecond: float64(s.Requests) / (time.Duration(s.Microseconds) * time.Microsecond).Seconds(),
		p50:       time.Duration(s.P50) * time.Microsecond,
		p99:       time.Duration(s.P99) * time.Microsecond,
	}, nil
}

// median is figure by figure, but for requests, which is their sum.
func median(all []measure) measure {
	m := measure{
		perSecond: middle(all, func(m measure) float64 { return m.perSecond }),
		p50:       middle(all, func(m measure) time.Duration { return m.p50 }),
		p99:       middle(all, func(m measure) time.Duration { return m.p99 }),
		cpu:       middle(all, func(m measure) time.Duration { return m.cpu }),
	}
	for _, one := range all {
		m.requests += one.requests
	}
	return m
}

func middle[T float64 | time.Duration](all []measure, figure func(measure) T) T {
	figures := make([]T, len(all))
	for i, m := range all {
		figures[i] = figure(m)
	}
	slices.Sort(figures)
	return figures[len(figures)/2]
}
