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

// round loads one process with the requests of a file.
func (b *bench) round(ctx context.Context, p *process, requests string, length time.Duration) (measure, error) {
	before, err := p.cpu()
	if err != nil {
		return measure{}, err
	}
	m, err := b.wrk(ctx, p.http, requests, length)
	if err != nil {
		return measure{}, err
	}
	after, err := p.cpu()
	m.cpu = (after - before) / time.Duration(m.requests)
	return m, err
}

func (b *bench) wrk(ctx context.Context, address, requests string, length time.Duration) (measure, error) {
	seconds := strconv.Itoa(int(length / time.Second))
	cmd := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(connections), "-d"+seconds+"s", "-s", b.script, //nolint:gosec // our own arguments
		"http://"+address+exchangePath, "--", requests)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return measure{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	var said struct {
		Requests, Microseconds, Socket, P50, P99 int
		NotOK                                    int `json:"not_ok"`
	}
	text := string(out)
	if i := strings.LastIndex(text, "\n{"); i < 0 {
		return measure{}, fmt.Errorf("wrk said nothing of use:\n%s", out)
	} else if err := json.Unmarshal([]byte(text[i:]), &said); err != nil {
		return measure{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	if said.NotOK > 0 || said.Socket > 0 || said.Requests == 0 {
		return measure{}, void("%d answers, of which %d were not 200, and %d failures of connections", said.Requests, said.NotOK, said.Socket)
	}
	return measure{
		requests:  said.Requests,
		perSecond: float64(said.Requests) / (time.Duration(said.Microseconds) * time.Microsecond).Seconds(),
		p50:       time.Duration(said.P50) * time.Microsecond,
		p99:       time.Duration(said.P99) * time.Microsecond,
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
